"""Every question that the daemon asks a chain is a place where a crash may fall."""

import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path

from chainwatch.chain import evidence
from chainwatch.chain.audit import StateReader
from chainwatch.chain.latest import LatestReader
from chainwatch.chain.scanner import Scanner
from chainwatch.chain.second_look import SecondLook
from provisioner import faultpoints
from tests.support.realm import realm, source_settings

QUESTIONS = {
    f"{home.__name__}.{name}": (home, name)
    for home in (Scanner, LatestReader, SecondLook, StateReader)
    for name, _ in inspect.getmembers(home, inspect.iscoroutinefunction)
    if not name.startswith("_")
}
POINTS = {point for point in faultpoints.POINTS if point.startswith("chain.")}


async def test_every_question_to_a_chain_passes_its_points_and_no_point_is_idle(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        world.buy()
        world.finalize()
        scanner = world.daemon.supervisor.ingests[0].scanner
        state = await world.daemon.stores.journal.state("model")
        latest = world.daemon.reconciler.guards.latest["model"]
        (lookout,) = world.daemon.supervisor.lookouts
        settings, block = source_settings(), world.chain.blocks[1].block
        asked: dict[str, Callable[[], Awaitable[object]]] = {
            "Scanner.check": scanner.check,
            "Scanner.next": lambda: scanner.next(state),
            "LatestReader.lease_at_latest": lambda: latest.lease_at_latest(1, block),
            "SecondLook.look": lambda: lookout.second_look.second.look([block], []),
            "StateReader.leases_at": lambda: lookout.audit.reader.leases_at([1], block),
        }
        assert set(asked) == set(QUESTIONS), "a new question needs its fault points"
        asked["testimonies"] = lambda: evidence.testimonies(settings, world.chain.rpc, state)
        passed: set[str] = set()
        for name, ask in asked.items():
            mine: set[str] = set()
            faultpoints.arm(mine.add)
            await ask()
            assert mine & POINTS, f"{name} passes no fault point"
            passed |= mine
        assert passed >= POINTS

"""Every question that the daemon asks a chain is a place where a crash may fall."""

import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path

from chainwatch.chain.latest import LatestReader
from chainwatch.chain.scanner import Scanner
from provisioner import faultpoints
from tests.support.realm import realm

QUESTIONS = {
    f"{home.__name__}.{name}": (home, name)
    for home in (Scanner, LatestReader)
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
        asked: dict[str, Callable[[], Awaitable[object]]] = {
            "Scanner.check": scanner.check,
            "Scanner.next": lambda: scanner.next(state),
            "LatestReader.lease_at_latest": lambda: latest.lease_at_latest(
                1, world.chain.blocks[1].block
            ),
        }
        assert set(asked) == set(QUESTIONS), "a new question needs its fault points"
        passed: set[str] = set()
        for name, ask in asked.items():
            mine: set[str] = set()
            faultpoints.arm(mine.add)
            await ask()
            assert mine & POINTS, f"{name} passes no fault point"
            passed |= mine
        assert passed >= POINTS

"""Ten thousand machines that run as they should, and a daemon that has nothing to do.

Everything that it asks for ten minutes and more is counted, after it has looked at every machine
once as it does at its start. What a node is asked is what has its name in the path; whoever is
asked for the cluster has those calls on top, and the busiest node is the figure.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.bench import skipping
from tests.bench.fleet import NODES, Fleet, Shown, World, read, settle, stand, world
from tests.bench.recorder import Call, shares
from tests.bench.report import Figure, Section
from tests.bench.rig import at_work, quiet

PATIENCE: Final = 3600.0
GOAL: Final = 2


def measure(machines: int, seconds: float, nodes: Sequence[str] = NODES) -> Section:
    """Count the calls of `seconds` in which nothing happens."""
    quiet()
    fleet = Fleet(machines, nodes=tuple(nodes))
    calls = skipping.run(_calls(fleet, seconds))
    asked = _by_node(fleet, calls)
    figures = (
        Figure("calls to the busiest node", "calls/s", [max(asked) / seconds], len(calls), GOAL),
        Figure("calls to a node, mean", "calls/s", [sum(asked) / len(asked) / seconds], len(calls)),
    )
    setting = (
        f"{machines} machines, nodes: {len(fleet.nodes)}; {seconds:g} s with nothing to do, "
        "after the looks at every machine that a start makes; waiting is skipped"
    )
    title = "Idle" if len(fleet.nodes) > 1 else "Idle, all on one node"
    return Section(title, setting, figures, shares(calls, 1))


async def _calls(fleet: Fleet, seconds: float) -> Sequence[Call]:
    with TemporaryDirectory() as folder:
        async with world(fleet, Path(folder)) as at:
            await furnished(at)
            async with at_work(at.daemon):
                await all_seen(at)
                before = len(at.recorder.calls)
                await at.clock.sleep(seconds)
                return at.recorder.calls[before:]


async def furnished(at: World) -> None:
    """Sell all leases, and put a running machine there for each."""
    pool = at.daemon.reconciler.site.pool

    def put(vmid: int, node: str, shown: Shown) -> None:
        stand(at.cluster, pool, vmid, node, shown)

    at.fleet.sell(at.chain)
    await read(at.daemon)
    await settle(at.fleet, at.db, at.daemon, put)
    at.cluster.advance_to(at.clock.wall())


async def all_seen(at: World) -> None:
    """Return when every lease was looked at, and see that nothing was changed on the way."""
    sights = at.daemon.supervisor.resync.sights
    async with asyncio.timeout(PATIENCE):
        while len(sights) < at.fleet.leases or await at.daemon.stores.work.keys():
            await at.clock.sleep(1)
    changed = [call for call in at.recorder.calls if call.method != "GET"]
    if changed:
        raise AssertionError(f"{len(changed)} changes where nothing was to do: {changed[:3]}")


def _by_node(fleet: Fleet, calls: Sequence[Call]) -> list[int]:
    """Return how many calls each node had; the first one is asked for the cluster."""
    asked = Counter(dict.fromkeys(fleet.nodes, 0))
    for call in calls:
        parts = call.path.split("/")
        asked[parts[2] if parts[1] == "nodes" and len(parts) > 2 else fleet.nodes[0]] += 1
    return list(asked.values())

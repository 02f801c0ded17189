"""One purchase alone where no two boots take the same time: how long it takes beyond its tasks.

The stand-in's boots take exactly the same time, which is the best case for a daemon that learns how
long they take. Here each is longer or shorter by a share of itself, as real ones are; and what a
purchase takes is counted from its own boot. The cluster is in this process and answers at once, in
a loop in which waiting takes no time: what is left is what the daemon works, and what it waits for
in vain. The first purchases after a start find out how long things take, and are told apart.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.bench import skipping
from tests.bench.fleet import DURATIONS, Fleet, World, world
from tests.bench.report import Figure, Section
from tests.bench.rig import at_work, quiet

MS: Final = 1000
PATIENCE: Final = 3600.0
#: Seconds between two purchases: the one before is done by then.
PAUSE: Final = 20.0
BESIDES: Final = DURATIONS.linked_clone + DURATIONS.resize + DURATIONS.start


def measure(learning: int, machines: int, scatter: float) -> Section:
    """Buy `machines` one after the other, after `learning` other ones; with scatter and without."""
    quiet()
    all_of_them = learning + machines
    some = skipping.run(_alone(all_of_them, scatter))
    same = skipping.run(_alone(all_of_them, 0.0))
    return Section(
        f"One purchase alone, boots that scatter by {scatter:.0%}",
        "one node that answers at once; waiting is skipped; from a purchase's first call to its "
        f"last stamp, less the {BESIDES:g} s of its tasks and the seconds of its own boot",
        (
            Figure("added to the tasks' own time", "ms", some[learning:], machines),
            Figure(f"the first {learning} after a start", "ms", some[:learning], learning),
            Figure("added, boots that do not scatter", "ms", same[learning:], machines),
            Figure(f"the first {learning} of those", "ms", same[:learning], learning),
        ),
    )


async def _alone(machines: int, scatter: float) -> Sequence[float]:
    fleet = Fleet(machines, durations=replace(DURATIONS, boot_scatter=scatter), nodes=("pve1",))
    with TemporaryDirectory() as folder:
        async with world(fleet, Path(folder)) as at, at_work(at.daemon):
            return [await _one(at, token) for token in range(1, machines + 1)]


async def _one(at: World, token: int) -> float:
    """Buy one machine; returns the milliseconds beyond its tasks and its own boot."""
    at.fleet.sell(at.chain, token, token)
    vmid, lease = await _stamped(at, token), at.fleet.lease(token)
    calls = [call for call in at.recorder.calls if call.lease == lease]
    await at.clock.sleep(PAUSE)
    seconds = max(call.answered_at for call in calls) - calls[0].asked_at
    return MS * (seconds - BESIDES - at.cluster.guest(vmid).boot_takes)


async def _stamped(at: World, token: int) -> int:
    """Return where a lease's machine stands, as soon as it was seen to answer and is stamped."""
    async with asyncio.timeout(PATIENCE):
        while True:
            async with at.db.reading() as read:
                row = await read.one(
                    "SELECT vmid FROM operation"
                    " WHERE key = ? AND step = 'mark-started' AND outcome = 'ok'",
                    at.fleet.lease(token),
                )
            if row is not None:
                return int(row[0])
            await at.clock.sleep(0.5)

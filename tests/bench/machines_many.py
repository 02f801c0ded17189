"""A thousand purchases at once: how much longer they take than their clones have to.

The critical path follows from the script: so many clones may run at once and each takes so long,
and the last machine still has to be grown, started and booted. What is on top is the daemon's.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from provisioner.simulator.settings import Durations
from tests.bench import skipping
from tests.bench.fleet import Fleet, World, world
from tests.bench.recorder import Call, rounds, shares
from tests.bench.report import Figure, Section
from tests.bench.rig import at_work, quiet

CLONE: Final = 60.0
TASKS: Final = Durations(linked_clone=CLONE)
#: What a machine waits for after its clone, in seconds.
STEPS: Final = TASKS.resize + TASKS.start + TASKS.boot
PATIENCE: Final = 20_000.0


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds from the purchases to the last machine that answers, the calls, and our own work."""

    seconds: float
    calls: Sequence[Call]
    work: float


def path(fleet: Fleet) -> float:
    """Return the seconds that the script takes whoever follows it."""
    return ceil(fleet.leases / fleet.at_once) * CLONE + STEPS


def measure(machines: int, clones: int, times: int) -> tuple[Section, Section]:
    """Make `machines`, `clones` at once on each storage; how long it took, and for what calls."""
    quiet()
    fleet = Fleet(machines, clones=clones, durations=TASKS)
    seen = [skipping.run(_round(fleet)) for _ in range(times)]
    least = path(fleet)
    setting = (
        f"{machines} purchases in one instant, {len(fleet.nodes)} nodes with a storage each × "
        f"{clones} clones at once, a clone {CLONE:g} s, then {STEPS:g} s to grow, start and boot: "
        f"at least {least:g} s; the cluster answers at once and to any number, so that `threads` "
        "bounds nothing; waiting is skipped, work takes the time that it takes"
    )
    over = [100 * (each.seconds - least) / least for each in seen]
    figures = (
        Figure("overhead over the critical path", "%", over, machines, 15),
        Figure("until the last machine answers", "s", [each.seconds for each in seen], machines),
        Figure(
            "processor time per machine, simulator included",
            "ms",
            [1000 * each.work / machines for each in seen],
            machines,
        ),
    )
    calls = [call for each in seen for call in each.calls]
    per_machine = [len(each.calls) / machines for each in seen]
    besides = [len(rounds(each.calls)) / machines for each in seen]
    return (
        Section("Many machines in flight", setting, figures),
        Section(
            "Calls per machine, everything included",
            f"the same machines, {clones} clones at once on each storage; every call from the "
            "purchases to the last answer",
            (
                Figure("Proxmox calls per machine", "calls", per_machine, machines, 12),
                Figure("of them for looks that go round anyway", "calls", besides, machines),
            ),
            shares(calls, times * machines),
        ),
    )


async def _round(fleet: Fleet) -> Round:
    with TemporaryDirectory() as folder:
        async with world(fleet, Path(folder)) as at, at_work(at.daemon):
            before, began, worked = (
                len(at.recorder.calls),
                at.clock.monotonic(),
                time.process_time(),
            )
            fleet.sell(at.chain)
            await _finished(at)
            seconds, work = at.clock.monotonic() - began, time.process_time() - worked
            return Round(seconds, at.recorder.calls[before:], work)


async def _finished(at: World) -> None:
    async with asyncio.timeout(PATIENCE):
        while await _made(at) < at.fleet.leases:
            await at.clock.sleep(0.5)


async def _made(at: World) -> int:
    async with at.db.reading() as read:
        row = await read.one(
            "SELECT count(DISTINCT key) FROM operation"
            " WHERE step = 'mark-started' AND outcome = 'ok'"
        )
    return 0 if row is None else int(row[0])

"""From a purchase to a machine that answers: how soon, how much on top, and for how many calls.

Purchases come one by one, at random distances, each mined into a block of its own, while the
machines bought before are still being made. "Mined" is the moment at which the node was asked to
mine, so the node's own work is in the figure.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.bench.recorder import Call, shares
from tests.bench.report import Figure, Section, percentile
from tests.bench.rig import CLONES, TASKS, Rig, rig

#: Seconds between two purchases, at least and at most.
PACE: Final = (0.2, 0.6)
MS: Final = 1000
GOAL_CALLS: Final = 12


@dataclass(frozen=True, slots=True)
class Round:
    """What one round saw: when each lease was mined, and every call until all were served."""

    mined: Mapping[str, float]
    calls: Sequence[Call]

    def first_calls(self) -> list[float]:
        """Return the seconds from mined to a lease's first call, whatever it asked."""
        return [calls[0].asked_at - self.mined[lease] for lease, calls in self._own().items()]

    def clones(self) -> list[float]:
        """Return the seconds from mined to the call that takes the VMID."""
        return [_clone(calls).asked_at - self.mined[lease] for lease, calls in self._own().items()]

    def overheads(self) -> list[float]:
        """Return the seconds from the clone's call to the last stamp, less the tasks' own time."""
        tasks = sum(TASKS.values())
        return [
            calls[-1].answered_at - _clone(calls).asked_at - tasks for calls in self._own().values()
        ]

    def per_machine(self) -> float:
        """Return how many calls a machine cost."""
        return len(self.calls) / len(self.mined)

    def _own(self) -> Mapping[str, list[Call]]:
        own: dict[str, list[Call]] = defaultdict(list)
        for call in self.calls:
            if call.lease in self.mined:
                own[call.lease].append(call)
        return {lease: sorted(calls, key=lambda c: c.asked_at) for lease, calls in own.items()}


def _clone(calls: Sequence[Call]) -> Call:
    return next(call for call in calls if call.path.endswith("/clone"))


async def measure(rounds: int, machines: int) -> Section:
    """Make `machines` from a clean template in each of so many rounds."""
    seen = [await _round(machines, seed, clean=True) for seed in range(rounds)]
    total = rounds * machines
    calls = [call for each in seen for call in each.calls]
    return Section(
        "A purchase becomes a machine",
        f"{_setting()}; a template without firewall rules",
        (
            *_times("mined → first Proxmox call", [each.first_calls() for each in seen]),
            *_times("mined → the clone's call", [each.clones() for each in seen]),
            *_times("overhead over the tasks' own time", [each.overheads() for each in seen]),
            Figure(
                "Proxmox calls per machine",
                "calls",
                [each.per_machine() for each in seen],
                total,
                GOAL_CALLS,
            ),
        ),
        shares(calls, total),
    )


async def measure_burst(machines: int) -> Section:
    """Make `machines` that were all bought in one block: everything that can be shared is."""
    with TemporaryDirectory() as folder:
        async with rig(Path(folder)) as bench:
            before = len(bench.recorder.calls)
            for _ in range(machines):
                await bench.order()
            mined_at = await bench.mine()
            await bench.finished(machines)
            calls = bench.recorder.calls[before:]
    seconds = max(call.answered_at for call in calls) - mined_at
    return Section(
        "All bought in one block",
        f"{machines} purchases, {CLONES} clones at once, a clean template",
        (
            Figure("Proxmox calls per machine", "calls", [len(calls) / machines], machines),
            Figure("mined → the last machine answers", "s", [seconds], machines),
        ),
        shares(calls, machines),
    )


async def measure_nasty(machines: int) -> Section:
    """Make `machines` from a template with firewall rules, IP sets and aliases to take away."""
    seen = await _round(machines, 0, clean=False)
    figure = Figure("Proxmox calls per machine", "calls", [seen.per_machine()], machines)
    return Section(
        "The same from a template with firewall rules",
        _setting(),
        (figure,),
        shares(seen.calls, machines),
    )


async def measure_alone(machines: int) -> Section:
    """Make `machines`, each when the one before is done: nothing is shared with anybody."""
    with TemporaryDirectory() as folder:
        async with rig(Path(folder)) as bench:
            before = len(bench.recorder.calls)
            for token in range(1, machines + 1):
                await bench.order()
                await bench.mine()
                await bench.finished(token)
            calls = bench.recorder.calls[before:]
    figure = Figure("Proxmox calls per machine", "calls", [len(calls) / machines], machines)
    return Section(
        "One machine at a time",
        "no other lease; a clean template",
        (figure,),
        shares(calls, machines),
    )


def _times(name: str, rounds: Sequence[Sequence[float]]) -> tuple[Figure, Figure]:
    many = sum(map(len, rounds))
    return (
        Figure(f"{name}, p50", "ms", [MS * percentile(each, 0.5) for each in rounds], many),
        Figure(f"{name}, p99", "ms", [MS * percentile(each, 0.99) for each in rounds], many),
    )


def _setting() -> str:
    tasks = ", ".join(f"{name} {seconds:g} s" for name, seconds in TASKS.items())
    return (
        f"a purchase every {PACE[0]:g} to {PACE[1]:g} s, {CLONES} clones at once, simulated {tasks}"
    )


async def _round(machines: int, seed: int, *, clean: bool) -> Round:
    with TemporaryDirectory() as folder:
        async with rig(Path(folder), clean=clean) as bench:
            return await _served(bench, machines, random.Random(seed))


async def _served(bench: Rig, machines: int, dice: random.Random) -> Round:
    before, mined = len(bench.recorder.calls), {}
    for token in range(1, machines + 1):
        await bench.order()
        mined[bench.lease(token)] = await bench.mine()
        await asyncio.sleep(dice.uniform(*PACE))
    await bench.finished(machines)
    return Round(mined, bench.recorder.calls[before:])

"""How much memory reading takes, however long the history: in a process that does nothing else.

A fresh interpreter reads a chain from an empty database; what the kernel says it holds is noted
after every committed step. The peak counts, and that it does not grow from one quarter of the
history to the next.
"""

import asyncio
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from chainwatch.chain.settings import SourceSettings
from chainwatch.runtime import garbage
from tests.bench.chain_reading import reader
from tests.bench.rig import quiet

_KIB_IN_MB: Final = 1024 / 10**6


@dataclass(frozen=True, slots=True)
class Memory:
    """What a reading held, in MB: before it began, at the end of each quarter, at its peak."""

    before: float
    quarters: tuple[float, ...]
    peak: float
    events: int


async def measure(source: SourceSettings, first: int, last: int) -> Memory:
    """Read up to block `last` in a process of its own; the events begin at block `first`."""
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return await loop.run_in_executor(process, _read, source, first, last)


def _read(source: SourceSettings, first: int, last: int) -> Memory:
    quiet()
    garbage.settle()
    return asyncio.run(_quarters(source, first, last))


async def _quarters(source: SourceSettings, first: int, last: int) -> Memory:
    async with reader(source) as reading:
        before, held = _mb("VmRSS"), []
        for quarter in range(1, 5):
            await reading.to(first + (last - first) * quarter // 4)
            held.append(_mb("VmRSS"))
        return Memory(before, tuple(held), _mb("VmHWM"), await reading.events())


def _mb(name: str) -> float:
    """What the kernel counts for this process: VmRSS is held now, VmHWM was held at most."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * _KIB_IN_MB
    raise LookupError(f"the kernel tells no {name}")

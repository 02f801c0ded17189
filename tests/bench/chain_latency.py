"""From a block that is mined to its event in the store and its lease due, one block at a time.

The daemon's own loop is woken by its own WebSocket. The watch runs from the request to mine, so the
node's own work is in the figure, to the moment at which the commit has returned; then, off the
watch, the store is asked whether the event and the dirty key are really there.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from chainwatch.chain.settings import SourceSettings
from chainwatch.control.ingest import Ingest
from tests.bench.chain_reading import Reader, reader
from tests.bench.chain_seed import TOKEN, Crier

#: Blocks before the first that counts: until then the WebSocket may still be connecting.
_WARM: Final = 20
#: Seconds between two blocks, at least and at most: the loop is at rest when the next one comes.
_PACE: Final = (0.005, 0.025)
_PATIENCE: Final = 10.0


@dataclass(slots=True)
class _Watch:
    """When the last commit returned (monotonic s), and a bell for it."""

    at: float = 0.0
    bell: asyncio.Event = field(default_factory=asyncio.Event)

    def stop(self) -> None:
        self.at = time.monotonic()
        self.bell.set()


async def measure(source: SourceSettings, crier: Crier, samples: int) -> Sequence[float]:
    """Return the seconds that each of so many blocks took."""
    watch, dice = _Watch(), random.Random(samples)
    async with reader(source) as reading:
        await reading.to((await crier.deployed.anvil.block()).number)
        async with _at_work(replace(reading.ingest, wake=watch.stop)):
            seen = [await _one(reading, crier, watch, dice) for _ in range(_WARM + samples)]
    return seen[_WARM:]


@asynccontextmanager
async def _at_work(ingest: Ingest) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(ingest.run(), name="ingest"),
            group.create_task(ingest.feed.run(), name="heads"),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def _one(reading: Reader, crier: Crier, watch: _Watch, dice: random.Random) -> float:
    anvil = crier.deployed.anvil
    await crier.one_log()
    await asyncio.sleep(dice.uniform(*_PACE))
    head = (await anvil.block()).number
    seq = await reading.seq(TOKEN)
    asked_at = time.monotonic()
    await anvil.rpc("evm_mine")
    async with asyncio.timeout(_PATIENCE):
        while await reading.cursor() <= head:
            await watch.bell.wait()
            watch.bell.clear()
    if await reading.seq(TOKEN) <= seq:
        raise AssertionError(f"block {head + 1} is stored, but its lease is not due")
    return watch.at - asked_at

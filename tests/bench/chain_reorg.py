"""How long it takes to follow a reorg: from the first look after it to the last new row.

Each block had an event before, and another one after. The node's own work, which makes the new
blocks, is not in the figure; asking for them, taking rows back and writing others is.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from chainwatch.chain.settings import SourceSettings
from tests.bench.chain_reading import reader
from tests.bench.chain_seed import Crier

#: Blocks below the head that are not final, so that a deep reorg is none of what was final.
_OPEN: Final = 200


async def measure(source: SourceSettings, crier: Crier, depth: int, rounds: int) -> Sequence[float]:
    """Return the seconds that following a reorg of `depth` blocks took, so many times."""
    anvil, seen = crier.deployed.anvil, []
    async with reader(replace(source, finality=_OPEN)) as reading:
        await crier.full_blocks(1)
        await crier.single_blocks(depth)
        for _ in range(rounds):
            await reading.to((await anvil.block()).number)
            gone, told = await reading.taken_back(), await reading.events()
            await crier.reorg(depth)
            head = await crier.single_blocks(1)
            seen.append(await reading.to_hash(head, (await anvil.block(head)).hash))
            changed = (await reading.taken_back() - gone, await reading.events() - told)
            if changed != (depth, depth + 1):
                raise AssertionError(
                    f"of {depth} blocks, {changed} events were taken back and read"
                )
    return seen

"""A store as small as can be: what a source has said so far, kept in dictionaries.

It takes batches and rewinds as the real one does, and refuses what would break its laws: a batch
that does not join the cursor, an event without its block, a final block that falls.
"""

from collections.abc import Mapping, Sequence

from chainwatch.chain.scanner import Scanner
from chainwatch.domain.batches import Batch, Rewind, SourceState
from chainwatch.domain.credentials import Links
from chainwatch.domain.events import Block, Logged


class Ledger:
    """One source's blocks, events and state."""

    def __init__(self) -> None:
        self.state = SourceState()
        self.caught_up = False
        self.blocks: dict[int, Block] = {}
        self.events: dict[tuple[str, int], Logged] = {}
        self.steps: list[Batch | Rewind] = []

    async def block(self, number: int) -> Block | None:
        return self.blocks.get(number)

    async def credentials(self, tokens: Sequence[int], at: Block) -> Mapping[int, int]:
        """The credentials of leases, as far as they are known at a block."""
        links = Links()
        links.about([logged for logged in self.canonical() if logged.block <= at.number])
        return {token: number for number, token in links.leases.items() if token in tokens}

    async def said(self, first: int, last: int) -> list[Logged]:
        return [logged for logged in self.canonical() if first <= logged.block <= last]

    def canonical(self) -> list[Logged]:
        """What it believes, in the order of the chain."""
        return sorted(self.events.values(), key=lambda logged: (logged.block, logged.log_index))

    def apply(self, step: Batch | Rewind) -> None:
        self.steps.append(step)
        if isinstance(step, Batch):
            self._extend(step)
        else:
            self._take_back(step)

    def _extend(self, batch: Batch) -> None:
        assert batch.after == self.state.cursor
        low = batch.after.number if batch.after else -1
        blocks = {block.number: block for block in batch.blocks}
        for logged in batch.events:
            assert low < logged.block <= batch.cursor.number
            assert blocks[logged.block].hash == logged.block_hash
            self.events[logged.block_hash, logged.log_index] = logged
        final, before = batch.final, self.state.final
        if before is not None:
            assert final is not None
            assert final.number >= before.number
        assert final is None or final.number <= batch.cursor.number
        self.blocks |= blocks
        assert self.blocks[batch.cursor.number] == batch.cursor
        self.state = SourceState(batch.cursor, final, batch.head)
        self.caught_up = batch.caught_up

    def _take_back(self, rewind: Rewind) -> None:
        low = rewind.ancestor.number if rewind.ancestor else -1
        assert self.state.final is None or low >= self.state.final.number
        self.events = {key: said for key, said in self.events.items() if said.block <= low}
        self.blocks = {number: block for number, block in self.blocks.items() if number <= low}
        self.state = SourceState(rewind.ancestor, self.state.final, rewind.head)
        self.caught_up = False

    async def follow(self, scanner: Scanner, *, most: int = 10_000) -> int:
        """Take every step that there is, and say how many there were."""
        for taken in range(most):
            step = await scanner.next(self.state)
            if step is None:
                return taken
            self.apply(step)
        raise AssertionError(f"the scanner is still not done after {most} steps")

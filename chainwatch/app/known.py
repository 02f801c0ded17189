"""What is stored of one source, as whoever reads its chain asks for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chainwatch.chain.reorg import KnownBlocks
from chainwatch.domain.events import Block, Logged
from chainwatch.store.journal import Journal


@dataclass(frozen=True, slots=True)
class Stored(KnownBlocks):
    """What is stored of one source."""

    journal: Journal
    source: str

    async def block(self, number: int) -> Block | None:
        return await self.journal.block(self.source, number)

    async def said(self, first: int, last: int) -> Sequence[Logged]:
        return await self.journal.between(self.source, first, last)

    async def credentials(self, tokens: Sequence[int], at: Block) -> Mapping[int, int]:
        return await self.journal.credentials(self.source, tokens, at)

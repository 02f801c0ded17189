"""Two endpoints tell different logs of the same blocks: who is right?

Receipts that add up to the root in the header that both of them show are proof, whoever gave them;
where none can be had, a third endpoint's word makes a majority. Who is proven wrong is quarantined,
who does not show the header is asked last, and where nobody decides, nobody is believed. A
transaction's hash is no part of its receipt: a dispute about nothing but that is for the third
endpoint.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from chainwatch.chain import headers, logs, receipts
from chainwatch.chain.proof import difference
from chainwatch.chain.rpc import Rpc
from chainwatch.chain.wire import Contracts, Header, RawLog
from chainwatch.domain.events import Block
from chainwatch.errors import NotAChain, Transient


@dataclass(frozen=True, slots=True)
class Dispute:
    """Between the endpoint that leads a step and another one; `others` may be asked besides."""

    contract: Contracts
    lead: Rpc
    other: Rpc
    others: Sequence[Rpc]

    async def settle(self, mine: Sequence[RawLog], theirs: Sequence[RawLog]) -> list[RawLog]:
        """What is true: `mine`, the leading endpoint's, wherever it is not proven wrong.

        Raises `NotAChain` where nobody can decide.
        """
        said, denied = _by_block(mine), _by_block(theirs)
        true: list[RawLog] = []
        wrong: dict[int, tuple[Rpc, str]] = {}
        for number in sorted({*said, *denied}):
            lead, other = said.get(number, []), denied.get(number, [])
            told = lead if lead == other else await self._true(number, lead, other)
            for place, (rpc, each) in enumerate(((self.lead, lead), (self.other, other))):
                if each != told:
                    why = f"{rpc.name} {difference(each, told)} block {number}"
                    wrong.setdefault(place, (rpc, why))
            true += told
        for rpc, why in wrong.values():
            rpc.quarantine(why)
        return true

    async def proven(self, number: int) -> list[RawLog] | None:
        """What receipts prove of a block, None where there are none that add up."""
        header, provable = await self._header(number)
        return await self._proven(header) if provable else None

    async def _true(self, number: int, mine: list[RawLog], theirs: list[RawLog]) -> list[RawLog]:
        header, provable = await self._header(number)
        proven = await self._proven(header) if provable else None
        if proven is not None and _bare(mine) != _bare(theirs):
            same = (told for told in (mine, theirs) if _bare(told) == _bare(proven))
            return next(same, proven)
        third = await self._third(header, mine, theirs)
        if third is not None:
            return third
        raise NotAChain(
            f"{self.lead.name} and {self.other.name} tell different logs of block {number}, "
            "and neither receipts nor another endpoint decide who is right"
        )

    async def _header(self, number: int) -> tuple[Header, bool]:
        """The block's header, and whether both show the same bloom and root in it."""
        ours, its = await _shown(self.lead, number), await _shown(self.other, number)
        if ours.block != its.block:
            await self._blame(ours.block, its.block)
            raise NotAChain(
                f"two endpoints disagree about block {number}: {self.lead.name} says "
                f"{ours.block.hash}, {self.other.name} says {its.block.hash}"
            )
        return ours, ours == its

    async def _blame(self, ours: Block, its: Block) -> None:
        """Quarantine whoever shows another block than two others do, of one that is final."""
        for rpc in self.others:
            try:
                third = (await headers.fetch(rpc, [ours.number]))[0].block
            except Transient:
                continue
            if third in (ours, its):
                wrong, right = (self.lead, self.other) if third == its else (self.other, self.lead)
                wrong.quarantine(
                    f"{wrong.name} shows another block {ours.number} than {right.name} and "
                    f"{rpc.name}"
                )
                return

    async def _proven(self, header: Header) -> list[RawLog] | None:
        """The block's logs, from whoever has receipts of it that add up."""
        for rpc in (self.lead, self.other, *self.others):
            try:
                async for _, found in receipts.proven(rpc, self.contract, [header]):
                    return found
            except Transient:
                continue
        return None

    async def _third(
        self, header: Header, mine: list[RawLog], theirs: list[RawLog]
    ) -> list[RawLog] | None:
        """The logs that another endpoint tells, if it sides with one of the two."""
        for rpc in self.others:
            try:
                found = await logs.of_blocks(rpc, self.contract, [header])
            except Transient:
                continue
            if found in (mine, theirs):
                return found
        return None


async def _shown(rpc: Rpc, number: int) -> Header:
    """A header that is needed to judge; who does not show it is asked last from now on."""
    try:
        return (await headers.fetch(rpc, [number]))[0]
    except Transient as trouble:
        why = f"{rpc.name} does not show block {number}, whose logs are in dispute: {trouble}"
        rpc.distrust(why)
        raise NotAChain(why) from trouble


def _by_block(told: Sequence[RawLog]) -> dict[int, list[RawLog]]:
    blocks: dict[int, list[RawLog]] = {}
    for log in told:
        blocks.setdefault(log.block, []).append(log)
    return blocks


def _bare(said: Sequence[RawLog]) -> list[tuple[int, tuple[bytes, ...], bytes]]:
    """Logs as far as receipts prove them."""
    return [(log.log_index, log.topics, log.data) for log in said]

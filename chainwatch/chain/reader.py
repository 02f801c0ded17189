"""What one endpoint makes of a source: where it stands, and the next step after our cursor.

Everything in a step comes from one view of the chain. Below the finalized block logs come by range,
above it block by block along the parents' hashes. A step covers what was read and held against its
headers, and not one block more. Failure mode: a node whose lies fit together is believed here; what
another endpoint says of it is for the witness (`chain/witness.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chainwatch.chain import headers, logs
from chainwatch.chain.bloom import Watch
from chainwatch.chain.bonds import Bonds
from chainwatch.chain.decode import Profile, Unreadable, decode
from chainwatch.chain.proof import Proof
from chainwatch.chain.ranges import Span
from chainwatch.chain.reorg import Behind, KnownBlocks, ancestor
from chainwatch.chain.rpc import Rpc
from chainwatch.chain.settings import SourceSettings
from chainwatch.chain.tip import Tip, ask_tip
from chainwatch.chain.unsaid import Unsaid, in_order
from chainwatch.chain.wire import Header, RawLog
from chainwatch.domain.batches import Batch, Rewind, SourceState
from chainwatch.domain.events import Block
from chainwatch.errors import NotAChain
from provisioner.faultpoints import guarded

_WINDOW: Final = 64
"""Blocks above finality in one step: what one step holds in memory, and may have to read again."""


@dataclass(frozen=True, slots=True)
class View:
    """What one endpoint said in a round: where it stands, and the step that it leads to.

    `logs` are those of the step's blocks; `unreadable` those of them that no decoder could read.
    """

    rpc: Rpc
    tip: Tip
    step: Batch | Rewind | None
    logs: Sequence[RawLog] = ()
    unreadable: Sequence[Unreadable] = ()

    @property
    def head(self) -> int:
        """The number of the highest block that it has shown."""
        return self.tip.head.block.number


class Reader:
    """Reads one source, from whichever endpoint it is handed."""

    def __init__(self, settings: SourceSettings, profile: Profile, known: KnownBlocks) -> None:
        self._settings = settings
        self._contract = settings.source.watched
        self._profile = profile
        self._known = known
        watch = Watch(self._contract, profile.topics)
        self._proof = Proof(self._contract, watch, settings.verify)
        self._unsaid = Unsaid(settings.source.contract.lower(), profile)
        self._bonds = Bonds(settings.source)
        self._span = Span(settings.max_range)

    @guarded("chain.read")
    async def read(self, rpc: Rpc, state: SourceState) -> View:
        """The endpoint's view of the chain, from `state` on.

        Raises `RpcUnavailable` when it does not answer or is behind us, `NotAChain` when it
        contradicts itself, `SourceHalted` when it contradicts what is final.
        """
        tip = await self._tip(rpc, state)
        cursor = state.cursor
        if cursor is not None and tip.at_cursor != cursor:
            return View(rpc, tip, await self._back(rpc, state, tip, cursor))
        return await self._onwards(rpc, state, tip)

    @guarded("chain.tip")
    async def _tip(self, rpc: Rpc, state: SourceState) -> Tip:
        tip = await ask_tip(rpc, self._settings.finality, state.cursor)
        if tip.chain_id != self._settings.source.chain_id:
            raise NotAChain(f"{rpc.name} now serves chain {tip.chain_id}")
        rpc.saw_head(tip.head.block.number)
        return tip

    async def _back(self, rpc: Rpc, state: SourceState, tip: Tip, cursor: Block) -> Rewind:
        head = tip.head.block.number
        start = self._settings.source.start_block
        common = await ancestor(rpc, self._known, state, tip, start)
        if head - self._settings.confirmations < cursor.number:
            short = f"{rpc.name} is on another fork, but only at block {head}, and so behind us"
            rpc.distrust(short)
            raise Behind(short, past_final=True)
        return Rewind(common, head)

    async def _onwards(self, rpc: Rpc, state: SourceState, tip: Tip) -> View:
        start = self._settings.source.start_block
        first = start if state.cursor is None else state.cursor.number + 1
        confirmed = tip.head.block.number - self._settings.confirmations
        final = tip.final_number
        if state.final is not None:
            final = max(final, state.final.number)
        if first <= min(final, confirmed):
            return await self._below_final(rpc, state, tip, first, min(final, confirmed))
        if first <= confirmed:
            return await self._above_final(rpc, state, tip, first, final)
        return await self._only_final(rpc, state, tip, final)

    async def _below_final(
        self, rpc: Rpc, state: SourceState, tip: Tip, first: int, last: int
    ) -> View:
        """Blocks that can't change any more: a range of logs, headers where there are events."""
        end, said = await logs.in_range(rpc, self._contract, first, last, self._span)
        if self._proof.every_header:
            blocks, found = await self._each(rpc, state, first, end, said)
        else:
            blocks, found = await self._some(rpc, state, end, said)
        return await self._view(rpc, state, tip, blocks, found, final=end.block)

    async def _some(
        self, rpc: Rpc, state: SourceState, end: Header, said: list[RawLog]
    ) -> tuple[list[Block], list[RawLog]]:
        """The blocks with events and the end, whose doubt would be a doubt of the whole range."""
        numbers = sorted({log.block for log in said} - {end.block.number})
        kept = [*(await headers.fetch(rpc, numbers)), end]
        _check_homes(said, kept)
        found = await self._proof.settled(rpc, kept, said)
        if found != said:
            raise NotAChain(f"{rpc.name} left out logs of block {end.block.number}")
        blocks = [header.block for header in kept]
        headers.check_links(blocks if state.cursor is None else [state.cursor, *blocks])
        return blocks, found

    async def _each(
        self, rpc: Rpc, state: SourceState, first: int, end: Header, said: list[RawLog]
    ) -> tuple[list[Block], list[RawLog]]:
        """Every block held against its header, a stretch at a time; those with events are kept."""
        before = state.cursor
        kept: list[Block] = []
        found: list[RawLog] = []
        async for stretch in headers.stretches(rpc, first, end):
            linked = [header.block for header in stretch]
            headers.check_links(linked if before is None else [before, *linked])
            before = linked[-1]
            here = [log for log in said if linked[0].number <= log.block <= before.number]
            _check_homes(here, stretch)
            proven = await self._proof.settled(rpc, stretch, here)
            homes = {log.block for log in proven} | {end.block.number}
            kept += [block for block in linked if block.number in homes]
            found += proven
        return kept, found

    async def _above_final(
        self, rpc: Rpc, state: SourceState, tip: Tip, first: int, final: int
    ) -> View:
        """Blocks that may still change: every header, and logs by its hash."""
        confirmed = tip.head.block.number - self._settings.confirmations
        last = min(confirmed, first + _WINDOW - 1)
        known = [tip.head] if last == tip.head.block.number else []
        fetched = [*await headers.fetch(rpc, range(first, last + 1 - len(known))), *known]
        blocks = [header.block for header in fetched]
        headers.check_links(blocks if state.cursor is None else [state.cursor, *blocks])
        said = await logs.of_blocks(rpc, self._contract, fetched)
        found = await self._proof.settled(rpc, fetched, said)
        end = await self._final(rpc, state, tip, final)
        return await self._view(rpc, state, tip, blocks, found, final=end)

    async def _only_final(self, rpc: Rpc, state: SourceState, tip: Tip, final: int) -> View:
        """No new block, but more of the old ones are final now."""
        nothing = View(rpc, tip, None)
        if state.cursor is None or (state.final is not None and final <= state.final.number):
            return nothing
        block = await self._final(rpc, state, tip, min(final, state.cursor.number))
        if block is None or block == state.final:
            return nothing
        return await self._view(rpc, state, tip, [], [], final=block)

    async def _final(self, rpc: Rpc, state: SourceState, tip: Tip, number: int) -> Block | None:
        """The finalized block at `number`, at or below the cursor; None below the start block."""
        for block in (state.final, state.cursor):
            if block is not None and block.number == number:
                return block
        if state.cursor is None or number < self._settings.source.start_block:
            return None
        mine = await self._known.block(number)
        if mine is None:
            mine = (await headers.fetch(rpc, [number]))[0].block
        if tip.final is not None and tip.final.number == number and tip.final.hash != mine.hash:
            raise NotAChain(f"{rpc.name} calls another block {number} final than the one it shows")
        return mine

    async def _view(
        self,
        rpc: Rpc,
        state: SourceState,
        tip: Tip,
        blocks: Sequence[Block],
        found: Sequence[RawLog],
        *,
        final: Block | None,
    ) -> View:
        events, unreadable = decode(self._profile, found)
        told = [*await self._unsaid.told(rpc, found), *await self._bonds.told(rpc, found)]
        events = in_order(events, told)
        cursor = blocks[-1] if blocks else state.cursor
        if cursor is None:
            raise ValueError("a batch without blocks needs a cursor")
        kept = {block.number: block for block in (*blocks, *((final,) if final else ()))}
        head = tip.head.block.number
        batch = Batch(
            after=state.cursor,
            cursor=cursor,
            final=final,
            head=head,
            blocks=tuple(kept[number] for number in sorted(kept)),
            events=tuple(events),
            caught_up=cursor.number >= head - self._settings.confirmations,
        )
        return View(rpc, tip, batch, found, unreadable)


def _check_homes(found: Sequence[RawLog], kept: Sequence[Header]) -> None:
    """Every log lies in the block that the node's own header names."""
    hashes = {header.block.number: header.block.hash for header in kept}
    for log in found:
        if hashes.get(log.block) != log.block_hash:
            raise NotAChain(
                f"a log is of block {log.block} {log.block_hash}, "
                f"whose header says {hashes.get(log.block)}"
            )

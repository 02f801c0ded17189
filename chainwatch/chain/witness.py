"""What one endpoint says, held against another: nothing irreversible rests on one endpoint alone.

A step is led by one endpoint. Where the source has more, another one, the witness, has to show the
same block at the step's cursor; and what the step calls final has to be final for both, by hash,
with the same logs in every block that becomes final by it, and those have to be the ones that are
stored. Whom a witness contradicts is not believed, nor is the witness: a third endpoint decides on
hashes, proven receipts on logs (`chain/dispute.py`), and who loses is told so. Where nobody can
decide there is no step. A witness that is silent (no answer, or not as far) contradicts nothing:
reading goes on alone, and what is final stays where two have agreed that it is. Failure mode: two
endpoints that tell the same lie are believed.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from chainwatch.chain import headers, logs
from chainwatch.chain.decode import Profile, decode
from chainwatch.chain.dispute import Dispute
from chainwatch.chain.ranges import Span
from chainwatch.chain.reader import View
from chainwatch.chain.reorg import KnownBlocks
from chainwatch.chain.rpc import Endpoints, Rpc
from chainwatch.chain.settings import SourceSettings
from chainwatch.chain.tip import Tip, ask_tip
from chainwatch.chain.wire import RawLog
from chainwatch.domain.batches import Batch, Rewind, SourceState
from chainwatch.domain.events import Block, Logged
from chainwatch.errors import NotAChain, RpcUnavailable, Transient

_ENOUGH: Final = 2


@dataclass(frozen=True, slots=True)
class _Word:
    """Where another endpoint stands, and its block at the number that it was asked about."""

    rpc: Rpc
    tip: Tip

    @property
    def block(self) -> Block | None:
        """Its block there, None where it has not come as far."""
        return self.tip.at_cursor


class _Silent(RpcUnavailable):
    """An endpoint does not tell what was to be compared."""

    def __init__(self, rpc: Rpc, why: str) -> None:
        super().__init__(f"{rpc.name}: {why}")
        self.rpc = rpc


class Witness:
    """Confirms the steps of one source.

    `alone` is why nobody confirmed the last one, None when somebody did, or where there is only one
    endpoint to ask.
    """

    def __init__(
        self, settings: SourceSettings, rpc: Endpoints, profile: Profile, known: KnownBlocks
    ) -> None:
        self.alone: str | None = None
        self._settings = settings
        self._contract = settings.source.watched
        self._rpc = rpc
        self._profile = profile
        self._known = known
        self._spans: dict[str, Span] = defaultdict(lambda: Span(settings.max_range))

    async def confirmed(
        self, view: View, batch: Batch, state: SourceState
    ) -> Batch | Rewind | None:
        """The step as far as another endpoint agrees with it; None when nothing of it is left.

        A rewind when what is stored is not what two of them say. Raises `NotAChain` when they
        contradict each other and the leading one is wrong, or nobody knows who is, and
        `RpcUnavailable` when one falls silent in the middle.
        """
        if len(self._rpc.health()) < _ENOUGH:
            return batch
        other = await self._heard(view, batch.cursor, batch.final.number if batch.final else -1)
        if other is None:
            return _up_to(batch, state.final, state)
        return await self._finalized(view, other, batch, state)

    async def _heard(self, view: View, cursor: Block, final: int) -> _Word | None:
        """Another endpoint that shows our block, or else one that is behind; None without any.

        Of those that show it the first that calls the block at `final` so, or the one that comes
        nearest: nobody holds back what two others agree on.
        """
        others = self._others(view.rpc)
        agreeing: list[_Word] = []
        behind: list[_Word] = []
        silent: list[str] = []
        for place, rpc in enumerate(others):
            try:
                word = await self._ask(rpc, cursor)
            except Transient as trouble:
                silent.append(f"{rpc.name}: {trouble}")
                continue
            contradicts = self._contradicts(word, cursor)
            if contradicts and agreeing:
                _outvoted(rpc, word.tip, cursor, view.rpc, agreeing[0].rpc)
                continue
            if contradicts:
                third = await self._third(view, word, cursor, others[place + 1 :])
                if third is None and not self._left_behind(word, cursor, view):
                    raise _disagreement(view.rpc, word, cursor)
                word = third or word
            (agreeing if word.block == cursor else behind).append(word)
            if word.block == cursor and word.tip.final_number >= final:
                break
            if word.block != cursor:
                silent.append(f"{rpc.name}: it is only at block {word.tip.head.block.number}")
        unheard = "; ".join(silent) or "every other endpoint is in quarantine"
        self.alone = None if agreeing else unheard
        return max(agreeing or behind, key=lambda word: word.tip.final_number, default=None)

    async def _ask(self, rpc: Rpc, at: Block) -> _Word:
        try:
            tip = await ask_tip(rpc, self._settings.finality, at)
            if tip.chain_id != self._settings.source.chain_id:
                raise NotAChain(f"{rpc.name} now serves chain {tip.chain_id}")
        except NotAChain as contradiction:
            rpc.distrust(str(contradiction))
            raise
        rpc.saw_head(tip.head.block.number)
        return _Word(rpc, tip)

    def _tells(self, word: _Word, block: Block) -> bool:
        """Whether it has confirmed its block there: before that, its fork may be a passing one."""
        return word.tip.head.block.number - self._settings.confirmations >= block.number

    def _contradicts(self, word: _Word, block: Block) -> bool:
        """Whether it shows another block there, or the same with another time or parent."""
        return word.block != block and (_same_hash(word, block) or self._tells(word, block))

    def _left_behind(self, word: _Word, block: Block, view: View) -> bool:
        """Whether it stands still on another fork while the leading endpoint goes on.

        One whose head rises does not: who shows a longer chain is no nearer to the truth by that.
        """
        behind = word.tip.head.block.number < view.head - self._settings.confirmations
        still = word.rpc.still_for() >= self._settings.stale_after
        return behind and still and not _same_hash(word, block)

    async def _third(
        self, view: View, word: _Word, block: Block, others: Sequence[Rpc]
    ) -> _Word | None:
        """Who sides with the leading endpoint about a block that another one shows otherwise.

        None where nobody sides with either; raises `NotAChain` when the leading one is outvoted.
        """
        for rpc in others:
            try:
                third = await self._ask(rpc, block)
            except Transient:
                continue
            if third.block == block:
                _outvoted(word.rpc, word.tip, block, view.rpc, rpc)
                return third
            if third.block == word.block and self._tells(third, block):
                _outvoted(view.rpc, view.tip, block, word.rpc, rpc)
                raise _disagreement(view.rpc, word, block)
        return None

    async def _finalized(
        self, view: View, other: _Word, batch: Batch, state: SourceState
    ) -> Batch | Rewind | None:
        """The step, with what is final as far as both call it so and told the same logs."""
        low = self._settings.source.start_block if state.final is None else state.final.number + 1
        called = batch.final.number if batch.final else -1
        high = min(called, other.tip.final_number)
        if high < low:
            if high < called and self.alone is None:
                self.alone = f"{other.rpc.name} calls no block above {max(high, 0)} final"
            return _up_to(batch, state.final, state)
        try:
            end, mine = await self._led(view, batch, state, low, high)
            other, theirs = await self._seconded(view, other, low, end)
        except _Silent as silent:
            silent.rpc.distrust(str(silent))
            self.alone = str(silent)
            return _up_to(batch, state.final, state)
        others = self._others(view.rpc, other.rpc)
        dispute = Dispute(self._contract, view.rpc, other.rpc, others)
        if (await self._known.block(end.number) or end) != end:
            return await self._without(end.number, batch, state)
        true = mine if mine == theirs else await dispute.settle(mine, theirs)
        wrong = await self._first_wrong(state, true, low, end.number)
        if wrong is not None and await self._is_proven(dispute, wrong):
            self.alone = f"no endpoint tells the logs of block {wrong} that its receipts prove"
            return _up_to(batch, state.final, state)
        if wrong is not None:
            return await self._without(wrong, batch, state)
        if true != mine:
            raise NotAChain(f"{view.rpc.name} tells other logs than two others agree on or prove")
        return _up_to(batch, end, state)

    async def _without(self, number: int, batch: Batch, state: SourceState) -> Rewind:
        """Take back what is stored of this block and all above it."""
        return Rewind(await self._known.block(number - 1) or state.final, batch.head)

    async def _led(
        self, view: View, batch: Batch, state: SourceState, low: int, high: int
    ) -> tuple[Block, list[RawLog]]:
        """The block that becomes final, up to `high`, and the leading endpoint's logs up to it."""
        if state.cursor == state.final:
            end = next((block for block in batch.blocks if block.number == high), None)
            end = end or (await headers.fetch(view.rpc, [high]))[0].block
            return end, [log for log in view.logs if log.block <= high]
        end, told = await self._range(view.rpc, low, high)
        stored = await self._known.block(end.number)
        after = state.cursor.number if state.cursor else -1
        new = [log for log in told if log.block > after]
        if (stored or end).hash != end.hash or new != [
            log for log in view.logs if log.block <= end.number
        ]:
            why = f"{view.rpc.name} does not tell the same twice of the blocks up to {end.number}"
            view.rpc.distrust(why)
            raise NotAChain(why)
        return end, told

    async def _seconded(
        self, view: View, other: _Word, low: int, end: Block
    ) -> tuple[_Word, list[RawLog]]:
        """Who calls the same block final, and its logs up to it."""
        last, told = await self._all(other.rpc, low, end.number)
        word = replace(other, tip=replace(other.tip, at_cursor=last))
        if last == end:
            return word, told
        third = await self._third(view, word, end, self._others(view.rpc, other.rpc))
        if third is None:
            raise _disagreement(view.rpc, word, end)
        if third.tip.final_number < end.number:
            raise _Silent(third.rpc, f"it does not call block {end.number} final yet")
        last, told = await self._all(third.rpc, low, end.number)
        if last != end:
            raise _Silent(third.rpc, f"it shows one block {end.number} and then another")
        return third, told

    async def _all(self, rpc: Rpc, first: int, last: int) -> tuple[Block, list[RawLog]]:
        """The block at `last` and the logs up to it, in as many questions as the endpoint needs."""
        end, told = await self._range(rpc, first, last)
        while end.number < last:
            end, found = await self._range(rpc, end.number + 1, last)
            told += found
        return end, told

    async def _range(self, rpc: Rpc, first: int, last: int) -> tuple[Block, list[RawLog]]:
        """A block up to `last`, as far as this endpoint tells logs at once, and those up to it."""
        span = self._spans[rpc.name]
        try:
            header, found = await logs.in_range(rpc, self._contract, first, last, span)
        except Transient as trouble:
            raise _Silent(rpc, str(trouble)) from trouble
        return header.block, found

    async def _first_wrong(
        self, state: SourceState, agreed: Sequence[RawLog], low: int, high: int
    ) -> int | None:
        """The first block whose stored events are not what two endpoints agree on."""
        if state.cursor is None or low > state.cursor.number:
            return None
        last = min(high, state.cursor.number)
        true, _ = decode(self._profile, [log for log in agreed if log.block <= last])
        stored = await self._logged(low, last)
        return min((each.block for each in {*true} ^ {*stored}), default=None)

    async def _is_proven(self, dispute: Dispute, number: int) -> bool:
        """Whether receipts prove what is stored of a block, against what everybody tells."""
        true = await dispute.proven(number)
        if true is None:
            return False
        return decode(self._profile, true)[0] == await self._logged(number, number)

    async def _logged(self, first: int, last: int) -> list[Logged]:
        """What is stored of what logs said; what the state said is in no log."""
        return [each for each in await self._known.said(first, last) if each.by_log]

    def _others(self, *but: Rpc) -> list[Rpc]:
        return [rpc for rpc in self._rpc.ranked() if all(rpc is not each for each in but)]


def _up_to(batch: Batch, final: Block | None, state: SourceState) -> Batch | None:
    """The batch with this final block; None when that leaves nothing new."""
    if batch.cursor == state.cursor and final == state.final:
        return None
    after = -1 if batch.after is None else batch.after.number
    kept = {block.number: block for block in batch.blocks if block.number > after}
    if final is not None and final != state.final:
        kept[final.number] = final
    return replace(batch, final=final, blocks=tuple(kept[number] for number in sorted(kept)))


def _outvoted(rpc: Rpc, tip: Tip, block: Block, *by: Rpc) -> None:
    """One is wrong about a block that it calls final; above that it may be on a passing fork."""
    why = f"{rpc.name} shows another block {block.number} than {by[0].name} and {by[1].name}"
    if tip.final_number >= block.number:
        rpc.quarantine(why)
    else:
        rpc.distrust(why)


def _same_hash(word: _Word, block: Block) -> bool:
    return word.block is not None and word.block.hash == block.hash


def _disagreement(lead: Rpc, word: _Word, block: Block) -> NotAChain:
    return NotAChain(
        f"two endpoints disagree about block {block.number}: {lead.name} says {_said(block)}, "
        f"{word.rpc.name} says {_said(word.block)}"
    )


def _said(block: Block | None) -> str:
    return "nothing" if block is None else f"{block.hash} of time {block.timestamp}"

"""Reads one source step by step: what is next after the cursor, or what has to be taken back.

A step asks one endpoint only, so that everything in it comes from one view of the chain, and ends
in a `Batch`, a `Rewind` or nothing. The first endpoint with news decides; "nothing new" has to be
the answer of all. A rewind is news only from an endpoint that has come as far as we have, and only
while nobody holds our cursor, or those who do fall behind by more than the confirmations: one that
is stuck on a short fork takes nothing back. Below the finalized block logs come by range, above it
block by block along the parents' hashes. A step covers what it has read and verified and not one
block more; whoever commits it moves the cursor, the scanner keeps none. Failure mode: a node that
lies consistently about blocks that are not final is believed until another one, or its own next
answer, contradicts it.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chainwatch.chain import headers, logs
from chainwatch.chain.bloom import Watch
from chainwatch.chain.decode import Profile, Unreadable, decode
from chainwatch.chain.ranges import Span
from chainwatch.chain.reorg import Behind, KnownBlocks, ancestor
from chainwatch.chain.rpc import Endpoints, Rpc, RpcError
from chainwatch.chain.settings import SourceSettings
from chainwatch.chain.tip import Tip, ask_tip
from chainwatch.chain.wire import Header, RawLog
from chainwatch.domain.batches import Batch, Rewind, SourceState
from chainwatch.domain.events import Block
from chainwatch.errors import Fatal, NotAChain, RpcUnavailable, SourceHalted, Transient
from provisioner.faultpoints import guarded

_WINDOW: Final = 64
"""Blocks above finality in one step: what one step holds in memory, and may have to read again."""


_UNREADABLE_KEPT: Final = 1000


@dataclass(frozen=True, slots=True)
class _View:
    """What one endpoint said in a round: its head, and the step that it leads to."""

    rpc: Rpc
    head: int
    step: Batch | Rewind | None


class Scanner:
    """Reads one source, and remembers the logs that no decoder could read."""

    def __init__(
        self, settings: SourceSettings, rpc: Endpoints, profile: Profile, known: KnownBlocks
    ) -> None:
        self._settings = settings
        self._contract = settings.source.contract.lower()
        self._rpc = rpc
        self._profile = profile
        self._known = known
        self._watch = Watch(self._contract, profile.decoders)
        self._span = Span(settings.max_range)
        self._unreadable: deque[Unreadable] = deque(maxlen=_UNREADABLE_KEPT)

    @guarded("chain.check")
    async def check(self) -> None:
        """Raise `Fatal` when no endpoint that answers serves the right chain with the contract.

        One that is wrong while another is right is distrusted, one that does not answer is passed
        over; `RpcUnavailable` when none does.
        """
        silent: Transient | None = None
        wrong: list[tuple[Rpc, Fatal]] = []
        right = False
        for rpc in self._rpc.ranked():
            try:
                await self._check(rpc)
                right = True
            except Transient as trouble:
                silent = silent or trouble
            except Fatal as found:
                wrong.append((rpc, found))
        if wrong and not right:
            raise wrong[0][1]
        for rpc, why in wrong:
            rpc.distrust(str(why))
        if not right:
            raise RpcUnavailable(f"no endpoint of source {self._settings.source.name}: {silent}")

    async def _check(self, rpc: Rpc) -> None:
        source = self._settings.source
        tip = await ask_tip(rpc, self._settings.finality, None)
        if tip.chain_id != source.chain_id:
            raise Fatal(
                f"{rpc.name} serves chain {tip.chain_id}, but source {source.name} is configured "
                f"for chain {source.chain_id}: correct its chain_id or its endpoints"
            )
        code = await rpc.call("eth_getCode", source.contract, "latest")
        if code in ("0x", "0x0", None):
            raise Fatal(
                f"there is no contract at {source.contract} on chain {source.chain_id} "
                f"(asked {rpc.name}): correct the contract of source {source.name}"
            )

    def take_unreadable(self) -> tuple[Unreadable, ...]:
        """The logs that could not be read since the last time, each a reason for an alarm."""
        taken = tuple(self._unreadable)
        self._unreadable.clear()
        return taken

    async def next(self, state: SourceState) -> Batch | Rewind | None:
        """The next step from `state`; None when an endpoint stands where we do and none has more.

        Raises `RpcUnavailable` when none answers or all are behind us, `NotAChain` when those that
        answer contradict themselves, `SourceHalted` when what is final is contradicted and nobody
        confirms it.
        """
        troubles: list[Transient | SourceHalted] = []
        with_us: list[_View] = []
        against: list[_View] = []
        for rpc in self._rpc.ranked():
            try:
                view = await self._read(rpc, state)
            except (Transient, SourceHalted) as trouble:
                if isinstance(trouble, NotAChain | SourceHalted):
                    rpc.distrust(str(trouble))
                troubles.append(trouble)
                continue
            (against if isinstance(view.step, Rewind) else with_us).append(view)
            if isinstance(view.step, Batch):
                break
        if not with_us and not against:
            raise _worst(troubles)
        return self._weighed(with_us, against)

    def _weighed(self, with_us: Sequence[_View], against: Sequence[_View]) -> Batch | Rewind | None:
        """The step of a round: a rewind only from who is confirmed beyond all that hold our cursor.

        Whoever loses is distrusted, so that the next round does not begin on its fork.
        """
        highest = max((view.head for view in with_us), default=-1)
        other = max(against, key=lambda view: view.head, default=None)
        if other is not None and other.head - self._settings.confirmations > highest:
            for view in with_us:
                view.rpc.distrust(f"its fork ends at block {view.head}, another one goes on")
            return other.step
        for view in against:
            view.rpc.distrust(f"it is on a fork at block {view.head}, where another confirms ours")
        return with_us[-1].step

    @guarded("chain.read")
    async def _read(self, rpc: Rpc, state: SourceState) -> _View:
        tip = await self._tip(rpc, state)
        cursor, head = state.cursor, tip.head.block.number
        if tip.chain_id != self._settings.source.chain_id:
            raise NotAChain(f"{rpc.name} now serves chain {tip.chain_id}")
        if cursor is not None and (tip.at_cursor is None or tip.at_cursor.hash != cursor.hash):
            return _View(rpc, head, await self._back(rpc, state, tip, cursor))
        return _View(rpc, head, await self._onwards(rpc, state, tip))

    async def _back(self, rpc: Rpc, state: SourceState, tip: Tip, cursor: Block) -> Rewind:
        head = tip.head.block.number
        start = self._settings.source.start_block
        common = await ancestor(rpc, self._known, state, tip, start)
        if head - self._settings.confirmations < cursor.number:
            short = f"{rpc.name} is on another fork, but only at block {head}, and so behind us"
            rpc.distrust(short)
            raise Behind(short, past_final=True)
        return Rewind(common, head)

    @guarded("chain.tip")
    async def _tip(self, rpc: Rpc, state: SourceState) -> Tip:
        tip = await ask_tip(rpc, self._settings.finality, state.cursor)
        rpc.saw_head(tip.head.block.number)
        return tip

    async def _onwards(self, rpc: Rpc, state: SourceState, tip: Tip) -> Batch | None:
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
    ) -> Batch:
        """Blocks that can't change any more: a range of logs, headers where there are events."""
        end, found = await logs.in_range(rpc, self._contract, first, last, self._span)
        if not found or found[-1].block != end.block.number:
            await logs.of_blocks(rpc, self._contract, [end], self._watch)
        numbers = sorted({log.block for log in found} - {end.block.number})
        kept = [*(await headers.fetch(rpc, numbers)), end]
        _check_homes(found, kept)
        blocks = [header.block for header in kept]
        headers.check_links(blocks if state.cursor is None else [state.cursor, *blocks])
        return self._batch(state, tip, blocks, found, final=end.block)

    async def _above_final(
        self, rpc: Rpc, state: SourceState, tip: Tip, first: int, final: int
    ) -> Batch:
        """Blocks that may still change: every header, and logs by its hash."""
        confirmed = tip.head.block.number - self._settings.confirmations
        last = min(confirmed, first + _WINDOW - 1)
        fetched = await headers.fetch(rpc, range(first, last + 1))
        blocks = [header.block for header in fetched]
        headers.check_links(blocks if state.cursor is None else [state.cursor, *blocks])
        found = await logs.of_blocks(rpc, self._contract, fetched, self._watch)
        return self._batch(state, tip, blocks, found, await self._final(rpc, state, tip, final))

    async def _only_final(self, rpc: Rpc, state: SourceState, tip: Tip, final: int) -> Batch | None:
        """No new block, but more of the old ones are final now."""
        if state.cursor is None or (state.final is not None and final <= state.final.number):
            return None
        block = await self._final(rpc, state, tip, min(final, state.cursor.number))
        if block is None or block == state.final:
            return None
        return self._batch(state, tip, [], [], block)

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

    def _batch(
        self,
        state: SourceState,
        tip: Tip,
        blocks: list[Block],
        found: list[RawLog],
        final: Block | None,
    ) -> Batch:
        events, unreadable = decode(self._profile, found)
        self._unreadable += unreadable
        cursor = blocks[-1] if blocks else state.cursor
        if cursor is None:
            raise ValueError("a batch without blocks needs a cursor")
        kept = {block.number: block for block in (*blocks, *((final,) if final else ()))}
        head = tip.head.block.number
        return Batch(
            after=state.cursor,
            cursor=cursor,
            final=final,
            head=head,
            blocks=tuple(kept[number] for number in sorted(kept)),
            events=tuple(events),
            caught_up=cursor.number >= head - self._settings.confirmations,
        )


def _check_homes(found: list[RawLog], kept: list[Header]) -> None:
    """Every log lies in the block that the node's own header names."""
    hashes = {header.block.number: header.block.hash for header in kept}
    for log in found:
        if hashes.get(log.block) != log.block_hash:
            raise NotAChain(
                f"a log is of block {log.block} {log.block_hash}, "
                f"whose header says {hashes.get(log.block)}"
            )


def _worst(troubles: list[Transient | SourceHalted]) -> Transient | SourceHalted:
    """What to tell when nobody stands where we do: who contradicts says more than who is silent.

    One that is behind us and holds our final block vouches for it: then nothing halts.
    """
    vouched = any(isinstance(trouble, Behind) and trouble.past_final for trouble in troubles)
    for kind in (SourceHalted, NotAChain, Behind):
        for trouble in troubles:
            if isinstance(trouble, kind) and not (kind is SourceHalted and vouched):
                return trouble
    for trouble in troubles:
        return RpcUnavailable(str(trouble)) if isinstance(trouble, RpcError) else trouble
    return RpcUnavailable("the source has no endpoint")

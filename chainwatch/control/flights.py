"""What is signed, until what used its nonce is final: observed, sent again, replaced, let go.

Law: an intent keeps its nonce, and is sent by the same bytes or by what replaces them, until a
transaction that used this nonce is final. Then it has ended, if that one was ours and succeeded; if
it reverted, did nothing or was somebody else's, the nonce is let go, and the intent is looked at
as if it were new. So nothing is ever signed with a second nonce while the first may still count.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from chainwatch.chain.rpc import RpcError
from chainwatch.chain.sender.gateway import Mined, Traces, View
from chainwatch.chain.sender.looks import NOTHING_TO_SEE, Look, Looks, Word, plain
from chainwatch.control.hand import Hand, Refused, Told
from chainwatch.domain.sendings import TAKING, Attempt, Sending, State
from chainwatch.errors import Transient

log = structlog.get_logger(__name__)

KEY_USED: Final = "sender-key-used"
STUCK: Final = "sender-stuck"
GAP: Final = "sender-gap"
#: A transaction is replaced when so many blocks, and so many seconds, went by without it.
PATIENCE_BLOCKS: Final = 5
PATIENCE_S: Final = 30
#: Seconds after which one that is next and not mined is told of.
STUCK_AFTER: Final = 600
#: Blocks for which something has to be seen before it is believed: answers of one endpoint may come
#: from several nodes, one of which is behind.
SURE_AFTER: Final = 2


@dataclass(slots=True)
class Doubts:
    """Since which block something has been seen, again in every pass."""

    since: dict[str, int] = field(default_factory=dict)
    _now: set[str] = field(default_factory=set)

    def sure(self, what: str, head: int) -> bool:
        """Say whether it has been seen for long enough."""
        self._now.add(what)
        return head - self.since.setdefault(what, head) >= SURE_AFTER

    def settle(self) -> None:
        """End a pass: what was not seen in it is forgotten."""
        self.since = {what: block for what, block in self.since.items() if what in self._now}
        self._now = set()


@dataclass(frozen=True, slots=True)
class Flights:
    """Everything that is signed and not final, of one key on one chain."""

    hand: Hand
    looks: Mapping[str, Looks]
    doubts: Doubts

    # --------------------------------------------------------------------------------- observing

    async def observe(
        self, view: View, traces: Traces, bound: Sequence[Sending], told: Told
    ) -> list[Sending]:
        """Write down what became of each; return those that are in no block, by their nonces."""
        final = await self.hand.sendings.final_in_journal(self.hand.gateway.chain_id)
        waiting = []
        for each in sorted(bound, key=_nonce):
            found = _found(each, traces)
            if each.id in final:
                await self._ended(each)
            elif found is not None:
                await self._in_block(view, each, *found)
            elif (still := await self._in_no_block(view, each, told)) is not None:
                waiting.append(still)
        return waiting

    async def _in_block(self, view: View, each: Sending, attempt: Attempt, where: Mined) -> None:
        if (each.state, each.block_hash) != (State.MINED, where.block_hash):
            await self.hand.sendings.mined(each.id, where.block, where.block_hash)
            log.info("mined", lease=each.intent.lease, kind=each.intent.kind, block=where.block)
        if view.final is None or where.block > view.final.number:
            return
        if not await self._confirmed(view, each, where):
            return
        if where.succeeded and not attempt.void:
            await self._ended(each)
            return
        why = f"{attempt.hash} used nonce {attempt.nonce} up and did nothing, as it was to"
        if not attempt.void:
            why = f"{attempt.hash} reverted in block {where.block}"
        await self._let_go(each, why, reverted=not attempt.void)

    async def _in_no_block(self, view: View, each: Sending, told: Told) -> Sending | None:
        """Return it unless its nonce was used by somebody else."""
        if each.state is State.MINED:
            await self.hand.sendings.fell_out(each.id)
            log.warning("a reorg took it back", lease=each.intent.lease, kind=each.intent.kind)
            each = each.but(state=State.BROADCAST, block=None, block_hash=None)
        nonce = _nonce(each)
        if view.nonce <= nonce:
            return each
        used = f"nonce {nonce} of {each.signer} was used by a transaction that is not ours"
        if self.doubts.sure(used, view.head.number):
            told.alarms[KEY_USED] = (
                f"{used}: if nobody of yours did that, the key is stolen; take its role away"
            )
        after = await self.hand.gateway.final_nonce(view)
        final = after is not None and after > nonce and self.doubts.sure(used, view.head.number)
        if final and await self._confirmed(view, each, None):
            await self._let_go(each, used, reverted=False)
        elif each.why != (why := f"{used}; it is signed again when that is final"):
            await self.hand.sendings.waits(each.id, why)
        return None

    async def _confirmed(self, view: View, each: Sending, where: Mined | None) -> bool:
        """Say whether a second endpoint, where there is one, tells the same of what is final."""
        try:
            told = await self.hand.gateway.testimony(view, each.attempts)
        except Transient as silent:
            why = str(silent)
        else:
            found = None if told is None else _found(each, told)
            if told is None or (found and found[1]) == where:
                return True
            why = f"a second endpoint tells otherwise than {view.rpc.name} what became of it"
        if each.why != why:
            await self.hand.sendings.waits(each.id, why)
        return False

    async def _ended(self, each: Sending) -> None:
        await self.hand.sendings.end(each.id, State.FINAL, None, now=self.hand.clock.now())
        log.info("final", lease=each.intent.lease, kind=each.intent.kind, nonce=each.nonce)

    async def _let_go(self, each: Sending, why: str, *, reverted: bool) -> None:
        log.warning("in vain", lease=each.intent.lease, kind=each.intent.kind, why=why)
        now = self.hand.clock.now()
        await self.hand.sendings.released(each.id, why, reverted=reverted, now=now)

    # --------------------------------------------------------------------------- keeping at it

    async def keep(
        self,
        view: View,
        traces: Traces,
        waiting: Sequence[Sending],
        held: Collection[str],
        told: Told,
    ) -> None:
        """See that each that is in no block gets into one, or is replaced by what does nothing.

        `held` are the leases from which nothing may be taken.
        """
        looks = [self._look(each) for each in waiting]
        seen = await self.hand.gateway.look(view, looks)
        for each, found in zip(waiting, seen, strict=True):
            last = each.last
            if found.word is Word.UNKNOWN:
                # what it would do is not known, so it is not done
                self._tell_of_stuck(view, each, told, found.why)
                continue
            forbidden = each.intent.kind in TAKING and each.intent.lease in held
            wanted = found.word is Word.WANTED and not forbidden and each.displaced is None
            if not wanted and not last.void:
                if await self._again(view, each, told, void=True):
                    continue
            elif self._is_stuck(view, each) and await self._again(view, each, told, void=last.void):
                continue
            if last.hash not in traces.known and (wanted or last.void):
                await self.hand.send(each)
            elif last.hash in traces.known and each.state is State.SIGNED:
                await self.hand.sendings.sent(each.id, last.hash, now=self.hand.clock.now())
            self._tell_of_stuck(view, each, told, each.why)

    def _look(self, each: Sending) -> Look:
        look = self.looks.get(each.intent.source, {}).get(each.intent.kind)
        return NOTHING_TO_SEE if look is None else look(each)

    async def _again(self, view: View, each: Sending, told: Told, *, void: bool) -> bool:
        try:
            return await self.hand.again(view, each, told, void=void)
        except Refused as refused:  # it would fail, and holds up all behind it as long as it flies
            log.info("would fail", lease=each.intent.lease, kind=each.intent.kind, why=refused.text)
            if not void:
                return await self._again(view, each, told, void=True)
            why = refused.text
        except RpcError as error:
            why = f"the node can't try what would replace it: {plain(error.message)}"
        if each.why != why:
            await self.hand.sendings.waits(each.id, why)
        return False

    def _is_stuck(self, view: View, each: Sending) -> bool:
        """Say whether it should have been mined: it is next, or offers less than is asked."""
        last = each.last
        waited = (
            view.head.number - last.signed_block >= PATIENCE_BLOCKS
            and self.hand.clock.now() - last.signed_at >= PATIENCE_S
        )
        return waited and (_nonce(each) == view.nonce or last.offer.cap < view.market.asks)

    def _tell_of_stuck(self, view: View, each: Sending, told: Told, why: str | None) -> None:
        since = self.hand.clock.now() - each.attempts[0].signed_at
        if _nonce(each) == view.nonce and since >= STUCK_AFTER:
            told.alarms[STUCK] = (
                f"{each.last.hash} ({each.intent.kind} of {each.intent.lease or 'a nonce'}) has "
                f"been waiting for {since} s to be mined"
                + (f": {why}" if why else "; no node mines it at what it offers")
            )

    async def mend_gap(self, view: View, bound: Sequence[Sending], source: str, told: Told) -> None:
        """Use up the nonces below our lowest that the chain still waits for."""
        lowest = min(map(_nonce, bound), default=view.nonce)
        if view.pending > max((_nonce(each) + 1 for each in bound), default=view.nonce):
            what = f"{self.hand.key.address} has a pending transaction that is not ours"
            if self.doubts.sure(what, view.head.number):
                told.alarms[KEY_USED] = f"{what}: if nobody of yours sent it, the key is stolen"
        if lowest <= view.nonce:
            return
        what = (
            f"the chain waits for nonce {view.nonce} of {self.hand.key.address}, ours is {lowest}"
        )
        if not self.doubts.sure(what, view.head.number):
            return
        told.alarms[GAP] = f"{what}: what somebody else sent with it is gone; it is used up now"
        for nonce in range(view.nonce, lowest):
            try:
                filled = await self.hand.fill(view, nonce, source, told)
            except Refused as refused:
                told.alarms[GAP] = f"{what}, and it can't be used up: {refused.text}"
                return
            if not filled:
                return


def _nonce(each: Sending) -> int:
    if each.nonce is None:
        raise ValueError(f"sending {each.id} has no nonce")
    return each.nonce


def _found(each: Sending, traces: Traces) -> tuple[Attempt, Mined] | None:
    for attempt in each.attempts:
        if (where := traces.mined.get(attempt.hash)) is not None:
            return attempt, where
    return None

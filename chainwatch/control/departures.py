"""What is wanted and not signed yet: looked up on the chain, tried for nothing, then signed.

The effect is looked for first: one that is there already, whoever did it, is not sent but ends when
the final block shows it too. Then the contract is asked whether it would take the call; a refusal
is a reason and costs nothing. One that says that it is too late for good ends it, once the contract
says so at the final block too. Any other may be about the moment (a role that was not granted yet,
a block that a reorg took): it is told, and tried again, the less often the longer that goes on.
What was given up after its reverts is looked for as well, and not sent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from chainwatch.chain.rpc import RpcError
from chainwatch.chain.sender.gateway import View
from chainwatch.chain.sender.looks import Look, Looks, Seen, Word, plain
from chainwatch.chain.sender.refusals import too_late
from chainwatch.control.hand import Hand, Refused, Told
from chainwatch.domain.sendings import TAKING, Kind, Sending, State

log = structlog.get_logger(__name__)

#: Why a connection is not told any more: it would stand in place of the newer one.
OVERTAKEN: Final = "a later one tells the way in as it is now"
#: Why what reverted too often is not sent, though it is still wanted.
GIVEN_UP: Final = "it reverted {} times and was given up; `chainwatch retry` has it tried again"
#: Transactions that may be under way at once: a node keeps about so many of one account.
WINDOW: Final = 16
#: For how many seconds what can't be sent is let alone.
LET_ALONE: Final = 60
#: For how many at most, however long it has been wanted.
LET_ALONE_AT_MOST: Final = 900


@dataclass(frozen=True, slots=True)
class Ground:
    """What a pass may act on: sources that are read and go on, and leases that are held."""

    sources: frozenset[str]
    held: frozenset[str]


@dataclass(frozen=True, slots=True)
class Departures:
    """Everything of one key on one chain that is wanted."""

    hand: Hand
    looks: Mapping[str, Looks]

    async def send(
        self,
        view: View,
        wanted: Sequence[Sending],
        flying: Sequence[Sending],
        ground: Ground,
        told: Told,
    ) -> None:
        """Sign and send as many as may be under way, the oldest first."""
        ready = await self._ready(wanted, ground)
        seen = await self.hand.gateway.look(view, [look for _, look in ready])
        ready, seen = await self._in_place(ready, seen)
        room = WINDOW - len(flying)
        budget = view.balance - sum(each.last.most(each.intent.call.value) for each in flying)
        found = list(zip(ready, seen, strict=True))
        needless = [(*pair, said) for pair, said in found if said.word is not Word.WANTED]
        for each in (each for (each, _), said in found if said.word is Word.WANTED):
            if each.given_up:
                await self._waits(each, GIVEN_UP.format(each.reverts))
                continue
            if room <= 0:
                break
            try:
                spent = await self.hand.begin(view, each, budget, told)
            except Refused as refused:
                if refused.ends:
                    look = too_late(each.intent, self.hand.key.address)
                    needless.append((each, look, Seen(Word.MOOT, refused.text)))
                else:
                    await self._refused(each, refused.text)
                continue
            except RpcError as error:  # of this call alone: it holds up nobody else
                await self._refused(each, f"the node can't try it: {plain(error.message)}")
                continue
            if spent is None:
                break
            room, budget = room - 1, budget - spent
        await self._conclude(view, needless)

    async def _ready(self, wanted: Sequence[Sending], ground: Ground) -> list[tuple[Sending, Look]]:
        now = self.hand.clock.now()
        ready: list[tuple[Sending, Look]] = []
        for each in wanted:
            if each.intent.kind is Kind.FILL:
                await self.hand.sendings.end(each.id, State.FINAL, each.why, now=now)
            elif each.overtaken:
                await self.hand.sendings.end(each.id, State.FAILED, OVERTAKEN, now=now)
            else:
                look = self.looks.get(each.intent.source, {}).get(each.intent.kind)
                why = self._obstacle(each, look, ground)
                if why is None and look is not None:
                    ready.append((each, look(each)))
                elif why is not None:
                    await self._waits(each, why)
        return ready

    async def _in_place(
        self, ready: Sequence[tuple[Sending, Look]], seen: Sequence[Seen]
    ) -> tuple[list[tuple[Sending, Look]], list[Seen]]:
        """Return those whose token is still what was meant, with what was seen of them.

        What a reorg gave to another purchase ends when that one is final. One whose purchase is
        taken back waits: it may be mined again, and is then the same.
        """
        kept: list[tuple[Sending, Look]] = []
        found = []
        for (each, look), said in zip(ready, seen, strict=True):
            why = each.displaced
            if why is None:
                kept.append((each, look))
                found.append(said)
            elif each.present and each.settled:
                now = self.hand.clock.now()
                await self.hand.sendings.end(each.id, State.FAILED, why, now=now)
            else:
                until = "until that is final" if each.present else "unless that comes back"
                await self._waits(each, f"{why}: nothing is sent {until}")
        return kept, found

    def _obstacle(self, each: Sending, look: object, ground: Ground) -> str | None:
        """Say what keeps it from being sent, whatever the chain says."""
        intent = each.intent
        if intent.source not in self.looks:
            return f"source {intent.source} is not configured"
        if intent.source not in ground.sources:
            return f"source {intent.source} has halted, or is read again"
        if look is None:
            return f"nobody knows how to look for a {intent.kind} in a contract of that profile"
        if intent.kind in TAKING and intent.lease in ground.held:
            return "the lease is held"
        return None

    async def _conclude(self, view: View, needless: Sequence[tuple[Sending, Look, Seen]]) -> None:
        """End what needs no sending once the final block says so too."""
        final: Sequence[Seen] = [Seen(Word.UNKNOWN, "nothing is known yet")] * len(needless)
        if view.final is not None:
            looks = [look for _, look, _ in needless]
            final = await self.hand.gateway.look(view, looks, final=True)
        at = 0 if view.final is None else view.final.timestamp
        for (each, _, seen), then in zip(needless, final, strict=True):
            if seen.word is Word.UNKNOWN:
                await self._waits(each, seen.why)
            elif then.word is not seen.word:
                silent = f", of which {then.why}" if then.word is Word.UNKNOWN else ""
                why = f"{seen.why}: it ends when the final block says so too{silent}"
                await self._waits(each, why)
            elif (early := each.early(at)) is not None:
                await self._waits(each, f"{seen.why}: {early}")
            else:
                end = State.FINAL if seen.word is Word.DONE else State.FAILED
                now = self.hand.clock.now()
                await self.hand.sendings.end(each.id, end, seen.why, now=now)

    async def _refused(self, each: Sending, why: str) -> None:
        log.warning("refused", lease=each.intent.lease, kind=each.intent.kind, why=why)
        now = self.hand.clock.now()
        pause = min(LET_ALONE_AT_MOST, max(LET_ALONE, (now - each.wanted_at) // 4))
        await self.hand.sendings.refused(each.id, why, now=now, pause=pause)

    async def _waits(self, each: Sending, why: str) -> None:
        until = self.hand.clock.now() + LET_ALONE
        await self.hand.sendings.waits(each.id, why, until=until)

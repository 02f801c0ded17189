"""Holding what our events say of leases against what the contract's state says of them.

What a node left out of its answers passes every check of transport, and may pass a bloom; the
contract itself still knows. So leases are compared with it in the background, new ones right away
and the others in turn: owner and expiry at the very block that they are folded to, and that the
token ids of our own contract have no gap. What differs is looked at again at a later block, through
another endpoint where there is one. What differs then as well proves, where the contract tells all
by events, that one was left out: it halts the source, with both accounts, and an operator has it
read again. Somebody else's contract may change an expiry and not tell; a halt for one token would
be an outage for all, and one that no order ends. There an alarm says which leases differ; machines
follow the events, and a destroy asks the contract once more in any case. Failure mode: an endpoint
that does not have the state any more tells nothing, and then nothing is compared and nobody is
blamed.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog

from chainwatch.chain.audit import Account, StateReader
from chainwatch.chain.contract import Told
from chainwatch.control.sources import SourceStatus
from chainwatch.domain.events import Block
from chainwatch.errors import Transient
from chainwatch.runtime.clock import Clock
from chainwatch.store.alarms import Alarms
from chainwatch.store.journal import Journal
from chainwatch.store.leases import LeaseRow
from chainwatch.store.samples import Gap, Sample, Samples
from provisioner.moments import utc

log = structlog.get_logger(__name__)

ALARM: Final = "audit"
#: Leases compared at once, and seconds between two such lots of leases that are not new.
LOT: Final = 50
EVERY: Final = 60.0
#: The name under which a gap among the tokens is suspected.
_GAP: Final = "gap"
#: How many of the leases in doubt an alarm quotes.
_SAID: Final = 3


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What differed, at which block (number), and by which endpoint's account."""

    text: str
    block: int
    host: str | None


@dataclass(slots=True)
class LeaseAudit:
    """The audit of one source; `news` is set whenever it was read on.

    `doubts` are what differs and halts nothing, by lease.
    """

    status: SourceStatus
    reader: StateReader
    samples: Samples
    journal: Journal
    alarms: Alarms
    clock: Clock
    news: asyncio.Event = field(default_factory=asyncio.Event)
    suspects: dict[str, Suspicion] = field(default_factory=dict)
    doubts: dict[str, str] = field(default_factory=dict)
    _told: frozenset[str] | None = None
    _went_round: bool = False
    _after: str = ""
    _newest: int | None = None
    _whole: int = 0
    _next_lot: float = 0.0

    @property
    def name(self) -> str:
        """The source's name."""
        return self.status.settings.source.name

    async def run(self) -> None:
        """Audit for ever."""
        while True:
            await self._pause()
            try:
                await self.look()
            except Transient as silent:
                log.debug("nothing audited", source=self.name, why=str(silent))

    async def look(self) -> None:
        """Look again at what is suspected, at what is new, and in its time at some of the rest.

        Raises Transient when no endpoint tells the contract's state.
        """
        state = await self.journal.state(self.name)
        if state.halted is not None or not self.status.view(state).caught_up:
            self._told = None  # an order to go on clears the alarm
            return
        if self._newest is None:
            self._newest = await self.samples.newest(self.name)
        await self._tokens()
        await self._again()
        sample = await self.samples.newer(self.name, self._newest, LOT)
        await self._compare(sample)
        self._newest = sample.last
        if self.clock.monotonic() >= self._next_lot:
            self._next_lot = self.clock.monotonic() + EVERY
            await self._lot()
        await self._tell()

    async def _lot(self) -> None:
        """Compare the next leases in the order of their ids, and begin anew after the last."""
        sample = await self.samples.after(self.name, self._after, LOT)
        await self._compare(sample)
        whole = len(sample.rows) < LOT
        self._after = "" if whole else str(sample.rows[-1].id)
        if whole:
            self._whole = 0  # so that the tokens are counted from the first again
            self._went_round = True

    async def _compare(self, sample: Sample) -> None:
        """Suspect what differs, and what is suspected already and differs still, say for good."""
        at = sample.state.cursor
        if at is None or not sample.rows:
            return
        account = await self.reader.leases_at([row.id.token for row in sample.rows], at)
        found = {str(row.id): text for row, text in differing(sample, account)}
        for lease, text in found.items():
            if lease not in self.suspects and lease not in self.doubts:
                log.warning("audit: a lease differs", source=self.name, what=text)
                self.suspects[lease] = Suspicion(text, at.number, account.host)
        for row in sample.rows:
            if row.id.token in account.told and str(row.id) not in found:
                self.doubts.pop(str(row.id), None)

    async def _again(self) -> None:
        """Look again at every suspect, at a later block and, if possible, through another host."""
        for lease, suspicion in list(self.suspects.items()):
            sample = await self.samples.of(self.name, [lease])
            at = sample.state.cursor
            if lease == _GAP or at is None or at.number <= suspicion.block:
                continue
            tokens = [row.id.token for row in sample.rows]
            account = await self.reader.leases_at(tokens, at, other_than=suspicion.host)
            found = [text for _, text in differing(sample, account)]
            if found:
                text = f"{found[0]}; before, {suspicion.text}"
                if await self._condemned(lease, text, twice=account.host == suspicion.host):
                    return
            elif all(token in account.told for token in tokens):
                log.warning("audit: it no longer differs", source=self.name, lease=lease)
                del self.suspects[lease]
                self.doubts.pop(lease, None)

    async def _condemned(self, lease: str, text: str, *, twice: bool) -> bool:
        """Halt for what differs still, or only doubt it; `twice`: one endpoint says so, twice."""
        if not self.reader.tells_all:
            self.doubts[lease] = text
            del self.suspects[lease]  # it has its turn again with all the others
        elif twice and not self.reader.single:
            self.doubts[lease] = f"{text}; no other endpoint tells"
        else:
            await self._halt(text)
            return True
        return False

    async def _tell(self) -> None:
        """Say what differs and halts nothing.

        What was said before a restart stands until every lease had its turn.
        """
        doubted = frozenset(self.doubts)
        if doubted == self._told:
            return
        if doubted:
            text = _doubted(self.doubts)
            await self.alarms.raise_(ALARM, self.name, "warning", text, self.clock.now())
        elif self._told or self._went_round:
            await self.alarms.clear(ALARM, self.name)
        else:
            return
        self._told = doubted

    async def _tokens(self) -> None:
        """See that no token is missing, where the contract counts them."""
        if not self.reader.contiguous:
            return
        found = await self.samples.whole_up_to(self.name, self._whole)
        cursor = (await self.journal.state(self.name)).cursor
        suspicion = self.suspects.get(_GAP)
        if isinstance(found, int):
            self._whole = found
            self.suspects.pop(_GAP, None)
        elif cursor is None:
            return
        elif suspicion is None:
            self.suspects[_GAP] = Suspicion(said_gap(found), cursor.number, None)
        elif cursor.number > suspicion.block:
            await self._halt(
                f"{said_gap(found)}, at block {suspicion.block} and at {cursor.number}"
            )

    async def _halt(self, why: str) -> None:
        if (await self.journal.state(self.name)).reread_to is not None:
            return  # an operator has it read again already
        why += (
            "; an event was left out: find the block where it was said in an explorer, and read "
            f"again from there (`chainwatch source reread {self.name} BLOCK`)"
        )
        await self.journal.halt(self.name, why)
        await self.alarms.raise_(ALARM, self.name, "critical", why, self.clock.now())
        log.error("source halted by its audit", source=self.name, why=why)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(EVERY):
                await self.news.wait()
        except TimeoutError:
            pass
        self.news.clear()


def differing(sample: Sample, account: Account) -> Iterator[tuple[LeaseRow, str]]:
    """Yield each lease of which the contract says something else than our events, and both."""
    at = sample.state.cursor
    for row in sample.rows:
        theirs = account.told.get(row.id.token)
        if at is not None and theirs is not None and theirs != expected(row):
            yield row, _said(row, at, theirs, account.host)


def expected(row: LeaseRow) -> Told:
    """Return what the contract has to say if our events are all that happened."""
    if row.lease is None or row.lease.burnt:
        return Told(None, 0)
    return Told(row.lease.owner, row.lease.expires_at)


def said_gap(gap: Gap) -> str:
    """Say what is missing, and since which token that is known."""
    return (
        f"no event tells of the mint of token {gap.missing}, though token {gap.seen} was minted "
        "and the contract counts them without a gap (is start_block above its first block?)"
    )


def _doubted(doubts: Mapping[str, str]) -> str:
    some = "; ".join(list(doubts.values())[:_SAID])
    return (
        f"of {len(doubts)} leases the contract's state says otherwise than our events, nothing is "
        f"halted for it, and `chainwatch check --deep` names all: {some}"
    )


def _said(row: LeaseRow, at: Block, theirs: Told, host: str) -> str:
    return (
        f"at block {at.number} ({at.hash}) the contract has lease {row.id} as {_told(theirs)} "
        f"(asked {host}), and our events as {_told(expected(row))}"
    )


def _told(told: Told) -> str:
    if told.owner is None:
        return "not there"
    return f"owned by {told.owner} until {told.expires_at} ({utc(told.expires_at)})"

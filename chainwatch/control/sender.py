"""The daemon's own transactions on one chain: a loop that turns intents into effects, each once.

Every pass asks the chain for our account, writes down what became of what was signed, keeps at what
is in no block, and then signs what is new. All that it does is in the order intent, transaction,
broadcast, observation, each written before the next begins. It serves every source on its chain
with one key, so there is one line of nonces. An operator's pause of effects stops signing and
sending; observing goes on. How it fails: a pass that the chain does not answer changes nothing and
is done again.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog

from chainwatch.chain.sender.fees import coins
from chainwatch.chain.sender.gateway import Gateway, View
from chainwatch.chain.sender.keys import HotKey
from chainwatch.chain.sender.looks import Looks
from chainwatch.control.departures import Departures, Ground
from chainwatch.control.flights import GAP, KEY_USED, STUCK, Doubts, Flights
from chainwatch.control.hand import BALANCE, FEES, Hand, Told
from chainwatch.domain.batches import SourceState
from chainwatch.domain.events import Block
from chainwatch.domain.sendings import State
from chainwatch.errors import RpcUnavailable, Transient
from chainwatch.runtime.clock import Clock
from chainwatch.store.alarms import Alarms, Severity
from chainwatch.store.holds import Holds
from chainwatch.store.journal import Journal
from chainwatch.store.sendings import Sendings

log = structlog.get_logger(__name__)

#: Seconds between two passes while no block is read, and at least: a long history is read fast.
EVERY: Final = 15.0
LEAST: Final = 1.0
#: Seconds between two looks at the account while there is nothing to do.
IDLE: Final = 60.0
#: Seconds after which an alarm is said again whose numbers alone have changed.
SAY_EVERY: Final = 60
_NUMBER: Final = re.compile(r"[0-9.]+")
OTHER_KEY: Final = "sender-other-key"
ALARMS: Final[Mapping[str, Severity]] = {
    FEES: "warning",
    BALANCE: "critical",
    STUCK: "warning",
    GAP: "warning",
    KEY_USED: "critical",
    OTHER_KEY: "critical",
}

#: Seconds for which an alarm stands though it is not seen again: a thief is gone in a moment.
LINGERS: Final[Mapping[str, int]] = {KEY_USED: 86_400}


class NotReadYet(Transient):
    """The chain is read for the first time: nothing is amiss, so it is no warning."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a chain may cost: most wei for a unit of gas, and the balance that is worth a word."""

    ceiling: int
    least_balance: int


@dataclass(slots=True)
class Sender:
    """Sends on one chain; `looks` and `contracts` are by source. `news` is set at every block.

    `credentials` are the contracts at which it mints, by source.
    `view` is our account as the last pass saw it, `told` what keeps things from going on.
    """

    gateway: Gateway
    key: HotKey
    limits: Limits
    looks: Mapping[str, Looks]
    contracts: Mapping[str, str]
    sendings: Sendings
    journal: Journal
    holds: Holds
    alarms: Alarms
    clock: Clock
    credentials: Mapping[str, str] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    view: View | None = None
    trouble: str | None = None
    told: Told = field(default_factory=Told)
    doubts: Doubts = field(default_factory=Doubts)
    _standing: dict[str, int] | None = None
    _said: dict[str, str] = field(default_factory=dict)
    _seen_at: float | None = None
    _early: bool = False

    @property
    def chain_id(self) -> int:
        """The chain's EIP-155 id."""
        return self.gateway.chain_id

    @property
    def subject(self) -> str:
        """What alarms are about: the chain, as CAIP-2 writes it; keys may change."""
        return f"eip155:{self.chain_id}"

    @property
    def waits(self) -> tuple[str, ...]:
        """What keeps transactions from going on, a sentence each."""
        trouble = () if self.trouble is None else (self.trouble,)
        return (*trouble, *self.told.alarms.values())

    async def run(self) -> None:
        """Send for ever."""
        while True:
            await self.attempt()
            await self.clock.sleep(LEAST)
            await self._pause()

    async def attempt(self) -> None:
        """Do one pass; what the chain does not answer is a trouble that passes."""
        if await self._is_idle():
            return
        told = Told()
        try:
            await self.step(told)
        except Transient as error:
            early = isinstance(error, NotReadYet)
            if self.trouble is None or (self._early and not early):
                say = log.info if early else log.warning
                say("nothing can be sent", chain=self.chain_id, error=str(error))
            self.trouble, self._early = str(error), early
            return
        self.doubts.settle()
        self.trouble, self.told = None, told
        await self._tell(told)

    async def _is_idle(self) -> bool:
        """Say whether there is nothing to do, and the account was seen not long ago."""
        now = self.clock.monotonic()
        if self._seen_at is not None and now < self._seen_at + IDLE and self.trouble is None:
            return not await self.sendings.open(self.chain_id, 1)
        return False

    async def step(self, told: Told) -> None:
        """Do one pass. Raises Transient."""
        states = {name: await self.journal.state(name) for name in self.looks}
        cursor, final = _held(states)
        if cursor is None:
            if any(map(_goes_on, states.values())):
                raise NotReadYet("no source of the chain is read yet")
            raise RpcUnavailable("all sources of the chain have halted")
        view = self.view = await self.gateway.account(cursor, final)
        self._seen_at = self.clock.monotonic()
        everything = await self.sendings.at_hand(self.chain_id, self.clock.now())
        known = (None, self.key.address)
        ours = [each for each in everything if each.signer in known]
        if others := [each.signer for each in everything if each.signer not in known]:
            told.alarms[OTHER_KEY] = _other_key(str(others[0]), len(others))
        hand = self._hand()
        flights = Flights(hand, self.looks, self.doubts)
        bound = [each for each in ours if each.nonce is not None]
        traces = await self.gateway.traces(view, [at for each in bound for at in each.attempts])
        waiting = await flights.observe(view, traces, bound, told)
        self._tell_balance(view, told)
        if await self.holds.paused("effects") is not None:
            return
        ground = await self._ground(states)
        await flights.keep(view, traces, waiting, ground.held, told)
        await flights.mend_gap(view, bound, next(iter(self.looks)), told)
        wanted = [each for each in ours if each.state is State.WANTED]
        if wanted:
            departures = Departures(hand, self.looks)
            await departures.send(view, wanted, waiting, ground, told)

    def _hand(self) -> Hand:
        return Hand(
            self.gateway,
            self.key,
            self.sendings,
            self.clock,
            self.limits.ceiling,
        )

    async def _ground(self, states: Mapping[str, SourceState]) -> Ground:
        fit = {name for name, state in states.items() if _goes_on(state)}
        held = {hold.lease for hold in await self.holds.all()}
        return Ground(frozenset(fit), frozenset(held))

    def _tell_balance(self, view: View, told: Told) -> None:
        if view.balance < self.limits.least_balance:
            told.alarms[BALANCE] = (
                f"{self.key.address} has {coins(view.balance)} left, less than the "
                f"{coins(self.limits.least_balance)} of least_balance: send it coins"
            )

    async def _tell(self, told: Told) -> None:
        """Raise what is so, and clear what is not so any more."""
        if self._standing is None:
            stand = await self.alarms.all()
            ours = [alarm for alarm in stand if alarm.subject == self.subject]
            self._standing = {alarm.name: alarm.last_raised for alarm in ours}
        now = self.clock.now()
        for name, severity in ALARMS.items():
            text = told.alarms.get(name)
            if text is not None:
                shape = _NUMBER.sub("", text)
                if self._said.get(name) == shape and now < self._standing.get(name, 0) + SAY_EVERY:
                    continue
                await self.alarms.raise_(name, self.subject, severity, text, now)
                self._standing[name], self._said[name] = now, shape
            elif name in self._standing and now >= self._standing[name] + LINGERS.get(name, 0):
                await self.alarms.clear(name, self.subject)
                del self._standing[name]
                self._said.pop(name, None)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(EVERY):
                await self.news.wait()
        except TimeoutError:
            pass
        self.news.clear()


def _held(states: Mapping[str, SourceState]) -> tuple[Block | None, Block | None]:
    """Return the highest cursor and the highest final block of what goes on."""
    fit = [state for state in states.values() if _goes_on(state)]
    cursors = [state.cursor for state in fit if state.cursor is not None]
    finals = [state.final for state in fit if state.final is not None]
    return (
        max(cursors, key=lambda block: block.number, default=None),
        max(finals, key=lambda block: block.number, default=None),
    )


def _goes_on(state: SourceState) -> bool:
    return state.halted is None and state.reread_to is None


def _other_key(signer: str, count: int) -> str:
    return (
        f"{count} transactions are under way that {signer} signed, which is not the configured "
        "key: put it back until they are final, they are not sent again without it"
    )

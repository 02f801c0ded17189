"""Signing and sending one transaction: written down first, then sent, then written down as sent.

A crash between any two of these leaves a row from which the next pass goes on with the same bytes.
What may be offered for gas, and whether our account can pay, is decided here for all of them.
"""

from dataclasses import dataclass, field
from typing import Final

import structlog

from chainwatch.chain.rpc import RpcError
from chainwatch.chain.sender.fees import TooDear, coins, gas_limit, offer, raised
from chainwatch.chain.sender.gateway import Gateway, View
from chainwatch.chain.sender.keys import HotKey
from chainwatch.chain.sender.looks import Refusal
from chainwatch.chain.sender.refusals import Meaning, meaning
from chainwatch.domain.sendings import Attempt, Call, Intent, Kind, Offer, Sending
from chainwatch.runtime.clock import Clock
from chainwatch.store.sendings import Sendings

log = structlog.get_logger(__name__)

FEES: Final = "sender-fees"
BALANCE: Final = "sender-balance"


@dataclass(slots=True)
class Told:
    """What a pass has to tell: alarms by name, each with what it says."""

    alarms: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hand:
    """Signs with `key` and sends; it offers at most `ceiling` wei for a unit of gas."""

    gateway: Gateway
    key: HotKey
    sendings: Sendings
    clock: Clock
    ceiling: int

    async def begin(self, view: View, sending: Sending, budget: int, told: Told) -> int | None:
        """Sign and send what was never signed; what it may cost, None when it may not be sent now.

        Raises `Refused` with the contract's own refusal.
        """
        call = sending.intent.call
        gas = await self._gas(view, sending.intent, call)
        offered = offer(view.market, self.ceiling)
        if isinstance(offered, TooDear):
            told.alarms[FEES] = offered.why
            return None
        most = gas * offered.cap + call.value
        if most > budget:
            told.alarms[BALANCE] = _too_poor(self.key.address, most, budget)
            return None

        def make(nonce: int) -> Attempt:
            return self._made(view, nonce, call, gas, offered, void=False)

        signed = await self.sendings.sign(sending, self.key.address, view.nonce, make)
        await self.send(signed)
        return most

    async def again(self, view: View, sending: Sending, told: Told, *, void: bool) -> bool:
        """Replace what was signed last by one that offers more, or by one that does nothing.

        False when that may not be done now. Raises `Refused` where the contract would by now.
        """
        last = sending.last
        offered = raised(last.offer, view.market, self.ceiling)
        if isinstance(offered, TooDear):
            told.alarms[FEES] = offered.why
            return False
        call = self._nothing() if void else sending.intent.call
        gas = await self._gas_again(view, sending, call, void=void)
        most = gas * offered.cap + call.value
        if most > view.balance:
            told.alarms[BALANCE] = _too_poor(self.key.address, most, view.balance)
            return False

        def make(nonce: int) -> Attempt:
            return self._made(view, nonce, call, gas, offered, void=void)

        log.info(
            "transaction replaced",
            chain=self.gateway.chain_id,
            lease=sending.intent.lease,
            kind=sending.intent.kind,
            nonce=last.nonce,
            void=void,
        )
        await self.send(await self.sendings.sign(sending, self.key.address, last.nonce, make))
        return True

    async def send(self, sending: Sending) -> None:
        """Give what was signed last to the chain's nodes, and write down that one took it."""
        refused = await self.gateway.broadcast(sending.last)
        if refused is None:
            log.info(
                "sent",
                chain=self.gateway.chain_id,
                lease=sending.intent.lease,
                kind=sending.intent.kind,
                nonce=sending.last.nonce,
                tx=sending.last.hash,
            )
            await self.sendings.sent(sending.id, sending.last.hash, now=self.clock.now())
        elif sending.why != refused:
            log.warning("not taken", lease=sending.intent.lease, error=refused)
            await self.sendings.waits(sending.id, refused)

    async def fill(self, view: View, nonce: int, source: str, told: Told) -> bool:
        """Use up a nonce that holds up what comes after it; false when that may not be done now."""
        offered = offer(view.market, self.ceiling)
        if isinstance(offered, TooDear):
            told.alarms[FEES] = offered.why
            return False
        cause = f"nonce {nonce} of {self.key.address}"
        intent = Intent(source, Kind.FILL, "", cause, self._nothing())
        gas = await self._gas(view, intent, intent.call)

        def make() -> Attempt:
            return self._made(view, nonce, self._nothing(), gas, offered, void=True)

        await self.sendings.fill(intent, self.key.address, self.clock.now(), make)
        return True

    def _nothing(self) -> Call:
        """A call that does nothing: no coin to ourselves."""
        return Call(self.key.address, "0x")

    async def _gas_again(self, view: View, sending: Sending, call: Call, *, void: bool) -> int:
        """Try what replaces a transaction; where a node can't, what it took before is enough."""
        last = sending.last
        known = last.gas if void is last.void else 0
        if void and known:
            return known
        try:
            return max(known, await self._gas(view, sending.intent, call))
        except RpcError:
            if not known:
                raise
            return known

    async def _gas(self, view: View, intent: Intent, call: Call) -> int:
        gas = await self.gateway.simulate(view, call)
        if isinstance(gas, Refusal):
            raise Refused(meaning(intent, gas, self.key.address))
        return gas_limit(gas, len(call.data) // 2)

    def _made(
        self, view: View, nonce: int, call: Call, gas: int, offered: Offer, *, void: bool
    ) -> Attempt:
        digest, raw = self.key.sign(self.gateway.chain_id, nonce, call, gas, offered)
        now = self.clock.now()
        return Attempt(digest, raw, nonce, gas, offered, void, now, view.head.number)


class Refused(Exception):
    """The contract would refuse the call: nothing was signed, and it cost nothing."""

    def __init__(self, means: Meaning) -> None:
        self.text, self.ends = means.text, means.ends
        super().__init__(self.text)


def _too_poor(address: str, needs: int, has: int) -> str:
    return (
        f"{address} can't pay: the next transaction may cost {coins(needs)}, and {coins(has)} is "
        "left besides what is under way; send it coins"
    )

"""One chain as a person at a terminal meets it: views, what a transaction costs, and sending it.

A transaction is prepared first: the node simulates it, and what it costs at most is known before
anything is signed. Then it is signed, once. Where no answer comes (a limit on our rate is none
either) the same bytes are sent again while their block is waited for: a chain takes them once,
however often it is given them. What is not mined within that time is not signed anew: whoever runs
the command is told its hash, because a second one could pay twice. For the same reason a refusal is
told as one only where its words say that it never was taken, nothing was sent before it, and the
node, asked over and over, does not know the transaction: behind one address may be many nodes, of
which one took it and another one answers. Whatever else they say, and if none of them knows it, it
may have been sent. How it fails: a node that refuses in words of its own leaves open what it did
not take, and a person has to look.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from chainwatch.chain.rpc import Rpc, RpcError
from chainwatch.chain.sender.fees import Market, TooDear, coins, gas_limit, offer
from chainwatch.chain.sender.keys import HotKey
from chainwatch.chain.sender.looks import plain
from chainwatch.chain.transport import RateLimited
from chainwatch.chain.wallet.interface import Function
from chainwatch.chain.wallet.refusals import never_taken, refused
from chainwatch.chain.wire import quantity, raw_bytes
from chainwatch.domain.sendings import Call, Offer
from chainwatch.errors import OperatorError, RpcUnavailable

#: The tip where a node names none, and the most that is believed of one beyond the base fee.
_TIP: Final = 2 * 10**9
_NO_CEILING: Final = 2**200
#: Looks, a second apart, for what was refused: in words that leave it open, for longer than a block
#: takes; in words that do not, for as long as one node behind an address needs to tell another.
_LOOKS_IN_DOUBT: Final = 15
_LOOKS_TO_BE_SURE: Final = 5
_IS: Final = "was sent"
_MAY_BE: Final = "may have been sent"

Pause: TypeAlias = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Question:
    """What a contract is asked: a view, and what it takes."""

    to: str
    asked: Function
    arguments: tuple[object, ...] = ()

    @property
    def call(self) -> tuple[str, tuple[object, ...]]:
        data = self.asked.data(*self.arguments)
        return "eth_call", ({"to": self.to, "data": data}, "latest")


Answer = tuple[object, ...] | OperatorError
"""What a contract answered, or why it did not."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A transaction that would succeed now; `to` is 0x for one that makes a contract."""

    call: Call
    nonce: int
    gas: int
    offer: Offer

    @property
    def fee(self) -> int:
        """What it costs at most, in wei, beside what it pays."""
        return self.gas * self.offer.cap


@dataclass(frozen=True, slots=True)
class Mined:
    """A transaction in its block; `contract` is what it made, `logs` what was said."""

    hash: str
    block: int
    gas_used: int
    fee: int
    contract: str
    logs: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class _Given:
    """What came of giving a node a transaction: `state` in words, and `why` that is in doubt.

    `lost` is why no answer came, None where one did.
    """

    state: str
    why: str = ""
    lost: RpcUnavailable | None = None

    def is_due_again(self, look: int) -> bool:
        """Whether to give it again, before that look: more and more seldom.

        Who limits our rate is asked as soon as he may be, and refuses by himself until then.
        """
        if isinstance(self.lost, RateLimited):
            return look > 0
        return self.lost is not None and look.bit_count() == 1


class Chain:
    """A chain behind one endpoint, whose id was looked at."""

    def __init__(self, rpc: Rpc, chain_id: int) -> None:
        self.rpc = rpc
        self.chain_id = chain_id

    @classmethod
    async def reached(cls, rpc: Rpc, wanted: int | None) -> "Chain":
        """Ask which chain it is. Raises `OperatorError` when it is another than wanted."""
        found = quantity(await rpc.call("eth_chainId"))
        if wanted is not None and found != wanted:
            raise OperatorError(
                f"{rpc.name} is on chain {found}, and chain {wanted} is wanted: name an endpoint "
                f"of chain {wanted} with --rpc, or leave --chain-id out"
            )
        return cls(rpc, found)

    async def now(self) -> int:
        """The head's time, which is the chain's."""
        match await self.rpc.call("eth_getBlockByNumber", "latest", False):
            case {"timestamp": timestamp}:
                return quantity(timestamp)
        raise OperatorError(f"{self.rpc.name} has no latest block: name another endpoint")

    async def code(self, address: str) -> bytes:
        return raw_bytes(await self.rpc.call("eth_getCode", address, "latest"))

    async def balance(self, account: str) -> int:
        return quantity(await self.rpc.call("eth_getBalance", account, "latest"))

    async def view(self, to: str, asked: Function, *arguments: object) -> tuple[object, ...]:
        """What a contract answers. Raises `OperatorError` with why it does not."""
        question = Question(to, asked, arguments)
        method, params = question.call
        answer: object
        try:
            answer = await self.rpc.call(method, *params)
        except RpcError as error:
            answer = error
        found = self._read(question, answer)
        if isinstance(found, OperatorError):
            raise found
        return found

    async def views(self, questions: Sequence[Question]) -> list[Answer]:
        """What contracts answer, in the order of the questions, of which many go into a request.

        What a contract refuses stands in its place; a node that does not answer raises.
        """
        answers = await self.rpc.batch([question.call for question in questions])
        return [self._read(*each) for each in zip(questions, answers, strict=True)]

    def _read(self, question: Question, answer: object) -> Answer:
        if isinstance(answer, RpcError):
            if answer.reverted:
                return refused(answer)
            raise answer
        raw = raw_bytes(answer)
        if not raw and question.asked.returns:
            return OperatorError(
                f"there is no such contract at {question.to} on chain {self.chain_id}: is the "
                "address right?"
            )
        try:
            return question.asked.read(raw)
        except OperatorError as odd:
            return odd

    # ------------------------------------------------------------------------------------- sending

    async def prepare(self, account: str, call: Call) -> Prepared:
        """Simulate a transaction of `account`. Raises `OperatorError` when it would fail."""
        balance = await self.balance(account)
        self._afford(account, balance, call.value, 0)
        request = {"from": account, "data": call.data, "value": hex(call.value)}
        if call.to != "0x":
            request["to"] = call.to
        try:
            gas = quantity(await self.rpc.call("eth_estimateGas", request))
        except RpcError as error:
            raise refused(error) from None
        nonce = quantity(await self.rpc.call("eth_getTransactionCount", account, "pending"))
        found = Prepared(call, nonce, gas_limit(gas), await self._offer())
        self._afford(account, balance, call.value, found.fee)
        return found

    def _afford(self, account: str, balance: int, value: int, fee: int) -> None:
        if balance < value + fee:
            gas = f" and up to {coins(fee)} for gas are" if fee else " are"
            raise OperatorError(
                f"{account} has {coins(balance)} of the chain's coin, and {coins(value)} for it"
                f"{gas} needed: send it {coins(value + fee - balance)}"
            )

    async def _offer(self) -> Offer:
        match await self.rpc.call("eth_getBlockByNumber", "latest", False):
            case {"baseFeePerGas": str(base)}:
                least = quantity(base)
                market = Market(least, min(await self._tip(), max(_TIP, least)))
            case _:
                market = Market(None, quantity(await self.rpc.call("eth_gasPrice")))
        found = offer(market, _NO_CEILING)
        if isinstance(found, TooDear):
            raise OperatorError(f"{self.rpc.name} names a price for gas that can't be: {found.why}")
        return found

    async def _tip(self) -> int:
        try:
            return quantity(await self.rpc.call("eth_maxPriorityFeePerGas"))
        except RpcError:
            return _TIP

    async def send(
        self,
        key: HotKey,
        prepared: Prepared,
        *,
        told: Callable[[str], None],
        pause: Pause,
        tries: int = 180,
    ) -> Mined:
        """Sign once, send, and wait for its block: `tries` looks, a second apart.

        `told` has the hash before it is sent, so that whoever stops waiting knows it.
        """
        made = key.sign(self.chain_id, prepared.nonce, prepared.call, prepared.gas, prepared.offer)
        tx_hash, raw = made
        told(tx_hash)
        given = _Given(_MAY_BE)
        try:
            given = await self._give(tx_hash, raw, pause)
            for look in range(tries):
                if given.is_due_again(look):
                    given = await self._give(tx_hash, raw, pause, again=True)
                if (found := await self._receipt(tx_hash)) is not None:
                    return _mined(tx_hash, found)
                await pause(1.0)
        except asyncio.CancelledError:  # Ctrl-C: what was sent stays sent
            given = _Given(given.state, " (nobody waits for it any more)")
        raise OperatorError(
            f"{tx_hash} {given.state} and is not mined yet{given.why}: it may still be. Look "
            "whether it is before you do the same again"
        )

    async def _give(self, tx_hash: str, raw: str, pause: Pause, *, again: bool = False) -> _Given:
        """Send what is signed, `again` where no answer came before.

        Raises `OperatorError` where it is not sent, or no node comes to know it.
        """
        try:
            await self.rpc.call("eth_sendRawTransaction", raw)
        except RpcError as refusal:
            said = plain(refusal.message)
            never = never_taken(refusal) and not again  # the first may have cost the coin
            looks = _LOOKS_TO_BE_SURE if never else _LOOKS_IN_DOUBT
            if refusal.there or await self._may_know(tx_hash, looks, pause):
                state = _IS if refusal.there else _MAY_BE
                return _Given(state, f" ({self.rpc.name} says of it: {said})")
            if never:
                raise OperatorError(f"{self.rpc.name} does not take it: {said}") from None
            raise OperatorError(
                f"{tx_hash} {_MAY_BE}, though {self.rpc.name} does not know it and says: {said}. "
                "Look for it before you do the same again"
            ) from None
        except RpcUnavailable as lost:
            return _Given(_MAY_BE, f" ({lost})", lost)
        return _Given(_IS)

    async def _may_know(self, tx_hash: str, looks: int, pause: Pause) -> bool:
        """Whether a node comes to know a transaction, or does not say that it does not."""
        for _ in range(looks):
            try:
                if await self.rpc.call("eth_getTransactionByHash", tx_hash) is not None:
                    return True
            except (RpcError, RpcUnavailable):
                return True
            await pause(1.0)
        return False

    async def _receipt(self, tx_hash: str) -> object:
        try:
            return await self.rpc.call("eth_getTransactionReceipt", tx_hash)
        except (RpcError, RpcUnavailable):
            return None


def _mined(tx_hash: str, receipt: object) -> Mined:
    match receipt:
        case {
            "status": str(status),
            "blockNumber": str(block),
            "gasUsed": str(gas),
            "logs": list(logs),
            **rest,
        }:
            if quantity(status) != 1:
                raise OperatorError(
                    f"{tx_hash} was mined in block {quantity(block)} and failed there: something "
                    "has changed since it was simulated; nothing but gas was paid, try again"
                )
            price = rest.get("effectiveGasPrice")
            fee = quantity(gas) * (quantity(price) if price is not None else 0)
            made = str(rest.get("contractAddress") or "")
            return Mined(tx_hash, quantity(block), quantity(gas), fee, made, tuple(logs))
    raise OperatorError(f"the receipt of {tx_hash} can't be read: look it up elsewhere")

"""One chain as a person at a terminal meets it: views, what a transaction costs, and sending it.

A transaction is prepared first: the node simulates it, and what it costs at most is known before
anything is signed. Then it is signed and sent once. What is not mined within the time that is
waited is not sent again: whoever runs the command is told its hash, because a second one could
pay twice. For the same reason a refusal is told as one only where its words say that it never was
taken, and the node, asked over and over, does not know the transaction: behind one address may be
many nodes, of which one took it and another one answers. Whatever else they say, and if none of
them knows it, it may have been sent. How it fails: a node that refuses in words of its own leaves
open what it did not take, and a person has to look.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from chainwatch.chain.rpc import Rpc, RpcError
from chainwatch.chain.sender.fees import Market, TooDear, coins, gas_limit, offer
from chainwatch.chain.sender.keys import HotKey
from chainwatch.chain.sender.looks import plain
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
        """Sign, send once, and wait for its block: `tries` looks, a second apart.

        `told` has the hash before it is sent, so that whoever stops waiting knows it.
        """
        made = key.sign(self.chain_id, prepared.nonce, prepared.call, prepared.gas, prepared.offer)
        tx_hash, raw = made
        told(tx_hash)
        state, why = _MAY_BE, ""
        try:
            state, why = await self._sent(tx_hash, raw, pause)
            for _ in range(tries):
                if (found := await self._receipt(tx_hash)) is not None:
                    return _mined(tx_hash, found)
                await pause(1.0)
        except asyncio.CancelledError:
            why = " (nobody waits for it any more)"  # Ctrl-C: what was sent stays sent
        raise OperatorError(
            f"{tx_hash} {state} and is not mined yet{why}: it may still be. Look whether it is "
            "before you do the same again"
        )

    async def _sent(self, tx_hash: str, raw: str, pause: Pause) -> tuple[str, str]:
        """Send what is signed; returns whether it is, and what makes that doubtful or ''.

        Raises `OperatorError` where it is not, or no node comes to know it.
        """
        try:
            await self.rpc.call("eth_sendRawTransaction", raw)
        except RpcError as refusal:
            said, never = plain(refusal.message), never_taken(refusal)
            looks = _LOOKS_TO_BE_SURE if never else _LOOKS_IN_DOUBT
            if refusal.there or await self._may_know(tx_hash, looks, pause):
                state = _IS if refusal.there else _MAY_BE
                return state, f" ({self.rpc.name} says of it: {said})"
            if never:
                raise OperatorError(f"{self.rpc.name} does not take it: {said}") from None
            raise OperatorError(
                f"{tx_hash} {_MAY_BE}, though {self.rpc.name} does not know it and says: {said}. "
                "Look for it before you do the same again"
            ) from None
        except RpcUnavailable as lost:
            return _MAY_BE, f" ({lost})"
        return _IS, ""

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

"""The lease contract in a person's hands: what it sells, what a lease is, what is owed to whom.

Everything here is asked at the head of one node and told, never acted on by itself: what acts is a
transaction, and the contract checks it again. What is asked of many goes in batches, a hundred
questions to a request: one by one, a thousand leases would take a thousand times the way to the
node and back.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from chainwatch import artifacts
from chainwatch.chain.profiles.signatures import topic
from chainwatch.chain.wallet.amounts import NATIVE, Money
from chainwatch.chain.wallet.chain import Answer, Chain, Question
from chainwatch.chain.wallet.interface import entries, function
from chainwatch.chain.wire import quantity
from chainwatch.domain.sendings import Call
from chainwatch.errors import OperatorError

KINDS: Final = ("vm", "container")
ACTIONS: Final = {"reboot": 1, "start": 2, "stop": 3, "reinstall": 4}
_SYMBOL: Final = function("symbol()", "string")
_DECIMALS: Final = function("decimals()", "uint8")
_MOST_DECIMALS: Final = 36
_MOST_SYMBOL: Final = 16
MOST_COUNTED: Final = 100_000
#: Events whose first indexed value is the number of what was made.
LEASE_MADE: Final = "LeaseMinted(uint256,uint256,address,uint256,uint256)"
PLAN_MADE: Final = "PlanDefined(uint256,string,uint8,uint32,uint32,uint32,uint64)"


@dataclass(frozen=True, slots=True)
class PlanOnSale:
    """A plan as the contract tells it; the price is a second's, in the smallest unit."""

    number: int
    name: str
    kind: int
    cores: int
    memory_mib: int
    disk_gib: int
    grace: int
    delivery_time: int
    end_fee: int
    payment_token: str
    cap: int
    live: int
    on_sale: bool
    price: int


@dataclass(frozen=True, slots=True)
class LeaseNow:
    """A lease as the contract tells it; times are seconds, money is in the smallest unit."""

    token: int
    owner: str
    plan: PlanOnSale
    expires_at: int
    delivered_at: int
    price: int
    renewable: bool
    earned: int
    unused: int
    aside: int
    wanted_plan: int
    seconds_bought: int
    free_until: int
    ssh_key: str
    encryption_key: bytes
    connection: bytes


class LeaseBook:
    """A lease contract at an address of a chain."""

    def __init__(self, chain: Chain, address: str) -> None:
        self.chain = chain
        self.address = address
        self.functions = entries(artifacts.load("Lease").abi, "function")

    def call(self, name: str, *arguments: object, value: int = 0) -> Call:
        """A transaction to the contract."""
        return Call(self.address, self.functions[name].data(*arguments), value)

    async def ask(self, name: str, *arguments: object) -> tuple[Any, ...]:
        return await self.chain.view(self.address, self.functions[name], *arguments)

    async def one(self, name: str, *arguments: object) -> Any:  # noqa: ANN401 - by the ABI's type
        """The one value that a view answers."""
        (value,) = await self.ask(name, *arguments)
        return value

    async def each(self, name: str, asked: Iterable[tuple[object, ...]]) -> list[Answer]:
        """What a view answers to each of these; why not, in the place of what it refuses."""
        function = self.functions[name]
        return await self.chain.views([Question(self.address, function, each) for each in asked])

    async def all(self, *asked: tuple[str, *tuple[object, ...]]) -> list[Any]:
        """What several views answer. Raises `OperatorError` with the first refusal."""
        named = [(name, tuple(rest)) for name, *rest in asked]
        questions = [Question(self.address, self.functions[name], rest) for name, rest in named]
        return [_whole(answer) for answer in await self.chain.views(questions)]

    async def plan(self, number: int) -> PlanOnSale:
        """A plan. Raises `OperatorError` where there is none of that number."""
        return PlanOnSale(number, *await self.one("plan", number))

    async def plans(self) -> list[PlanOnSale]:
        numbers = await self.counted("planCount")
        answers = await self.each("plan", ((number,) for number in numbers))
        return [
            PlanOnSale(number, *_whole(answer))
            for number, answer in zip(numbers, answers, strict=True)
        ]

    async def counted(self, name: str) -> range:
        """The numbers up to what a view answers. Raises `OperatorError` for a number beyond use."""
        last = await self.one(name)
        if last > MOST_COUNTED:
            raise OperatorError(
                f"{name} is {last}, too many to look at each: name those you mean, at most "
                f"{MOST_COUNTED} at a time"
            )
        return range(1, last + 1)

    async def earned(self, tokens: Sequence[int]) -> dict[int, int]:
        """What was earned of leases and is not collected; those that are gone are left out."""
        answers = await self.each("escrowOf", ((token,) for token in tokens))
        return {
            token: int(answer[0])  # type: ignore[call-overload]  # a number, by the ABI
            for token, answer in zip(tokens, answers, strict=True)
            if not isinstance(answer, OperatorError)
        }

    async def owned(self, owner: str) -> list[tuple[int, int, int, int]]:
        """The leases of an account: token, plan, expiry, and when it was delivered, or 0."""
        numbers = await self.counted("lastTokenId")
        owners = await self.each("ownerOf", ((token,) for token in numbers))
        asked = [
            (token,) for token, answer in zip(numbers, owners, strict=True) if answer == (owner,)
        ]
        found = [await self.each(name, asked) for name in ("planOf", "expiresAt", "deliveredAt")]
        rows = zip(asked, *found, strict=True)
        return [(token, *map(_whole, answers)) for (token,), *answers in rows]

    async def credits(self, account: str, moneys: Iterable[Money]) -> list[tuple[Money, int]]:
        """What an account can take out, of each kind of money."""
        asked = list(moneys)
        answers = await self.each("creditOf", ((money.address, account) for money in asked))
        return [(money, _whole(answer)) for money, answer in zip(asked, answers, strict=True)]

    async def money(self, token: str) -> Money:
        """What a plan is paid in; counted in its smallest unit where it does not say more."""
        return (await self.moneys([token]))[token]

    async def moneys(self, tokens: Iterable[str]) -> dict[str, Money]:
        """The same for several, by their addresses."""
        asked = sorted(set(tokens) - {NATIVE})
        answers = await self.chain.views(
            [Question(token, each) for token in asked for each in (_SYMBOL, _DECIMALS)]
        )
        pairs = zip(asked, answers[::2], answers[1::2], strict=True)
        return {NATIVE: Money()} | {token: _money(token, *told) for token, *told in pairs}

    async def lease(self, token: int) -> LeaseNow:
        """A lease. Raises `OperatorError` where there is none of that number."""
        owner, escrow, upgrade, term, plan, *rest = await self.all(
            *((name, token) for name in ("ownerOf", "escrowOf", "upgradeOf", "termOf", "planOf")),
            *((name, token) for name in ("expiresAt", "deliveredAt", "priceOf", "isRenewable")),
            *((name, token) for name in ("sshKeyOf", "encryptionKeyOf", "connectionOf")),
        )
        expires_at, delivered_at, price, renewable, ssh_key, encryption_key, connection = rest
        earned, unused, aside = escrow
        return LeaseNow(
            token=token,
            owner=owner,
            plan=await self.plan(plan),
            expires_at=expires_at,
            delivered_at=delivered_at,
            price=price,
            renewable=renewable,
            earned=earned,
            unused=unused,
            aside=aside,
            wanted_plan=upgrade[0],
            seconds_bought=term[0],
            free_until=term[1],
            ssh_key=ssh_key,
            encryption_key=encryption_key,
            connection=connection,
        )

    def made(self, logs: tuple[object, ...], event: str) -> int:
        """The number of what a transaction made, out of its receipt's logs."""
        wanted = f"0x{topic(event).hex()}"
        for log in logs:
            match log:
                case {"address": str(address), "topics": [str(first), str(number), *_]} if (
                    address.lower() == self.address and first.lower() == wanted
                ):
                    return quantity(number)
        raise OperatorError("it was mined, and its receipt does not name what it made: look it up")


def _whole(answer: Answer) -> Any:  # noqa: ANN401 - by the ABI's type
    """The one value of an answer, or all of them where there are more."""
    if isinstance(answer, OperatorError):
        raise answer
    return answer[0] if len(answer) == 1 else answer


def _money(token: str, symbol: Answer, decimals: Answer) -> Money:
    """A token by what it says of itself, which it need not."""
    name = "" if isinstance(symbol, OperatorError) else str(symbol[0])
    digits = None if isinstance(decimals, OperatorError) else decimals[0]
    if not isinstance(digits, int) or digits > _MOST_DECIMALS:
        return Money(token, f"smallest units of {token}", 0)
    return Money(token, name[:_MOST_SYMBOL] or token, digits)


def state(delivered_at: int, expires_at: int, grace: int, now: int) -> str:
    """Say in a word how a lease is."""
    if not delivered_at:
        return "undelivered" if now < expires_at else "overdue"
    if now < expires_at:
        return "running"
    return "expired" if now < expires_at + grace else "over"

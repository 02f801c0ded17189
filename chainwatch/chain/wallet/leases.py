"""The lease contract in a person's hands: what it sells, what a lease is, what is owed to whom.

Everything here is asked at the head of one node and told, never acted on by itself: what acts is a
transaction, and the contract checks it again.
"""

from dataclasses import dataclass
from typing import Any, Final

from chainwatch import artifacts
from chainwatch.chain.profiles.signatures import topic
from chainwatch.chain.wallet.amounts import NATIVE, Money
from chainwatch.chain.wallet.chain import Chain
from chainwatch.chain.wallet.interface import Function, entries, function
from chainwatch.chain.wire import quantity
from chainwatch.domain.sendings import Call
from chainwatch.errors import OperatorError

KINDS: Final = ("vm", "container")
ACTIONS: Final = {"reboot": 1, "start": 2, "stop": 3, "reinstall": 4}
_SYMBOL: Final = function("symbol()", "string")
_DECIMALS: Final = function("decimals()", "uint8")
_MOST_DECIMALS: Final = 36
_MOST_SYMBOL: Final = 16
_MOST_COUNTED: Final = 10_000
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

    async def plan(self, number: int) -> PlanOnSale:
        """A plan. Raises `OperatorError` where there is none of that number."""
        return PlanOnSale(number, *await self.one("plan", number))

    async def plans(self) -> list[PlanOnSale]:
        return [await self.plan(number) for number in await self.counted("planCount")]

    async def counted(self, name: str) -> range:
        """The numbers up to what a view answers. Raises `OperatorError` for a number beyond use."""
        last = await self.one(name)
        if last > _MOST_COUNTED:
            raise OperatorError(f"{name} is {last}, too many to look at each: name those you mean")
        return range(1, last + 1)

    async def money(self, token: str) -> Money:
        """What a plan is paid in; counted in its smallest unit where it does not say more."""
        if token == NATIVE:
            return Money()
        symbol, decimals = await self._told(token, _SYMBOL), await self._told(token, _DECIMALS)
        if not isinstance(decimals, int) or decimals > _MOST_DECIMALS:
            return Money(token, f"smallest units of {token}", 0)
        return Money(token, str(symbol or "")[:_MOST_SYMBOL] or token, decimals)

    async def _told(self, token: str, asked: Function) -> object:
        """What a token says of itself, which it need not; None for nothing that can be read."""
        try:
            (value,) = await self.chain.view(token, asked)
        except OperatorError:
            return None
        return value

    async def lease(self, token: int) -> LeaseNow:
        """A lease. Raises `OperatorError` where there is none of that number."""
        (owner,) = await self.ask("ownerOf", token)
        earned, unused, aside = await self.ask("escrowOf", token)
        upgrade = await self.ask("upgradeOf", token)
        flat = upgrade[0] if isinstance(upgrade[0], tuple) else upgrade
        return LeaseNow(
            token=token,
            owner=owner,
            plan=await self.plan(await self.one("planOf", token)),
            expires_at=await self.one("expiresAt", token),
            delivered_at=await self.one("deliveredAt", token),
            price=await self.one("priceOf", token),
            renewable=await self.one("isRenewable", token),
            earned=earned,
            unused=unused,
            aside=aside,
            wanted_plan=flat[0],
            ssh_key=await self.one("sshKeyOf", token),
            encryption_key=await self.one("encryptionKeyOf", token),
            connection=await self.one("connectionOf", token),
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


def state(lease: LeaseNow, now: int) -> str:
    """Say in a word or two how a lease is."""
    if not lease.delivered_at:
        return "undelivered" if now < lease.expires_at else "overdue"
    if now < lease.expires_at:
        return "running"
    return "expired" if now < lease.expires_at + lease.plan.grace else "over"

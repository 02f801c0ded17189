"""The books of a lease contract, kept from what it said alone: who paid, and where that went.

Every credit belongs to the lease of which the contract speaks next in the same breath; what is
taken out belongs to none. Nothing is asked of the contract, and no sum of its own is believed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from web3.types import TxReceipt

from tests.support.lease_contract import NATIVE, Deployed

#: The operator's credit.
OPERATOR: Final = NATIVE


@dataclass(frozen=True, slots=True)
class Entry:
    """An event: its name, its arguments, and the second of its block."""

    name: str
    values: Mapping[str, object]
    at: int = 0

    @property
    def token(self) -> int | None:
        """The lease that it is about."""
        token = self.values.get("tokenId")
        return token if isinstance(token, int) else None

    def number(self, name: str) -> int:
        value = self.values[name]
        assert isinstance(value, int)
        return value

    def text(self, name: str) -> str:
        return str(self.values[name])


@dataclass(slots=True)
class Account:
    """One lease's money, in the smallest unit of its payment token.

    `time` is the price of the `seconds` that it ran for, by the prices of its plans.
    """

    paid: int = 0
    refunded: int = 0
    earned: int = 0
    escrow: int = 0
    aside: int = 0
    time: int = 0
    seconds: int = 0
    delivered: bool = False
    _wanted: int = 0
    _price: int = 0
    _until: int = 0
    _since: int = 0

    def runs(self, now: int) -> None:
        """Count the time up to `now`."""
        if self.delivered and (elapsed := min(now, self._until) - self._since) > 0:
            self.seconds += elapsed
            self.time += self._price * elapsed
        self._since = max(self._since, now)

    def told(self, entry: Entry, prices: Mapping[int, int]) -> None:
        """Take an event of this lease in."""
        self.runs(entry.at)
        match entry.name:
            case "LeaseMinted":
                self.paid += entry.number("paid")
                self._price = prices.get(entry.number("planId"), 0)
            case "LeaseRenewed":
                self.paid += entry.number("paid")
            case "LeaseDelivered":
                self.delivered = True
            case "SubscriptionUpdate":
                self._until = entry.number("expiration")
            case "PlanChanged":
                self._price = prices.get(entry.number("planId"), 0)
            case "UpgradeUpdate":
                if not self._wanted:  # what a renewal adds to it, that says itself
                    self.paid += entry.number("aside")
                self.aside, self._wanted = entry.number("aside"), entry.number("planId")
            case "EscrowUpdate":
                self.escrow = entry.number("escrow")


@dataclass(slots=True)
class Books:
    """The accounts of all leases, the credits by (payment token, account), and what was taken out.

    `prices` are those of the plans, per second.
    """

    prices: Mapping[int, int] = field(default_factory=dict)
    leases: dict[int, Account] = field(default_factory=dict)
    credits: dict[tuple[str, str], int] = field(default_factory=dict)
    withdrawn: int = 0

    def take_in(self, entries: Iterable[Entry]) -> "Books":
        """Take events in, in their order."""
        loose: list[tuple[str, int]] = []
        for entry in entries:
            if entry.name == "CreditUpdate":
                key, now = (entry.text("token"), entry.text("account")), entry.number("credit")
                loose.append((key[1], now - self.credits.get(key, 0)))
                self.credits[key] = now
            elif entry.name == "Withdrawn":
                self.withdrawn += entry.number("amount")
                loose.pop()
            elif (token := entry.token) is not None:
                account = self.leases.setdefault(token, Account())
                for who, amount in loose:
                    if who == OPERATOR:
                        account.earned += amount
                    else:
                        account.refunded += amount
                loose.clear()
                account.told(entry, self.prices)
        assert loose == [], "a credit of no lease"
        return self

    def balanced(self) -> None:
        """Hold of every lease that what was paid is returned, or earned, or still there."""
        for token, each in self.leases.items():
            there = each.escrow + each.aside
            assert each.refunded + each.earned + there == each.paid, (token, each)
        owed = sum(self.credits.values())
        there = sum(each.escrow + each.aside for each in self.leases.values())
        assert owed + there + self.withdrawn == sum(each.paid for each in self.leases.values())


async def entries(deployed: Deployed) -> list[Entry]:
    """Return every event of a contract that stands on the chain now, from the receipts."""
    contract, told = deployed.contract, []
    by_topic = {event.topic: event for event in contract.all_events()}
    head = await deployed.anvil.block()
    for number in range(head.number + 1):
        receipts: list[TxReceipt] = await contract.w3.eth.get_block_receipts(number)
        logs = [log for receipt in receipts for log in receipt["logs"]]
        logs = [log for log in logs if log["address"] == contract.address]
        at = (await deployed.anvil.block(number)).timestamp if logs else 0
        for log in logs:
            read = by_topic[log["topics"][0].to_0x_hex()].process_log(log)
            told.append(Entry(str(read["event"]), dict(read["args"]), at))
    return told

"""The last that a lease contract said of each lease and plan, beyond what the daemon folds of it.

Every word is absolute, but prices: that of a lease is the lowest at which it was ever paid for, and
follows from the plans' terms at that moment.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Word:
    """Of one lease. `published` is the connection that was said since its keys were."""

    plan: int = 0
    price: int = 0
    connection: bytes = b""
    published: bytes | None = None
    renewals: bool = True
    upgrade: tuple[int, int, int] = (0, 0, 0)  # the plan, until when, and what is set aside
    wanted_price: int = 0


@dataclass(slots=True)
class LastWords:
    """`prices` and `promises` (delivery time, end fee) are the plans'."""

    leases: dict[int, Word] = field(default_factory=lambda: defaultdict(Word))
    prices: dict[int, int] = field(default_factory=dict)
    promises: dict[int, tuple[object, object]] = field(default_factory=dict)

    def take_in(self, said: Iterable[tuple[str, Mapping[str, object]]]) -> "LastWords":
        """Take events in, in their order."""
        for name, values in said:
            match values:
                case {"tokenId": int(token)}:
                    self._of_lease(self.leases[token], name, values)
                case {"planId": int(plan)}:
                    self._of_plan(plan, name, values)
        return self

    def price_of(self, token: int, now: int) -> int:
        """Return what a second of renewal costs at chain time `now`."""
        word = self.leases[token]
        plan, until, _ = word.upgrade
        own = min(word.price, self.prices[word.plan])
        return max(own, word.wanted_price) if plan and now < until else own

    def _of_plan(self, plan: int, name: str, values: Mapping[str, object]) -> None:
        match name, values:
            case "PlanTerms", {"pricePerSecond": int(price)}:
                self.prices[plan] = price
            case "PlanPromises", _:
                self.promises[plan] = (values["deliveryTime"], values["endFee"])

    def _of_lease(self, word: Word, name: str, values: Mapping[str, object]) -> None:
        match name, values:
            case "Transfer", _:  # clears the connection without a word
                word.connection, word.published = b"", None
            case "KeysChanged", _:
                word.published = None
            case "ConnectionPublished", {"connection": bytes(connection)}:
                word.connection = word.published = connection
            case "RenewalsAllowed", {"allowed": bool(allowed)}:
                word.renewals = allowed
            case "LeaseMinted", {"planId": int(plan)}:
                word.plan, word.price = plan, self.prices[plan]
            case "LeaseRenewed", _:
                word.price = min(word.price, self.prices[word.plan])
            case "PlanChanged", {"planId": int(plan)}:
                word.plan, word.price = plan, word.wanted_price
            case "UpgradeUpdate", {"planId": int(plan), "deadline": int(at), "aside": int(aside)}:
                if not word.upgrade[0]:
                    word.wanted_price = self.prices.get(plan, 0)
                word.upgrade = (plan, at, aside)

"""What everybody has more of each money than before, or less, by what a lease contract said alone.

It is the other side of its books: who paid for which lease, whoever sent the transaction.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Purses:
    """`gained` is by (payment token, account); `paid_in` tells what a plan is paid in."""

    paid_in: Callable[[int], str]
    gained: Counter[tuple[str, str]] = field(default_factory=Counter)
    _plans: dict[int, int] = field(default_factory=dict)
    _owners: dict[int, str] = field(default_factory=dict)
    _wanted: dict[int, bool] = field(default_factory=dict)

    def take_in(self, said: Iterable[tuple[str, Mapping[str, object]]]) -> "Purses":
        """Take events in, in their order."""
        for name, values in said:
            match values:
                case {"tokenId": int(token)}:
                    self._of_lease(token, name, values)
                case {"token": str(coin), "to": str(who), "amount": int(amount)}:
                    self.gained[coin, who] += amount
        return self

    def _of_lease(self, token: int, name: str, values: Mapping[str, object]) -> None:
        match name, values:
            case "Transfer", {"to": str(owner)}:
                self._owners[token] = owner
            case "PlanChanged", {"planId": int(plan)}:
                self._plans[token] = plan
            case "LeaseMinted", {"planId": int(plan), "payer": str(payer), "paid": int(paid)}:
                self._plans[token] = plan
                self._pays(token, payer, paid)
            case "LeaseRenewed", {"payer": str(payer), "paid": int(paid)}:
                self._pays(token, payer, paid)
            case "UpgradeUpdate", {"planId": int(plan), "aside": int(aside)}:
                if not self._wanted.get(token):  # what a renewal adds to it, that says itself
                    self._pays(token, self._owners[token], aside)
                self._wanted[token] = bool(plan)

    def _pays(self, token: int, who: str, amount: int) -> None:
        self.gained[self.paid_in(self._plans[token]), who] -= amount

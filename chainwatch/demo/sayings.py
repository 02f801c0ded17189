"""What the chain said, in a sentence a transaction.

The contract's events carry absolute facts (an owner, an expiry, a key), so each can be told without
knowing what was before, but for two things: in which money a lease is paid stands in its mint, and
whether its expiry is that of paid time or of the time to deliver in its delivery.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from chainwatch.chain.wallet.amounts import Money
from chainwatch.demo.buyer import NATIVE
from chainwatch.demo.deployed import Receipt, Said
from chainwatch.demo.narrator import moment

Name = Callable[[object], str]

_UNTOLD = frozenset(
    {"EscrowUpdate", "CreditUpdate", "MetadataUpdate", "RenewalsAllowed", "Approval"}
)
"""What no act of the story turns on."""


@dataclass(slots=True)
class Sayings:
    """Tells transactions.

    `name` turns an account into somebody's name; `prices` says what each plan is paid in.
    """

    name: Name
    prices: Mapping[int, Money]
    _paid_in: dict[object, Money] = field(default_factory=dict)
    _delivered: set[object] = field(default_factory=set)

    def told(self, receipt: Receipt) -> str:
        """Tell what one transaction did; '' when the shop said nothing."""
        facts = "; ".join(fact for event in receipt.events for fact in self._fact(event))
        facts = facts if receipt.ok else "a transaction failed"
        return facts and f"block {receipt.block_number}, by {self.name(receipt.sender)}: {facts}"

    def _fact(self, event: Said) -> Iterator[str]:
        values = event.values
        lease = f"lease {values.get('tokenId')}"
        match event.name:
            case "Transfer" if values["from"] == NATIVE:
                yield f"{lease} is minted for {self.name(values['to'])}"
            case "Transfer" if values["to"] == NATIVE:
                yield f"{lease} is burned"
            case "Transfer":
                yield f"{lease} goes from {self.name(values['from'])} to {self.name(values['to'])}"
            case "SubscriptionUpdate":
                until = moment(int(str(values["expiration"])))
                runs = values["tokenId"] in self._delivered
                yield f"{lease} {'is paid until' if runs else 'is to be delivered by'} {until}"
            case "LeaseDelivered":
                self._delivered.add(values["tokenId"])
                yield f"{lease} is delivered, and its time begins"
            case "ConnectionPublished":
                yield "how to get in is published, for its owner alone to decrypt"
            case "KeysChanged" if values["sshKey"]:
                yield f"{lease} lets in {str(values['sshKey']).rpartition(' ')[2]}"
            case "KeysChanged":
                yield f"{lease} has no SSH key"
            case other if other not in _UNTOLD:
                yield self._money(event)

    def _money(self, event: Said) -> str:
        values = event.values
        match event.name:
            case "LeaseMinted":
                self._paid_in[values["tokenId"]] = self.prices[int(str(values["planId"]))]
                return f"{self.name(values['payer'])} paid {self._of_lease(event, 'paid')}"
            case "LeaseRenewed":
                return f"{self.name(values['payer'])} paid {self._of_lease(event, 'paid')} more"
            case "Refunded":
                back = self._of_lease(event, "amount")
                return f"{back} are {self.name(values['owner'])}'s again"
            case "Withdrawn":
                amount = self._in(values["token"]).written(int(str(values["amount"])))
                return f"{amount} go to {self.name(values['to'])}"
            case other:
                return f"{other} {dict(values)}"

    def _of_lease(self, event: Said, value: str) -> str:
        return self._paid_in[event.values["tokenId"]].written(int(str(event.values[value])))

    def _in(self, token: object) -> Money:
        return next(money for money in self.prices.values() if money.address == token)

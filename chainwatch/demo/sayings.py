"""What the chain said, in a sentence a transaction.

The contract's events carry absolute facts (an owner, an expiry, a key), so each can be told without
knowing what was before.
"""

from collections.abc import Callable, Iterator

from chainwatch.demo.buyer import NATIVE
from chainwatch.demo.deployed import Receipt, Said
from chainwatch.demo.narrator import moment

Name = Callable[[object], str]

_UNTOLD = frozenset({"EscrowUpdate", "CreditUpdate", "MetadataUpdate", "RenewalsAllowed"})
"""What no act of the story turns on."""


def told(receipt: Receipt, name: Name) -> str:
    """Tell what one transaction did; `name` turns an account into somebody's name."""
    facts = "; ".join(fact for event in receipt.events for fact in _fact(event, name))
    return f"block {receipt.block_number}: {facts or 'nothing was said'}"


def _fact(event: Said, name: Name) -> Iterator[str]:
    values = event.values
    token = f"lease {values.get('tokenId')}"
    match event.name:
        case "Transfer" if values["from"] == NATIVE:
            yield f"{token} is minted for {name(values['to'])}"
        case "Transfer":
            yield f"{token} goes from {name(values['from'])} to {name(values['to'])}"
        case "SubscriptionUpdate":
            yield f"{token} holds until {moment(int(str(values['expiration'])))}"
        case "LeaseDelivered":
            yield f"{token} is delivered, and its time begins"
        case "KeysChanged" if values["sshKey"]:
            yield f"{token} lets in {str(values['sshKey']).rpartition(' ')[2]}"
        case "KeysChanged":
            yield f"{token} has no SSH key"
        case other if other not in _UNTOLD:
            yield _paid(event, name)


def _paid(event: Said, name: Name) -> str:
    values = event.values
    match event.name:
        case "LeaseMinted":
            return f"{name(values['payer'])} paid {values['paid']} for plan {values['planId']}"
        case "LeaseRenewed":
            return f"{name(values['payer'])} paid {values['paid']} more"
        case "Approval" if "value" in values:
            return f"{name(values['owner'])} lets the shop take {values['value']} of the ERC-20"
        case other:
            return f"{other} {dict(values)}"

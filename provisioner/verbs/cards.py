"""Change what is kept on a machine's card: its expiry, its owner; nothing else of the machine.

One call, against the digest of what was read; somebody else's change in between is seen, and the
card is read again.
"""

from collections.abc import Callable

from provisioner.census import Found
from provisioner.driver import PASSING
from provisioner.errors import NotOurs
from provisioner.model import Card
from provisioner.workshop import Workshop

Change = Callable[[Card], Card]


def card_of(found: Found) -> Card:
    """Return a machine's card. Raises NotOurs if it does not hold."""
    if found.card is None:
        raise NotOurs(
            f"the card of {found.name} (VM {found.vmid}) does not hold: somebody edited its "
            "description; put it back first"
        )
    return found.card


async def write_card(shop: Workshop, name: str, change: Change) -> Card:
    """Change a machine's card and return it; one that is as wanted is not written."""
    while True:
        found = await shop.existing(name)
        before = card_of(found)
        card = change(before)
        if card == before:
            return card
        signer = shop.settings.site.signer
        text = signer.describe(found.identity, found.stamps, card)
        try:
            await shop.hypervisor.configure(
                found.node,
                found.vmid,
                found.config.settings,
                text,
                found.config.digest,
                kind=found.kind,
            )
        except PASSING as error:
            await shop.patience.outlast(error)
            continue
        return card

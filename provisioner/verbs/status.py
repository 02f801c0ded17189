"""How a machine stands, in one of four words, as the hypervisor shows it now.

`active` runs, `suspended` stands still, `destroyed` is surely absent: a trusted list of the cluster
does not have it and nothing in our range may still turn out to be it. Whatever cannot be told is
`unknown`, and so nobody gives an address away or pays twice because a question went unanswered.
"""

from enum import StrEnum

from provisioner.census import Found
from provisioner.errors import ProvisionError
from provisioner.model import PowerState
from provisioner.names import key_of
from provisioner.workshop import Workshop


class Status(StrEnum):
    """What may be said of a machine."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    DESTROYED = "destroyed"
    UNKNOWN = "unknown"


_WORDS = {
    PowerState.RUNNING: Status.ACTIVE,
    PowerState.PAUSED: Status.ACTIVE,
    PowerState.STOPPED: Status.SUSPENDED,
}


async def status(shop: Workshop, name: str) -> Status:
    """Ask once, and wait for nothing."""
    key_of(name)
    try:
        found = await shop.census.find(name)
    except ProvisionError as error:
        shop.say(str(error))
        return Status.UNKNOWN
    return Status.DESTROYED if found is None else await state_of(shop, found)


async def state_of(shop: Workshop, found: Found) -> Status:
    """Return how a machine stands that is there."""
    if not found.finished:
        return Status.UNKNOWN
    try:
        power = await shop.hypervisor.power(found.node, found.vmid, kind=found.kind)
    except ProvisionError as error:
        shop.say(str(error))
        return Status.UNKNOWN
    return _WORDS.get(power.state, Status.UNKNOWN)

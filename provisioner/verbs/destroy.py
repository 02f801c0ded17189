"""Destroy a machine that proves to be the one named; one that is surely absent is destroyed.

All the proofs of the library hold: identity, range, uuid, no lock. A machine that somebody has
protected on the hypervisor is refused, because that is how an operator keeps one. With it
goes the user-data that lies on its node.
"""

from provisioner.census import Found
from provisioner.driver import OutOfTime
from provisioner.errors import Declined
from provisioner.model import DesiredMachine, Presence, Retirement
from provisioner.names import key_of
from provisioner.verbs import userdata
from provisioner.workshop import Workshop, wanted


async def retire(shop: Workshop, found: Found, want: DesiredMachine) -> None:
    """Take a machine to its end. Whoever runs out of time after it hears of what it may have left.

    As long as its VMID rests `gc` looks for it too.
    """
    try:
        await shop.reach(found, want)
    except OutOfTime as error:
        if await shop.census.find(found.name) is not None:
            raise
        raise OutOfTime(
            f"{error}; VM {found.vmid} itself is destroyed: remove by hand what volumes of VM "
            f"{found.vmid} are still there"
        ) from None


async def destroy(shop: Workshop, name: str) -> str:
    """Shut a machine down and destroy it; returns a sentence."""
    key_of(name)
    if await shop.found(name) is None:
        await userdata.drop_all(shop)  # whoever destroyed it may have died right after
        return f"{name} does not exist"
    found = await shop.existing(name)
    if found.config.settings.protection:
        raise Declined(
            f"{name} (VM {found.vmid}) is protected: take `protection` away on the hypervisor first"
        )
    now = shop.clock.now()
    want = wanted(
        found,
        Presence.SUSPENDED,
        now,
        retirement=Retirement(ended_at=now, grace=0, final_time=now),
    )
    await retire(shop, found, want)
    await userdata.drop_of(shop, found)
    return f"{name} (VM {found.vmid}) is destroyed"

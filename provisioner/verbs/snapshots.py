"""Snapshots of one machine: taken, listed, rolled back to, deleted.

A rollback brings the description of the snapshot back too, and with it the expiry that held then:
so the card is written again afterwards, as it was before. A command that is cut off in between is
run again with the same snapshot, and what was paid since must then be said again (`renew`).
"""

from collections.abc import Sequence

from provisioner.errors import Declined
from provisioner.ports import SnapshotRow
from provisioner.verbs.cards import card_of, write_card
from provisioner.workshop import Workshop


async def snapshots(shop: Workshop, name: str) -> Sequence[SnapshotRow]:
    """List a machine's snapshots, the oldest first."""
    found = await shop.shown(name)
    return await shop.hypervisor.snapshots(found.node, found.vmid, kind=found.kind)


async def take(shop: Workshop, name: str, snapshot: str) -> str:
    """Take a snapshot; one of that name that is there already is left as it is."""
    found = await shop.existing(name)
    if any(row.name == snapshot for row in await snapshots(shop, name)):
        return f"{name} has a snapshot {snapshot} already"
    await shop.carried_out(
        lambda: shop.hypervisor.take_snapshot(found.node, found.vmid, snapshot, kind=found.kind),
        f"snapshot {snapshot} of {name}",
    )
    return f"snapshot {snapshot} of {name} is taken"


async def roll_back(shop: Workshop, name: str, snapshot: str) -> str:
    """Give a machine back what a snapshot has kept; it stands still afterwards."""
    found = await shop.existing(name)
    if not any(row.name == snapshot for row in await snapshots(shop, name)):
        raise Declined(f"{name} has no snapshot {snapshot}")
    card = card_of(found)
    await shop.carried_out(
        lambda: shop.hypervisor.roll_back(found.node, found.vmid, snapshot, kind=found.kind),
        f"rollback of {name}",
    )
    await write_card(shop, name, lambda _: card)
    return f"{name} is as it was at snapshot {snapshot}, and stands still"


async def delete(shop: Workshop, name: str, snapshot: str) -> str:
    """Delete a snapshot; one that is not there is deleted."""
    found = await shop.existing(name)
    if not any(row.name == snapshot for row in await snapshots(shop, name)):
        return f"{name} has no snapshot {snapshot}"
    await shop.carried_out(
        lambda: shop.controls.delete_snapshot(found.node, found.vmid, snapshot, kind=found.kind),
        f"deletion of snapshot {snapshot}",
    )
    return f"snapshot {snapshot} of {name} is deleted"

"""Snapshots of one machine: taken, listed, rolled back to, deleted.

A rollback brings the description of the snapshot back too, and with it the expiry that held then:
so the card is written again afterwards, as it was before. A command that is cut off in between is
run again with the same snapshot, and what was paid since must then be said again (`renew`).
Neither a rollback nor a deletion can be undone, and each may wait for a lock: so the machine is
looked at once more right before, and one that was changed meanwhile is left as it is.
"""

from collections.abc import Awaitable, Callable, Sequence

from provisioner.census import Found
from provisioner.errors import Changed, Declined
from provisioner.lastlook import look_again
from provisioner.ports import Place, SnapshotRow
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
    await _surely(
        *(shop, found),
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
    await _surely(
        *(shop, found),
        lambda: shop.controls.delete_snapshot(found.node, found.vmid, snapshot, kind=found.kind),
        f"deletion of snapshot {snapshot}",
    )
    return f"snapshot {snapshot} of {name} is deleted"


async def _surely(
    shop: Workshop, found: Found, begin: Callable[[], Awaitable[str | None]], what: str
) -> None:
    """Have a task done that cannot be undone, to the very machine that was found."""

    async def begun() -> str | None:
        try:
            await look_again(shop.hypervisor, Place(found.vmid, found.node), found.config)
        except Changed as error:
            raise Declined(f"{error}: run the same command again") from error
        return await begin()

    await shop.carried_out(begun, what)

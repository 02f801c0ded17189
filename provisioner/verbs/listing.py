"""Every machine of the command line, and how it stands.

Machines of the daemon and strangers are not in it. What could not be read is said, and makes the
list incomplete rather than wrong.
"""

from dataclasses import dataclass

from provisioner.verbs.status import Status, state_of
from provisioner.workshop import Workshop


@dataclass(frozen=True, slots=True)
class Line:
    """One machine; `created` is wall seconds, None where its card does not hold."""

    name: str
    status: Status
    ip: str
    created: int | None


async def listing(shop: Workshop) -> list[Line]:
    """Return a line for each machine, by name. Raises what the hypervisor raises."""
    sighting = await shop.census.all()
    for sentence in sighting.doubts:
        shop.say(f"not listed: {sentence}")
    lines = []
    for found in sorted(sighting.found, key=lambda each: (each.name, each.vmid)):
        addresses = shop.settings.site.pool.addresses(found.vmid)
        ip = (addresses.ipv4 or addresses.ipv6 or "").partition("/")[0]
        created = found.card.created_at if found.card else None
        lines.append(Line(found.name, await state_of(shop, found), ip, created))
    return lines

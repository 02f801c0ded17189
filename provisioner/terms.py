"""What a plan decides beyond the hardware: network, limits, where it stands, who reaches it. Pure.

Everything is optional: what a plan leaves out is the site's own. None of it is on a chain, it is an
operator's word on what is sold there, and a change of it reaches the machines that exist.
"""

from dataclasses import dataclass
from typing import Final

from provisioner.ranges import AddressRange

#: What a GiB may take to be copied, on storages that are slow and busy.
SECONDS_A_GIB: Final = 60
#: What lets a tenant in at all.
SSH: Final = "22"


@dataclass(frozen=True, slots=True)
class Inbound:
    """Who may connect to a machine: everybody to everything (`everything`), or to these ports.

    A port is a number or `FIRST:LAST`, in ascending order. Other tenants reach none of them.
    """

    everything: bool = True
    tcp: tuple[str, ...] = ()
    udp: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self in (OPEN, CLOSED):
            return "open" if self.everything else "closed"
        return ", ".join((*self.tcp, *(f"udp/{port}" for port in self.udp))) or "nobody"


OPEN: Final = Inbound()
CLOSED: Final = Inbound(everything=False, tcp=(SSH,))


@dataclass(frozen=True, slots=True)
class DiskLimits:
    """What a machine's boot disk may take at most; 0 where there is no limit.

    In megabytes (of 1024 × 1024 bytes) and in operations a second. `other` is whatever else limits
    a disk that was looked at, in the hypervisor's own words; a plan has nothing of it.
    """

    mbps_read: float = 0
    mbps_write: float = 0
    iops_read: int = 0
    iops_write: int = 0
    other: str = ""


UNLIMITED: Final = DiskLimits()


@dataclass(frozen=True, slots=True)
class Cloning:
    """How a new machine's disks come to be: hung on those of its template, or copied whole.

    A `full` copy lies on `storage`, on the template's own where that is None; a linked one is where
    its template is. A container is neither: it is unpacked, onto `storage` or the site's own.
    """

    full: bool = False
    storage: str | None = None

    def allowance(self, gib: int) -> int:
        """Return the seconds that a copy of so many GiB may take before it counts as endless."""
        return gib * SECONDS_A_GIB if self.full else 0

    def __str__(self) -> str:
        how = "full" if self.full else "linked"
        return f"{how}, on {self.storage}" if self.storage else how


LINKED: Final = Cloning()


@dataclass(frozen=True, slots=True)
class Terms:
    """What a plan says; None and empty: what the site says, or the template where it says nothing.

    `vlan` is 1 to 4094, `rate` megabytes a second for the network card, `cpu_limit` how many cores
    may be busy at once; `disk` is for virtual machines, and decides all limits of theirs.
    `templates` are VMIDs. A plan that names any addresses has only those, and `host_routes` says
    whether their nodes route the IPv6 ones. `smtp` is whether port 25 of others may be reached;
    `cloud_init` names the template of their user-data. `cloning` is for virtual machines, and
    `container_storage` for the others; both are about those that are yet to be made.
    """

    bridge: str | None = None
    vlan: int | None = None
    rate: float | None = None
    cpu_limit: float | None = None
    disk: DiskLimits | None = None
    ipv4: AddressRange | None = None
    ipv6: AddressRange | None = None
    nodes: frozenset[str] = frozenset()
    templates: tuple[int, ...] = ()
    inbound: Inbound | None = None
    smtp: bool | None = None
    cloud_init: str | None = None
    host_routes: bool = False
    cloning: Cloning | None = None
    container_storage: str | None = None


#: A plan that says nothing.
ANY_TERMS: Final = Terms()

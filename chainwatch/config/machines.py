"""The keys that describe the machines: their pool of VMIDs and addresses, and what they share.

Whether a pool can work is for the pool itself to say (`provisioner.allocate`); what is added here
is what only the file can get wrong: a template among the machines, a range of the other kind.
"""

from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, InstanceOf, model_validator

from chainwatch.config.table import Problems, Table
from chainwatch.config.values import (
    BIGGEST_VMID,
    SMALLEST_VMID,
    archive,
    cloud_init_template,
    inbound_ports,
    name_servers,
    not_empty,
    three_bytes,
)
from provisioner.allocate import AddressRange, Pool
from provisioner.terms import OPEN, Cloning, Inbound

Vmid = Annotated[int, Field(ge=SMALLEST_VMID, le=BIGGEST_VMID)]
StorageName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9._-]*$")]
CloneForm: TypeAlias = Literal["linked", "full"]
#: What is said where a storage is named for clones that stay on their template's.
STAYS: Final = 'goes with clone = "full": a linked clone stays on its template\'s storage'
#: Who may connect, as the file says it and as it is meant.
Inbounds: TypeAlias = InstanceOf[Inbound]


class Addresses(Table):
    """Consecutive addresses of one network."""

    first: str
    gateway: str

    def range(self) -> AddressRange:
        """Return them in the words of the pool."""
        return AddressRange(self.first, self.gateway)


class Ipv4(Addresses):
    """The IPv4 addresses that go with the VMIDs."""

    first: str = Field(
        description="Address of the first VMID, with the length of the network's prefix; the "
        "others follow one by one.",
        examples=["203.0.113.10/24"],
    )
    gateway: str = Field(description="The machines' gateway.", examples=["203.0.113.1"])


class Ipv6(Addresses):
    """The IPv6 addresses that go with the VMIDs, and how they are reached."""

    first: str = Field(
        description="Address of the first VMID, with the length of the network's prefix; the "
        "others follow one by one.",
        examples=["2001:db8::1000/64"],
    )
    gateway: str = Field(description="The machines' gateway.", examples=["2001:db8::1"])
    host_routes: bool = Field(
        default=False,
        description="Keep a route to each machine's address on the node where it stands, also "
        "after the node booted anew; needs `[nodes_ssh]`.",
        examples=[True],
    )


class Machines(Table):
    """What is the same for all machines, and the pool that they come from."""

    vmid_first: Vmid = Field(
        description="First of the VMIDs that are this installation's.", examples=[20000]
    )
    vmid_last: Vmid = Field(
        description="Last of them; as many machines can exist.", examples=[20199]
    )
    template_vms: Annotated[tuple[Vmid, ...], AfterValidator(not_empty)] = Field(
        description="VMIDs of the templates that QEMU machines are cloned from, all alike; none of "
        "ours. A linked clone stays on its template's storage, so one for each node that shares "
        "none.",
        examples=[[9000]],
    )
    clone: CloneForm = Field(
        default="linked",
        description="How virtual machines are cloned: `linked` in seconds, their disks hanging on "
        "the template's; `full` as whole copies, which take as long as their size does, stand "
        "alone, and are all that a storage without cheap copies (thick LVM) can have.",
        examples=["full"],
    )
    clone_storage: StorageName | None = Field(
        default=None,
        description="Storage that full clones are copied to; their template's own where it is left "
        'out. Goes with `clone = "full"`.',
        examples=["san"],
    )
    os_template: Annotated[str, AfterValidator(archive)] | None = Field(
        default=None,
        description="Volume of the archive that containers are made from; without it none are.",
        examples=["local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst"],
    )
    container_storage: StorageName | None = Field(
        default=None,
        description="Storage that the roots of containers lie on; goes with `os_template`.",
        examples=["local-lvm"],
    )
    bridge: str = Field(
        default="vmbr0",
        pattern=r"^[A-Za-z][A-Za-z0-9_.]{0,14}$",
        description="Bridge (or SDN VNet) that their network card is on.",
        examples=["vmbr0"],
    )
    mac_prefix: Annotated[str, AfterValidator(three_bytes)] = Field(
        default="02:00:00",
        description="First three bytes of their MAC addresses: locally administered and unicast "
        "(the second digit is 2, 6, A or E), and nobody else's on that network.",
        examples=["02:00:00"],
    )
    nameserver: Annotated[str, AfterValidator(name_servers)] = Field(
        description="Addresses of name servers, separated by blanks.",
        examples=["203.0.113.1 2001:db8::1"],
    )
    user: str = Field(
        default="tenant",
        pattern=r"^[a-z_][a-z0-9_-]{0,31}$",
        description="Account that the buyer's SSH key opens.",
        examples=["tenant"],
    )
    tags: tuple[Annotated[str, Field(pattern=r"^[a-z0-9_][a-z0-9_.+-]*$")], ...] = Field(
        default=("chainwatch",),
        description="Tags that every machine carries, in lower case.",
        examples=[["chainwatch"]],
    )
    firewall: Annotated[Inbounds, BeforeValidator(inbound_ports)] = Field(
        default=OPEN,
        description="Who may connect to them, other machines of this installation never: `open` "
        "lets everybody connect to everything, `closed` to SSH alone, a list to these ports (of "
        "TCP, or written `udp/51820`; a range is `8000:8010`).",
        examples=["closed"],
    )
    smtp: Literal["blocked", "allowed"] = Field(
        default="blocked",
        description="Whether they may reach port 25 of others, by which spam is sent.",
        examples=["allowed"],
    )
    wallet_login: bool = Field(
        default=False,
        description="Whether the templates have a login that reads the GECOS field: it is then "
        "written at the first boot too, by two calls for each virtual machine. With `cloud_init` "
        "the user-data says it, and in containers their node, for no call.",
        examples=[True],
    )
    shutdown_timeout: int = Field(
        default=60,
        gt=0,
        description="Seconds that a guest gets to shut down before it is stopped.",
        examples=[60],
    )
    answer_timeout: int = Field(
        default=300,
        gt=0,
        description="Seconds after its start in which a guest should answer.",
        examples=[300],
    )
    cloud_init: Annotated[str, AfterValidator(cloud_init_template)] | None = Field(
        default=None,
        description="Template of the machines' cloud-init user-data (`base`, `devbox`, `nft-auth`, "
        "`webserver`), put on the node as a snippet; Proxmox's own cloud-init settings where it is "
        "left out; needs `[nodes_ssh]`.",
        examples=["devbox"],
    )
    ipv4: Ipv4 | None = None
    ipv6: Ipv6 | None = None

    def cloning(self) -> Cloning:
        """Return how virtual machines are cloned."""
        return Cloning(full=self.clone == "full", storage=self.clone_storage)

    def pool(self) -> Pool:
        """Return the pool that these keys describe."""
        return Pool(
            first=self.vmid_first,
            last=self.vmid_last,
            mac_prefix=self.mac_prefix,
            ipv4=self.ipv4.range() if self.ipv4 else None,
            ipv6=self.ipv6.range() if self.ipv6 else None,
        )

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        pool = self.pool()
        found = [("", f"{problem}; write a range that fits") for problem in pool.problems()]
        if any(template in pool for template in self.template_vms):
            found.append(("template_vms", "names a VMID of vmid_first to vmid_last; move it"))
        if (self.os_template is None) != (self.container_storage is None):
            lacking = "os_template" if self.os_template is None else "container_storage"
            found.append((lacking, "is missing: containers need an archive and a storage"))
        if self.clone_storage is not None and self.clone != "full":
            found.append(("clone_storage", STAYS))
        for version, addresses in ((4, self.ipv4), (6, self.ipv6)):
            if addresses and (":" in addresses.first) != (version == 6):
                found.append((f"ipv{version}.first", f"is not an IPv{version} address"))
        if found:
            raise Problems(found)
        return self

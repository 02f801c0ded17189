"""The keys that say what a plan decides beyond its hardware: network, limits, place, firewall.

What is sold is on the chain; where and how it is connected is the operator's affair and stands
here. A table speaks of one plan of one source by its number, or of every plan of a name. Whether
the tables go with the rest of the file (sources, the pool, each other) is checked by
`plan_problems`.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from chainwatch.config.machines import (
    STAYS,
    CloneForm,
    Inbounds,
    Ipv4,
    Ipv6,
    Machines,
    StorageName,
    Vmid,
)
from chainwatch.config.table import Problems, Table
from chainwatch.config.values import cloud_init_template, inbound_ports
from provisioner.ranges import AddressRange
from provisioner.terms import UNLIMITED, Cloning, DiskLimits, Terms

NodeName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$")]


class PlanIpv4(Ipv4):
    """The IPv4 addresses that machines of this plan have instead."""


class PlanIpv6(Ipv6):
    """The IPv6 addresses that machines of this plan have instead."""


class PlanDisk(Table):
    """What a virtual machine of this plan may take of its boot disk; what is left out, all it can.

    Whoever writes the table decides all four, and no total or burst of the template's stays.
    """

    mbps_read: float | None = Field(
        default=None,
        gt=0,
        le=10_240,
        description="Most megabytes a second that are read.",
        examples=[200.0],
    )
    mbps_write: float | None = Field(
        default=None,
        gt=0,
        le=10_240,
        description="Most megabytes a second that are written.",
        examples=[100.0],
    )
    iops_read: int | None = Field(
        default=None,
        gt=0,
        le=10_000_000,
        description="Most operations a second that read.",
        examples=[2000],
    )
    iops_write: int | None = Field(
        default=None,
        gt=0,
        le=10_000_000,
        description="Most operations a second that write.",
        examples=[1000],
    )

    def limits(self) -> DiskLimits:
        """Return them in the words of a machine."""
        return DiskLimits(
            self.mbps_read or 0, self.mbps_write or 0, self.iops_read or 0, self.iops_write or 0
        )


class Plans(Table):
    """What a plan decides beyond its hardware."""

    source: str | None = Field(
        default=None,
        description="Source whose plans are meant; every source where it is left out.",
        examples=["base"],
    )
    plan: int | None = Field(
        default=None,
        ge=0,
        description="Number of the plan on its contract; needs `source`. It goes before a table "
        "with the plan's name.",
        examples=[3],
    )
    name: str | None = Field(
        default=None,
        min_length=1,
        description="Name of the plan on its contract, or of the source itself for a "
        "`[source.plan]`. One of `plan` and `name` is needed.",
        examples=["small"],
    )
    bridge: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z][A-Za-z0-9_.]{0,14}$",
        description="Bridge (or SDN VNet) of their network card, instead of `machines.bridge`.",
        examples=["vmbr1"],
    )
    vlan: int | None = Field(
        default=None,
        ge=1,
        le=4094,
        description="VLAN tag of their network card; left out, it stays as the template has it.",
        examples=[42],
    )
    rate: float | None = Field(
        default=None,
        gt=0,
        le=10_240,
        description="Most megabytes a second that their network card sends and receives; left out, "
        "it stays as the template has it.",
        examples=[12.5],
    )
    cpu_limit: float | None = Field(
        default=None,
        gt=0,
        le=128,
        description="How many of their cores may be busy at once; left out, all of them.",
        examples=[1.5],
    )
    nodes: tuple[NodeName, ...] = Field(
        default=(),
        description="Nodes that get their machines; all of `proxmox.nodes` where it is empty.",
        examples=[["pve1"]],
    )
    template_vms: tuple[Vmid, ...] = Field(
        default=(),
        description="Templates that they are cloned from, instead of `machines.template_vms`.",
        examples=[[9100]],
    )
    clone: CloneForm | None = Field(
        default=None,
        description="How they are cloned, `linked` or `full`, instead of `machines.clone` and "
        "`machines.clone_storage`.",
        examples=["full"],
    )
    clone_storage: StorageName | None = Field(
        default=None,
        description="Storage that their full clones are copied to; their template's own where it "
        'is left out. Goes with `clone = "full"` in the same table.',
        examples=["san"],
    )
    container_storage: StorageName | None = Field(
        default=None,
        description="Storage that the roots of their containers lie on, instead of "
        "`machines.container_storage`.",
        examples=["san"],
    )
    firewall: Annotated[Inbounds | None, BeforeValidator(inbound_ports)] = Field(
        default=None,
        description="Who may connect to them, instead of `machines.firewall`.",
        examples=[["22", "80", "443", "udp/51820"]],
    )
    smtp: Literal["blocked", "allowed"] | None = Field(
        default=None,
        description="Whether they may reach port 25 of others, instead of `machines.smtp`.",
        examples=["allowed"],
    )
    cloud_init: Annotated[str, AfterValidator(cloud_init_template)] | None = Field(
        default=None,
        description="Template of their cloud-init user-data, instead of `machines.cloud_init`; "
        "needs `[nodes_ssh]`.",
        examples=["webserver"],
    )
    disk: PlanDisk | None = None
    ipv4: PlanIpv4 | None = None
    ipv6: PlanIpv6 | None = None

    def ranges(self) -> list[tuple[str, AddressRange]]:
        """Return the addresses that the plan names, by key."""
        both = (("ipv4", self.ipv4), ("ipv6", self.ipv6))
        return [(key, each.range()) for key, each in both if each]

    def terms(self) -> Terms:
        """Return what the plan decides."""
        return Terms(
            bridge=self.bridge,
            vlan=self.vlan,
            rate=self.rate,
            cpu_limit=self.cpu_limit,
            disk=self.disk.limits() if self.disk else None,
            ipv4=self.ipv4.range() if self.ipv4 else None,
            ipv6=self.ipv6.range() if self.ipv6 else None,
            nodes=frozenset(self.nodes),
            templates=self.template_vms,
            inbound=self.firewall,
            smtp=None if self.smtp is None else self.smtp == "allowed",
            cloud_init=self.cloud_init,
            host_routes=self.ipv6 is not None and self.ipv6.host_routes,
            cloning=Cloning(full=self.clone == "full", storage=self.clone_storage)
            if self.clone
            else None,
            container_storage=self.container_storage,
        )

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        found = []
        if (self.plan is None) == (self.name is None):
            found.append(("", "says neither or both of plan and name; write one of them"))
        if self.plan is not None and self.source is None:
            found.append(("source", "is missing: plans of two contracts may have one number"))
        if self.disk and self.disk.limits() == UNLIMITED:
            found.append(("disk", "limits nothing; write a limit, or leave the table out"))
        if self.clone_storage is not None and self.clone != "full":
            found.append(("clone_storage", STAYS))
        for version, addresses in ((4, self.ipv4), (6, self.ipv6)):
            if addresses and (":" in addresses.first) != (version == 6):
                found.append((f"ipv{version}.first", f"is not an IPv{version} address"))
        if found:
            raise Problems(found)
        return self


def plan_problems(
    tables: Sequence[Plans], machines: Machines, sources: Sequence[str], nodes: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Yield what does not go with the rest of the file: pairs of a key and a sentence."""
    pool = machines.pool()
    for index, table in enumerate(tables):
        at = f"plans.{index}"
        if table.source is not None and table.source not in sources:
            yield f"{at}.source", f"names no source; there are {', '.join(sources)}"
        if nodes and (others := sorted(set(table.nodes) - set(nodes))):
            yield f"{at}.nodes", f"names {', '.join(others)}, which is not among proxmox.nodes"
        if any(template in pool for template in table.template_vms):
            text = "names a VMID of vmid_first to vmid_last of [machines]; move it"
            yield f"{at}.template_vms", text
        for key, addresses in table.ranges():
            for problem in addresses.problems(pool.size):
                yield f"{at}.{key}", f"{problem}; write a range that fits"
    yield from _same_plan(tables)
    yield from _crossing(tables, machines)


def _same_plan(tables: Sequence[Plans]) -> Iterator[tuple[str, str]]:
    seen: set[tuple[object, ...]] = set()
    for index, table in enumerate(tables):
        meant = (table.source, table.plan, table.name)
        if meant in seen:
            yield f"plans.{index}", "speaks of a plan that another table speaks of; join the two"
        seen.add(meant)


def _crossing(tables: Sequence[Plans], machines: Machines) -> Iterator[tuple[str, str]]:
    """Yield ranges that give an address to two VMIDs; those that are the same give it to one."""
    pool = machines.pool()
    named = [("machines", each) for each in pool.ranges()]
    for index, table in enumerate(tables):
        named += [(f"plans.{index}.{key}", each) for key, each in table.ranges()]
    for (one, here), (other, there) in combinations(named, 2):
        if not any((here.problems(pool.size), there.problems(pool.size))) and here.crosses(
            there, pool.size
        ):
            yield other, f"overlaps {one}: two machines could get one address; move its first"

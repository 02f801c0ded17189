"""The keys that say what leases are sold as, where their contract does not say it.

Either every lease of a source is the same, or each plan of its contract, which has a number there
and no hardware, is described here.
"""

from typing import Literal

from msgspec.structs import replace
from pydantic import Field

from chainwatch.config.table import Table
from chainwatch.domain.desired import KINDS
from chainwatch.domain.lease import Plan


class SourcePlan(Table):
    """What every lease of a source is sold as, where the contract knows no plans."""

    kind: Literal["vm", "container"] = Field(
        default="vm",
        description="What each machine is: `vm`, a virtual machine cloned from "
        "`machines.template_vms`, or `container`, unpacked from `machines.os_template`. One that "
        "exists stays what it is.",
        examples=["vm"],
    )
    cores: int = Field(gt=0, description="Cores of each machine.", examples=[2])
    memory_mib: int = Field(gt=0, description="Memory of each machine, in MiB.", examples=[4096])
    disk_gib: int = Field(
        gt=0, description="Disk of each machine, in GiB; it is never shrunk.", examples=[40]
    )
    grace: int = Field(
        ge=0,
        description="Seconds (chain time) that a machine is kept, suspended, after its lease has "
        "ended.",
        examples=[604800],
    )

    def of(self, source: str) -> Plan:
        """Return the plan of which all leases of `source` are: it has the source's name."""
        return Plan(
            id=0,
            name=source,
            kind=next(number for number, kind in KINDS.items() if kind == self.kind),
            cores=self.cores,
            memory_mib=self.memory_mib,
            disk_gib=self.disk_gib,
            grace=self.grace,
            defined=True,
        )


class SourceSale(SourcePlan):
    """What the leases of one plan are, where the contract says a number and no hardware."""

    number: int = Field(ge=0, description="Number of the plan on its contract.", examples=[1])

    def of(self, source: str) -> Plan:
        """Return the plan: it has its own number, and the source's name."""
        return replace(super().of(source), id=self.number)

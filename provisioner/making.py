"""Telling a guest that is being made from one whose making was cut off and left its lock behind.

The task that makes a guest need not carry its VMID, nor run on its node: a clone runs where the
template is. So as long as any such task runs anywhere, a guest in the making is given the benefit
of the doubt; once none does, its configuration is read again, and what is still locked then was
left behind. A task that began more than a day ago is not looked for any more. Of one that failed
Proxmox frees the volumes, unless their storage is away just then: what stays is told.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from provisioner.errors import ProvisionError
from provisioner.model import GuestConfig, Kind, OpenOperation
from provisioner.ports import Hypervisor, Place
from provisioner.taskwords import makes

#: How long a clone may run, in seconds, before its lock is taken for one that was left behind.
DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class Making:
    """A guest in the making: what it came to; `config` is None where there is none any more."""

    goes_on: bool
    config: GuestConfig | None = None


async def look(
    hypervisor: Hypervisor, online: Sequence[str], now: int, at: Place, kind: Kind
) -> Making:
    """Say whether the guest `at` may still be being made at wall time `now`, and what it is if not.

    `online` are the nodes whose tasks can be listed.
    """
    for each in online:
        rows = await hypervisor.tasks(each, now - DAY)
        if any(makes(row.kind) and row.ended is None for row in rows):
            return Making(goes_on=True)
    return Making(goes_on=False, config=await hypervisor.config(at.node, at.vmid, kind=kind))


async def left_by(hypervisor: Hypervisor, clone: OpenOperation) -> str:
    """Say what a copy that failed left on its storage, to be added to a sentence; else nothing.

    What carries a VMID that somebody has may be theirs.
    """
    try:
        if not await hypervisor.vmid_is_free(clone.vmid):
            return ""
        left = await hypervisor.volumes(clone.node, clone.vmid)
    except ProvisionError as error:
        return f"; what it left could not be looked at ({error}): look for VM {clone.vmid} there"
    return f"; it left {', '.join(left)}: remove by hand" if left else ""

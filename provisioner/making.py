"""Telling a guest that is being made from one whose making was cut off and left its lock behind.

The task that makes a guest need not carry its VMID, nor run on its node: a clone runs where the
template is. So as long as any such task runs anywhere, a guest in the making is given the benefit
of the doubt; once none does, its configuration is read again, and what is still locked then was
left behind. A task that began more than a day ago is not looked for any more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from provisioner.model import GuestConfig, Kind
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

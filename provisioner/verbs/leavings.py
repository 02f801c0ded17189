"""What machines that were destroyed have left on storages: told by `gc`, removed by a person only.

A destroy that ran out of time does not know what became of the disks, and writes nothing down. But
a node's task list says what was destroyed there, for as long as a VMID rests: so each of those is
looked at again. What carries a VMID that somebody has is theirs. How it fails: what was left longer
ago than the quarantine is not looked for, nor what was destroyed on a node that is away.
"""

from typing import Final

from provisioner.errors import ProvisionError
from provisioner.ports import TaskRow
from provisioner.taskwords import TASKS
from provisioner.upids import node_of
from provisioner.workshop import Workshop

_DESTROYING: Final = TASKS["destroy"]


async def left_behind(shop: Workshop) -> list[str]:
    """Return a sentence for each machine that has left volumes, or may have left some."""
    snapshot = await shop.snapshots.get(newer_than=shop.clock.monotonic())
    since = shop.clock.now() - shop.settings.quarantine
    last: dict[int, TaskRow] = {}
    said = []
    for node in sorted(snapshot.nodes):
        try:
            rows = await shop.hypervisor.tasks(node, since)
        except ProvisionError as error:
            said.append(f"what was destroyed on {node} could not be looked at: {error}")
            continue
        for row in rows:
            if row.vmid is None or row.kind not in _DESTROYING or row.ended is None:
                continue
            if row.vmid not in last or last[row.vmid].started < row.started:
                last[row.vmid] = row
    for vmid in sorted(last.keys() - snapshot.guests.keys()):
        if vmid in shop.settings.site.pool:
            said += await _left_of(shop, vmid, last[vmid].upid)
    return said


async def _left_of(shop: Workshop, vmid: int, destroyed_by: str) -> list[str]:
    """Look what `vmid` has left where it was destroyed."""
    try:
        left = await shop.hypervisor.volumes(node_of(destroyed_by), vmid, destroyed_by=destroyed_by)
        if not left or not await shop.hypervisor.vmid_is_free(vmid):
            return []
    except ProvisionError as error:
        return [f"what VM {vmid} has left could not be looked at: {error}"]
    return [f"VM {vmid} is destroyed, but left {', '.join(left)}: remove by hand"]

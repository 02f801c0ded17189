"""Give a machine back the disks of a snapshot by order: what came after it is lost.

The machine itself does not show that it was rolled back: the task's end says so. Where the reply is
lost the task is therefore searched for, ended or not.
"""

from provisioner.model import DesiredMachine, Observed, Verb
from provisioner.orders import snapshot_name
from provisioner.site import Site
from provisioner.steps.step import Step, Target, ordered


def _due(_site: Site, want: DesiredMachine, have: Observed) -> str | None:
    order = ordered(want, have, Verb.ROLLBACK)
    if order is None or have.obeyed or snapshot_name(order) not in (have.snapshots or ()):
        return None
    return f"it is to be rolled back to {order.name} by order"


async def _effect(target: Target) -> str | None:
    if target.want.order is None:
        raise LookupError("there is no order to roll back for")
    name = snapshot_name(target.want.order)
    return await target.hypervisor.roll_back(target.node, target.vmid, name, kind=target.kind)


ROLLBACK = Step("rollback", _due, _effect, irreversible=True, obeys=True)

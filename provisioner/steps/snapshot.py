"""Take a snapshot by order, under the order's own name: that it is there says that it was done."""

from provisioner.model import DesiredMachine, Observed, Verb
from provisioner.orders import snapshot_name
from provisioner.site import Site
from provisioner.steps.step import Step, Target, ordered


def _due(_site: Site, want: DesiredMachine, have: Observed) -> str | None:
    order = ordered(want, have, Verb.SNAPSHOT)
    if order is None or have.snapshots is None or snapshot_name(order) in have.snapshots:
        return None
    return "a snapshot of it is to be taken by order"


async def _effect(target: Target) -> str | None:
    if target.want.order is None:
        raise LookupError("there is no order to take a snapshot for")
    name = snapshot_name(target.want.order)
    return await target.hypervisor.take_snapshot(target.node, target.vmid, name, kind=target.kind)


SNAPSHOT = Step("snapshot", _due, _effect, obeys=True)

"""Clone the template: the machine comes to be, and its VMID is taken, in one call.

Name and description carry the signed identity, so that even a clone whose reply was lost is found
again. VMID, node and template are chosen by the executor, and recorded, before this runs.
"""

from provisioner.errors import Permanent
from provisioner.model import DesiredMachine, Kind, Observed, Presence, Stamps, Verb
from provisioner.site import Site
from provisioner.steps.step import Step, Target


def _due(_site: Site, want: DesiredMachine, have: Observed) -> str | None:
    if have.config is not None or want.presence is not Presence.RUNNING:
        return None
    if have.kept:
        return "it was destroyed by order, to be made anew"
    return "its machine is gone and a new one is owed" if have.ever_existed else "no machine yet"


async def _effect(target: Target) -> str | None:
    spec, source = target.want.spec, target.source
    if source is None:
        raise LookupError("no template was chosen to clone from")
    if spec is None:
        raise Permanent("what this lease bought is unknown: its plan is not defined on the chain")
    if spec.kind is not Kind.VM:
        raise Permanent(f"this lease bought a {spec.kind}, and only virtual machines can be made")
    return await target.hypervisor.clone(
        source.node,
        source.vmid,
        target.vmid,
        target.want.name,
        target.site.describe(target.want, target.vmid, _stamps(target.want)),
        target=target.node,
    )


def _stamps(want: DesiredMachine) -> Stamps:
    """Return what is done with the clone itself: an order to make the machine anew."""
    order = want.order
    return Stamps(ordered=order.number) if order and order.verb is Verb.REINSTALL else Stamps()


CLONE = Step("clone", _due, _effect, creates=True)

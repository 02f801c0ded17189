"""Make the machine: it comes to be, and its VMID is taken, in one call.

A virtual machine is cloned from a template, a container unpacked from an archive. Name and
description carry the signed identity, so that even one whose reply was lost is found again. VMID,
node and template are chosen by the executor, and recorded, before this runs. A container has its
settings and its owner's key from the first moment, but for `onboot`: until it is configured it
must not come up with its node.
"""

from dataclasses import replace

from provisioner.errors import NO_DISK_LIMITS, Permanent
from provisioner.identity import access_stamp
from provisioner.model import (
    DesiredMachine,
    Kind,
    MachineSpec,
    Observed,
    Presence,
    Stamps,
    Verb,
)
from provisioner.site import Site
from provisioner.steps.step import Step, Target


def _due(_site: Site, want: DesiredMachine, have: Observed) -> str | None:
    if have.config is not None or want.presence is not Presence.RUNNING:
        return None
    if have.kept:
        return "it was destroyed by order, to be made anew"
    return "its machine is gone and a new one is owed" if have.ever_existed else "no machine yet"


async def _effect(target: Target) -> str | None:
    spec = target.want.spec
    if spec is None:
        raise Permanent("what this lease bought is unknown: its plan is not defined on the chain")
    if spec.kind is Kind.CONTAINER:
        return await _unpack(target, spec)
    return await _clone(target)


async def _clone(target: Target) -> str:
    source = target.source
    if source is None:
        raise LookupError("no template was chosen to clone from")
    want, site = target.want, target.site
    stamps = replace(_stamps(want), begun=target.now)
    return await target.hypervisor.clone(
        source.node,
        source.vmid,
        target.vmid,
        want.name,
        site.describe(want, target.vmid, stamps),
        target=target.node,
        cloning=site.cloned(want.terms, Kind.VM),
    )


def _stamps(want: DesiredMachine) -> Stamps:
    """Return what is done with the machine itself: an order to make it anew."""
    order = want.order
    return Stamps(ordered=order.number) if order and order.verb is Verb.REINSTALL else Stamps()


async def _unpack(target: Target, spec: MachineSpec) -> str:
    want, site = target.want, target.site
    if want.terms.disk is not None:
        raise Permanent(
            f"{NO_DISK_LIMITS}, and its plan wants some: take [plans.disk] out of the plan's table "
            "or sell it as a virtual machine, restart, then retry"
        )
    stamps = replace(
        _stamps(want), access=access_stamp(want.access), generation=want.access.generation
    )
    settings = site.settings(want, target.vmid, site.unmade(spec), stamps)
    return await target.hypervisor.create_container(
        target.node,
        target.vmid,
        replace(settings, onboot=False),
        site.describe(want, target.vmid, stamps),
        disk_gib=spec.disk_gib,
        keys=want.access.ssh_key,
        storage=target.storage,
    )


CLONE = Step("clone", _due, _effect, creates=True)

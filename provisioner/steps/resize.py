"""Grow the boot disk to what was sold; the size is absolute, so running it twice grows once.

A disk is never shrunk: a smaller plan leaves the larger disk as it is.
"""

from provisioner.errors import Permanent
from provisioner.model import DesiredMachine, Observed, Presence
from provisioner.site import Site
from provisioner.steps.step import Step, Target


def _due(_site: Site, want: DesiredMachine, have: Observed) -> str | None:
    if have.config is None or want.spec is None or want.presence is not Presence.RUNNING:
        return None
    if have.config.disk_gib >= want.spec.disk_gib:
        return None
    return f"its disk has {have.config.disk_gib} GiB of {want.spec.disk_gib}"


async def grow(target: Target) -> str | None:
    """Grow the disk if that is due; returns the task, if there is one."""
    disk, spec = target.config.disk, target.want.spec
    if spec is None or _due(target.site, target.want, target.have) is None:
        return None
    if disk is None:
        raise Permanent(f"VM {target.vmid} has no boot disk: mend the template's boot order")
    return await target.hypervisor.resize(
        target.node, target.vmid, disk, spec.disk_gib, kind=target.kind
    )


RESIZE = Step("resize", _due, grow)

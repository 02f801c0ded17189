"""Start a machine that is owed a start: once per provision or resume, until it was seen running.

A guest that its owner powered off later is left off; one that its node did not bring back when it
booted is owed a start again (`provisioner.boots`). One that was only just configured is started
without asking for its power first: Proxmox refuses to start what runs.
"""

from provisioner.model import DesiredMachine, Observed, PowerState, Presence
from provisioner.site import Site
from provisioner.steps.step import Step, Target


def _due(_site: Site, want: DesiredMachine, have: Observed) -> str | None:
    if want.presence is not Presence.RUNNING or (have.stamps.started and not have.fallen):
        return None
    startable = have.power in (PowerState.STOPPED, PowerState.UNREAD)
    return (have.fallen or "it is owed a start") if startable else None


async def _effect(target: Target) -> str | None:
    if target.have.power is not PowerState.UNREAD:  # it may have been moved since it was configured
        await target.keep_snippet()
    return await target.hypervisor.start(target.node, target.vmid, kind=target.kind)


START = Step("start", _due, _effect)

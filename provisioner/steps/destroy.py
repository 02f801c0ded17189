"""Destroy a machine whose grace is over by the finalized view. There is no way back.

It has to have been observed stopped and stamped, and where the site wants backups, one of this very
suspension has to be there; the executor proves whose it is first, and the caller asks the chain
once more.
"""

from provisioner.model import DesiredMachine, Observed, PowerState, Presence
from provisioner.moments import utc
from provisioner.site import Site
from provisioner.steps.step import Step, Target


def due_at(want: DesiredMachine, have: Observed) -> int | None:
    """Return the final chain time from which the machine may go; None while it may not."""
    if want.presence is not Presence.SUSPENDED or want.retirement is None:
        return None
    if have.stamps.suspended_at is None or not (have.stamps.ended and want.ended):
        return None
    return want.retirement.due_at(have.stamps.suspended_at)


def grace_over(want: DesiredMachine, have: Observed) -> str | None:
    """Say that the machine may go, if it may and is there to be destroyed."""
    at = due_at(want, have)
    if at is None or want.retirement is None or want.retirement.final_time < at:
        return None
    if have.config is None or have.power is not PowerState.STOPPED:
        return None
    return f"its grace ended on {utc(at)}"


def saved(site: Site, have: Observed) -> bool:
    """Say whether all that has to be kept of the machine is: it has not run since its backup."""
    return site.backups is None or any(
        backup.identity.vmid == have.vmid and backup.stamps.suspended_at == have.stamps.suspended_at
        for backup in have.backups
    )


def _due(site: Site, want: DesiredMachine, have: Observed) -> str | None:
    return grace_over(want, have) if saved(site, have) else None


async def _effect(target: Target) -> str | None:
    return await target.hypervisor.destroy(target.node, target.vmid, kind=target.kind)


DESTROY = Step("destroy", _due, _effect, irreversible=True)

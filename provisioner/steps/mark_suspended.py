"""Stamp the chain time at which a machine was observed stopped: its grace runs from here.

A machine that was suspended by order is stamped anew when its lease ends, so that no grace is ever
shortened by time that was paid for.
"""

from dataclasses import replace

from provisioner.model import DesiredMachine, Observed, PowerState, Presence
from provisioner.site import Site
from provisioner.steps.step import Step, Target


def _due(_site: Site, want: DesiredMachine, have: Observed) -> str | None:
    if want.presence is not Presence.SUSPENDED:
        return None
    if have.stamps.suspended_at is not None and have.stamps.ended == want.ended:
        return None
    return "it is stopped and not yet marked" if have.power is PowerState.STOPPED else None


async def _effect(target: Target) -> str | None:
    await target.put_config(
        replace(
            target.have.stamps,
            suspended_at=target.want.at,
            ended=target.want.ended,
            started=False,
        )
    )
    return None


MARK_SUSPENDED = Step("mark-suspended", _due, _effect)

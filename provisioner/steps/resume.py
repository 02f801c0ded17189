"""Give a suspended machine back: it boots with its node again, and a start is owed.

The suspension's stamp goes in the same call, so that a crash leaves it either suspended or owed a
start, never running with an old stamp.
"""

from dataclasses import replace

from provisioner.model import DesiredMachine, Observed, Presence
from provisioner.site import Site
from provisioner.steps.step import Step, Target


def _due(_site: Site, want: DesiredMachine, have: Observed) -> str | None:
    if want.presence is Presence.RUNNING and have.stamps.suspended_at is not None:
        return "it is paid for again and still marked as suspended"
    return None


async def _effect(target: Target) -> str | None:
    await target.put_config(
        replace(target.have.stamps, suspended_at=None, ended=False, started=False)
    )
    return None


RESUME = Step("resume", _due, _effect)

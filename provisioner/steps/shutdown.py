"""Shut a machine down that nobody pays for, by force when it does not listen.

It comes after `configure` has taken `onboot` away, so that a node reboot does not bring it back.
Somebody who starts a suspended machine by hand sees it stopped again.
"""

from provisioner.model import DesiredMachine, Observed, PowerState, Presence
from provisioner.site import Site
from provisioner.steps.step import Step, Target


def _due(_site: Site, want: DesiredMachine, have: Observed) -> str | None:
    if want.presence is not Presence.SUSPENDED:
        return None
    if have.power not in (PowerState.RUNNING, PowerState.PAUSED):
        return None
    return "it runs and should be suspended"


async def _effect(target: Target) -> str | None:
    return await target.shut_down()


SHUTDOWN = Step("shutdown", _due, _effect)

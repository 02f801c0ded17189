"""Stop a clone that runs as what its template was: its node rebooted before it was configured.

A template's `onboot` comes along with the clone, and so it came up with the template's user, keys
and addresses. Running, it would take over neither hardware nor identity, and its owner could not
enter; stopped, it is configured as any other. What it did to its disk meanwhile stays there: a
template had better not have `onboot`.
"""

from typing import Final

from provisioner.model import DesiredMachine, Observed, PowerState
from provisioner.site import Site
from provisioner.steps.step import Step, Target

_EARLY: Final = "it came up before it was configured"


def _due(site: Site, want: DesiredMachine, have: Observed) -> str | None:
    if have.early:  # its node started it while we configured it
        return _EARLY
    if have.config is None or have.vmid is None or site.isolated(want, have):
        return None
    if site.bears(site.identity(want, have.vmid), have.config):
        return None  # it has been configured; only its stamps were lost
    if have.power not in (PowerState.RUNNING, PowerState.PAUSED):
        return None
    return _EARLY


async def _effect(target: Target) -> str | None:
    return await target.shut_down()


HALT = Step("halt", _due, _effect)

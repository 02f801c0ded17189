"""Destroy a machine by order, to make it anew with nothing of what was inside. No way back.

It has to stand still. Its VMID is not given to quarantine: the clone that follows is made there,
stamped with the order's number from the start. So a machine with the stamp was made because of the
order, one without is to be destroyed for it, and where there is none, one is owed: at each point of
a crash exactly one of these is so.
"""

from provisioner.model import DesiredMachine, Observed, PowerState, Verb
from provisioner.site import Site
from provisioner.steps.step import Step, Target, ordered


def _due(site: Site, want: DesiredMachine, have: Observed) -> str | None:
    if have.power is not PowerState.STOPPED or ordered(want, have, Verb.REINSTALL) is None:
        return None
    if have.config and have.config.settings.protection and site.repairs and not want.held:
        return None  # somebody protected it, which `configure` takes back first
    return "it is to be made anew by order"


async def _effect(target: Target) -> str | None:
    return await target.hypervisor.destroy(target.node, target.vmid, kind=target.kind)


REINSTALL = Step("reinstall", _due, _effect, irreversible=True, obeys=True)

"""Cut a machine's power by order, at once; it is left off until somebody starts it."""

from provisioner.model import DesiredMachine, Observed, PowerState, Verb
from provisioner.site import Site
from provisioner.steps.step import Step, Target, ordered


def _due(_site: Site, want: DesiredMachine, have: Observed) -> str | None:
    running = have.power in (PowerState.RUNNING, PowerState.PAUSED)
    return "it is to be killed by order" if running and ordered(want, have, Verb.KILL) else None


async def _effect(target: Target) -> str | None:
    return await target.hypervisor.stop(target.node, target.vmid, kind=target.kind)


KILL = Step("kill", _due, _effect, obeys=True)

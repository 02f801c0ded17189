"""Let in exactly who may enter: replace the keys inside the guest and end every session.

The guest has to be running and answering. Where it is not, `configure` pulls the network cable
until this step has run, so nobody enters meanwhile.
"""

from dataclasses import replace

from provisioner.identity import access_stamp
from provisioner.model import DesiredMachine, Observed, PowerState
from provisioner.site import Site
from provisioner.steps.step import Step, Target


def _due(_site: Site, want: DesiredMachine, have: Observed) -> str | None:
    pending = have.stamps.configured and have.stamps.access != access_stamp(want.access)
    if not pending or have.power is not PowerState.RUNNING or not have.answers:
        return None
    return "its keys changed" if want.access.ssh_key else "its owner changed: nobody may enter"


async def _effect(target: Target) -> str | None:
    user = target.site.user
    key = target.want.access.ssh_key
    await target.guest.set_authorized_keys(target.node, target.vmid, user, key)
    await target.guest.end_sessions(target.node, target.vmid, user)
    stamp = access_stamp(target.want.access)
    await target.put_config(replace(target.have.stamps, access=stamp))
    return None


ACCESS = Step("access", _due, _effect)

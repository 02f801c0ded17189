"""Let in exactly who may enter: replace keys and GECOS inside the guest and end every session.

The guest has to be running and answering. Where it is not, or refuses, the network cable is pulled
after a change of owner until this step has run, so the former one does not enter meanwhile.
"""

from dataclasses import replace

from provisioner.errors import ProvisionError
from provisioner.identity import access_stamp, gecos_stamp
from provisioner.model import DesiredMachine, Observed, PowerState
from provisioner.site import Site
from provisioner.steps.step import Step, Target


def _due(_site: Site, want: DesiredMachine, have: Observed) -> str | None:
    pending = have.stamps.configured and have.stamps.access != access_stamp(want.access)
    if not pending or have.power is not PowerState.RUNNING or not have.answers:
        return None
    return "its keys changed" if want.access.ssh_key else "its owner changed: nobody may enter"


async def _effect(target: Target) -> str | None:
    want, gecos = target.want.access, target.want.gecos
    try:
        await _let_in(target, want.ssh_key, gecos)
    except ProvisionError:
        await target.put_config(target.have.stamps)  # pulls the cable if the owner changed
        raise
    stamps = replace(target.have.stamps, access=access_stamp(want), generation=want.generation)
    await target.put_config(replace(stamps, gecos=gecos_stamp(gecos) if gecos else stamps.gecos))
    return None


async def _let_in(target: Target, key: str, gecos: str) -> None:
    user, guest = target.site.account(target.kind), target.guests.of(target.kind)
    await guest.set_authorized_keys(target.node, target.vmid, user, key)
    if gecos:  # a login by signature asks it whose wallet may enter
        await target.say(gecos)
    await guest.end_sessions(target.node, target.vmid, user)


ACCESS = Step("access", _due, _effect)

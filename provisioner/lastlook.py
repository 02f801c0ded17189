"""The last look at a guest before what is done to it: it is still the one that was looked at.

A pass looks at a machine, and proves by what it saw whose it is; then it may ask others, for as
long as they take, and meanwhile somebody can remove the guest and make his own at its VMID. Proxmox
destroys and rolls back whatever stands there: no such call says whom it means. So the configuration
is read once more right before, and has to be the same to the letter: its digest is that of the
whole file, and with it are held what the proof rests on (description, uuid or MAC) and the lock.
How it fails: an error that passes, with nothing done and nothing begun; whoever looks again finds
who stands there now. What stays open is the time from this reading to the arrival of the call.
"""

from provisioner.errors import Changed, Locked
from provisioner.model import GuestConfig
from provisioner.ports import Hypervisor, Place


async def look_again(hypervisor: Hypervisor, at: Place, seen: GuestConfig) -> None:
    """Read the configuration of the guest `at` again. Raises Changed, or Locked, if it differs."""
    now = await hypervisor.config(at.node, at.vmid, kind=seen.kind)
    if now == seen:
        return
    if now is None:
        raise Changed(
            f"VM {at.vmid} is gone from node {at.node} since it was looked at, and nothing was "
            "done: was it moved or removed? look for it"
        )
    said = (
        f"VM {at.vmid} {_changed(seen, now)} since it was looked at: nothing was done to it, "
        "and it has to be looked at again"
    )
    raise Locked(said) if now.lock is not None else Changed(said)


def _changed(seen: GuestConfig, now: GuestConfig) -> str:
    """Say what is another by now, the gravest first."""
    if now.description != seen.description:
        return "says something else of whose it is"
    if (now.settings.uuid, now.settings.mac) != (seen.settings.uuid, seen.settings.mac):
        return "has got another uuid or MAC"
    if now.lock is not None:
        return f"was locked ({now.lock})"
    return "was given another configuration"

"""Start, stop, kill, reboot: one task each, and nothing of what is kept about the machine changes.

A machine that was suspended for want of payment is not started: that is what `resume` is for. What
is already as wanted is left alone, so each may be run twice.
"""

from provisioner.census import Found
from provisioner.errors import Declined, Transient
from provisioner.model import PowerState
from provisioner.verbs.tending import tend
from provisioner.workshop import Workshop

_ON = (PowerState.RUNNING, PowerState.PAUSED)


async def start(shop: Workshop, name: str) -> str:
    """Start a machine; returns a sentence."""
    found = await shop.existing(name)
    if found.stamps.suspended_at is not None:
        raise Declined(f"{name} is suspended: use resume")
    if not found.stamps.configured:
        raise Declined(f"{name} was never finished: run the same create again")
    if await _state(shop, found) in _ON:
        await tend(shop, name)
        return f"{name} runs already"
    upid = await shop.hypervisor.start(found.node, found.vmid, kind=found.kind)
    await shop.done(upid, f"start of {name}")
    await tend(shop, name)
    return f"{name} is started"


async def stop(shop: Workshop, name: str) -> str:
    """Ask a machine to shut down; one that does not listen goes on, and that is a failure."""
    found = await shop.existing(name)
    if await _state(shop, found) is PowerState.STOPPED:
        return f"{name} stands still already"
    patience = shop.settings.site.shutdown_timeout
    upid = await shop.controls.shut_down(found.node, found.vmid, patience, kind=found.kind)
    try:
        await shop.done(upid, f"shutdown of {name}")
    except Transient as error:
        if await _state(shop, found) is PowerState.STOPPED:
            return f"{name} is stopped"
        raise Declined(
            f"{name} did not shut down within {patience} s ({error}): it goes on; kill cuts its "
            "power"
        ) from error
    return f"{name} is stopped"


async def kill(shop: Workshop, name: str) -> str:
    """Cut a machine's power."""
    found = await shop.existing(name)
    if await _state(shop, found) is PowerState.STOPPED:
        return f"{name} stands still already"
    await shop.done(
        await shop.hypervisor.stop(found.node, found.vmid, kind=found.kind), f"stop of {name}"
    )
    return f"{name} is stopped"


async def reboot(shop: Workshop, name: str) -> str:
    """Ask a machine to shut down, and start it again."""
    found = await shop.existing(name)
    if await _state(shop, found) is PowerState.STOPPED:
        raise Declined(f"{name} stands still: use start")
    patience = shop.settings.site.shutdown_timeout
    await shop.done(
        await shop.controls.reboot(found.node, found.vmid, patience, kind=found.kind),
        f"reboot of {name}",
    )
    await tend(shop, name)
    return f"{name} is rebooted"


async def _state(shop: Workshop, found: Found) -> PowerState:
    return (await shop.hypervisor.power(found.node, found.vmid, kind=found.kind)).state

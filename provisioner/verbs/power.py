"""Start, stop, kill, reboot: one task each, and nothing of what is kept about the machine changes.

A machine that was suspended for want of payment is not started: that is what `resume` is for. What
is already as wanted is left alone, so each may be run twice. That a task ended well is no proof:
under high availability it only notes a wish. So a machine is looked at until it is as wanted.
"""

from collections.abc import Awaitable, Callable, Collection
from typing import Final, TypeAlias

from provisioner.census import Found
from provisioner.errors import Declined, HypervisorDown, Locked, Transient, UnknownOutcome
from provisioner.model import PowerState
from provisioner.verbs.tending import tend
from provisioner.workshop import Workshop

_ON: Final = (PowerState.RUNNING, PowerState.PAUSED)
_OFF: Final = (PowerState.STOPPED,)
#: Errors after which a machine is looked at, and its task begun again if it is not as wanted.
_AGAIN: Final = (Locked, UnknownOutcome, HypervisorDown)
#: Begins the task that changes a machine's power.
Begin: TypeAlias = Callable[[Found], Awaitable[str | None]]


async def start(shop: Workshop, name: str) -> str:
    """Start a machine; returns a sentence."""
    found = await shop.existing(name)
    if found.stamps.suspended_at is not None:
        raise Declined(f"{name} is suspended: use resume")
    if not found.stamps.configured:
        raise Declined(f"{name} was never finished: run the same create again")

    async def begin(found: Found) -> str:
        return await shop.hypervisor.start(found.node, found.vmid, kind=found.kind)

    started = await _brought(shop, name, _ON, begin, f"start of {name}")
    await tend(shop, name)
    return f"{name} is started" if started else f"{name} runs already"


async def stop(shop: Workshop, name: str) -> str:
    """Ask a machine to shut down; one that does not listen goes on, and that is a failure."""
    patience = shop.settings.site.shutdown_timeout

    async def begin(found: Found) -> str | None:
        return await shop.controls.shut_down(found.node, found.vmid, patience, kind=found.kind)

    try:
        stopped = await _brought(shop, name, _OFF, begin, f"shutdown of {name}")
    except Transient as error:
        raise Declined(
            f"{name} did not shut down within {patience} s ({error}): it goes on; kill cuts its "
            "power"
        ) from error
    return f"{name} is stopped" if stopped else f"{name} stands still already"


async def kill(shop: Workshop, name: str) -> str:
    """Cut a machine's power."""

    async def begin(found: Found) -> str:
        return await shop.hypervisor.stop(found.node, found.vmid, kind=found.kind)

    stopped = await _brought(shop, name, _OFF, begin, f"stop of {name}")
    return f"{name} is stopped" if stopped else f"{name} stands still already"


async def reboot(shop: Workshop, name: str) -> str:
    """Ask a machine to shut down, and start it again."""
    found = await shop.existing(name)
    if await _state(shop, found) is PowerState.STOPPED:
        raise Declined(f"{name} stands still: use start")
    patience = shop.settings.site.shutdown_timeout
    await shop.carried_out(
        lambda: shop.controls.reboot(found.node, found.vmid, patience, kind=found.kind),
        f"reboot of {name}",
    )
    await tend(shop, name)
    return f"{name} is rebooted"


async def _brought(
    shop: Workshop, name: str, wanted: Collection[PowerState], begin: Begin, what: str
) -> bool:
    """Bring a machine into a state; says whether anything had to be done."""
    begun = asked = False
    while True:
        found = await shop.existing(name)
        try:
            if await _state(shop, found) in wanted:
                return begun
            if not asked:
                begun = True
                await shop.done(await begin(found), what)
                asked = True
                continue
        except _AGAIN as error:
            await shop.patience.outlast(error)
            continue
        except Transient:
            if await _state(shop, found) in wanted:
                return begun
            raise
        await shop.patience.wait(f"waiting for {what}: it has not come about yet")


async def _state(shop: Workshop, found: Found) -> PowerState:
    return (await shop.hypervisor.power(found.node, found.vmid, kind=found.kind)).state

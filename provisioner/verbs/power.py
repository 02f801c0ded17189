"""Start, stop, kill, reboot: one task each, and nothing of what is kept about the machine changes.

A machine that was suspended for want of payment is not started: that is what `resume` is for. What
is already as wanted is left alone, so each may be run twice. That a task ended well is no proof:
under high availability it only notes a wish. So a machine is looked at until it is as wanted.
"""

from collections.abc import Awaitable, Callable, Collection
from typing import Final, TypeAlias

from provisioner.census import Found
from provisioner.driver import PASSING
from provisioner.errors import Declined, HypervisorDown, Locked, Transient, UnknownOutcome
from provisioner.model import Power, PowerState
from provisioner.verbs.tending import tend
from provisioner.workshop import Workshop

_ON: Final = (PowerState.RUNNING, PowerState.PAUSED)
_OFF: Final = (PowerState.STOPPED,)
#: Errors after which a machine is looked at, and its task begun again if it is not as wanted.
_AGAIN: Final = (Locked, UnknownOutcome, HypervisorDown)
#: How long a machine that was shut down may take to run again, and how exact its uptime is (s).
BOOTING: Final = 60
ROUNDED: Final = 2
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
    power = await shop.hypervisor.power(found.node, found.vmid, kind=found.kind)
    if power.state is PowerState.STOPPED:
        raise Declined(f"{name} stands still: use start")
    patience, booted = shop.settings.site.shutdown_timeout, _boot(shop, power)
    try:
        await shop.carried_out(
            lambda: shop.controls.reboot(found.node, found.vmid, patience, kind=found.kind),
            f"reboot of {name}",
        )
    except UnknownOutcome as error:
        await _come_back(shop, name, booted, error)
    except Transient as error:
        raise Declined(
            f"{name} is not rebooted ({error}): where it goes on, kill cuts its power and start "
            "gives it back"
        ) from error
    await tend(shop, name)
    return f"{name} is rebooted"


def _boot(shop: Workshop, power: Power) -> float | None:
    """Return when a machine booted (monotonic), None while it does not run."""
    running = power.state is PowerState.RUNNING
    return shop.clock.monotonic() - power.uptime if running else None


async def _come_back(
    shop: Workshop, name: str, booted: float | None, error: UnknownOutcome
) -> None:
    """Look whether a reboot came about that nobody confirmed. Raises `error` where it did not.

    To ask again at once would be to shut down a machine that is just booting.
    """
    until = shop.clock.monotonic() + shop.settings.site.shutdown_timeout + BOOTING
    shop.say(str(error))
    while shop.clock.monotonic() < until:
        found = await shop.existing(name)
        try:
            power = await shop.hypervisor.power(found.node, found.vmid, kind=found.kind)
        except PASSING as passing:
            await shop.patience.outlast(passing)
            continue
        boot = _boot(shop, power)
        if boot is not None and booted is not None and boot > booted + ROUNDED:
            return
        await shop.patience.wait(f"looking whether {name} reboots")
    raise error


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

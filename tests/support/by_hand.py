"""The commands that modes of failure are played against: what leads up to each, what it ends in.

A command is data. Each is there for virtual machines and for containers. What it comes to is judged
from the cluster; `Failed` stands for the commands that tell their failure without an error.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from provisioner.errors import Declined, ProvisionError
from provisioner.model import Kind
from provisioner.simulator.guests import Guest
from provisioner.verbs import power, snapshots
from provisioner.verbs.create import create
from provisioner.verbs.destroy import destroy
from provisioner.verbs.gc import Phase, collect
from provisioner.verbs.gecos import write_gecos
from provisioner.verbs.guest_exec import guest_exec
from provisioner.verbs.listing import listing
from provisioner.verbs.metrics import metrics
from provisioner.verbs.order import Gecos, hardware
from provisioner.verbs.resume import renew, resume
from provisioner.verbs.status import Status, status
from provisioner.verbs.throttle import Limits, throttle
from provisioner.workshop import Workshop
from tests.support.cli import DAY, TEMPLATE, WALLET, Yard, order, reach
from tests.support.verbs import NODES, cluster

#: Seconds since 1970 until when `renew` says that a machine is paid.
UNTIL: Final = 2_000_000_000
#: The least that is waited for a boot to be over.
BOOT: Final = 30
Does = Callable[[Workshop], Awaitable[object]]
Stage = Callable[[Yard], Awaitable[None]]


class Failed(ProvisionError):
    """A command told that it failed, and raised nothing."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command of one kind; `ends` says whether the machine, None if it is gone, is as it was
    meant to be.

    `looks` are the commands that change nothing.
    """

    name: str
    before: tuple[Stage, ...]
    does: Does
    ends: Callable[[Guest | None], bool]
    kind: Kind = Kind.VM
    looks: bool = False

    @property
    def id(self) -> str:
        """Return what it is called among the commands of both kinds."""
        return f"{self.kind}-{self.name}"

    def yard(self) -> Yard:
        """Return three nodes, all of them reached over SSH, with a storage that all of them see."""
        made = cluster()
        made.add_storage("local")
        made.add_template(TEMPLATE)
        it = Yard(made)
        if self.kind is Kind.CONTAINER:
            made.state.storages["shared"].kind = "zfspool"  # where containers have snapshots
            proxmox = replace(
                it.settings.proxmox,
                os_template=made.add_os_template(),
                container_storage="shared",
            )
            it.settings = replace(it.settings, proxmox=proxmox)
        reach(it, NODES)
        return it


async def expired(it: Yard) -> None:
    it.cluster.advance(31 * DAY)


async def suspended(it: Yard) -> None:
    await expired(it)
    await collected(frozenset({Phase.SUSPEND}))(it.shop())


async def forgotten(it: Yard) -> None:
    await suspended(it)
    it.cluster.advance(8 * DAY)


async def off(it: Yard) -> None:
    await power.kill(it.shop(), "web")


async def kept(it: Yard) -> None:
    await snapshots.take(it.shop(), "web", "one")


def collected(phases: frozenset[Phase]) -> Does:
    """Return a collection; what went wrong in it is its failure, as its exit code says."""

    async def does(shop: Workshop) -> None:
        came_to = await collect(shop, execute=True, phases=phases)
        if came_to.failures:
            raise Failed("; ".join(came_to.failures))

    return does


async def given_back(shop: Workshop) -> None:
    """Resume it; typed again after it was done, it is not suspended any more."""
    try:
        await resume(shop, "web", expires_at=UNTIL)
    except Declined as error:
        if "web is not suspended" not in str(error):
            raise


async def ran(shop: Workshop) -> None:
    ended = await guest_exec(shop, "web", ["echo", "once"], 20)
    if ended.code:
        raise Failed(ended.error.decode())
    assert ended.output == b"once\n"


async def told(shop: Workshop) -> None:
    """Ask how it stands: never is a machine said to be gone because a question went unanswered."""
    found = await status(shop, "web")
    there = any(vmid != TEMPLATE for vmid in await _standing(shop))
    assert found is not Status.DESTROYED or not there
    if found is Status.UNKNOWN:
        raise Failed("that cannot be told now; look")


async def _standing(shop: Workshop) -> Sequence[int]:
    """Return the VMIDs of our range that exist, whatever the API says."""
    cluster = shop.api._api._cluster  # type: ignore[attr-defined]  # the world itself, behind the API
    return [vmid for vmid in cluster.state.guests if vmid in shop.settings.site.pool]


async def listed(shop: Workshop) -> None:
    """List it; whoever is removed meanwhile may be listed or not."""
    names = [line.name for line in await listing(shop)]
    there = any(vmid != TEMPLATE for vmid in await _standing(shop))
    if names != ["web"] and (there or names):
        raise Failed("not listed; look")


async def screen(shop: Workshop) -> None:
    found = await shop.shown("web")
    await shop.controls.console(found.node, found.vmid, kind=found.kind)


def _there(guest: Guest | None) -> bool:
    return guest is not None


def _gone(guest: Guest | None) -> bool:
    return guest is None


def _runs(guest: Guest | None) -> bool:
    return guest is not None and guest.running


def _stands(guest: Guest | None) -> bool:
    return guest is not None and not guest.running


def _limited(guest: Guest | None) -> bool:
    return guest is not None and "cpulimit" in guest.config


def _commands(kind: Kind) -> Sequence[Command]:
    wanted = order(spec=hardware(1, 1024, 10, kind))
    user = "root" if kind is Kind.CONTAINER else "admin"
    gecos = Gecos(WALLET, 7, user)

    async def made(it: Yard) -> None:
        await create(it.shop(), wanted)
        it.cluster.advance(BOOT)

    def of(
        name: str,
        does: Does,
        ends: Callable[[Guest | None], bool] = _there,
        *before: Stage,
        looks: bool = False,
    ) -> Command:
        return Command(name, (made, *before), does, ends, kind, looks)

    return [
        Command("create", (), lambda shop: create(shop, wanted), _runs, kind),
        of("destroy", lambda shop: destroy(shop, "web"), _gone),
        of("start", lambda shop: power.start(shop, "web"), _runs, off),
        of("stop", lambda shop: power.stop(shop, "web"), _stands),
        of("kill", lambda shop: power.kill(shop, "web"), _stands),
        of("reboot", lambda shop: power.reboot(shop, "web"), _runs),
        of(
            "resume",
            given_back,
            _runs,
            suspended,
        ),
        of("renew", lambda shop: renew(shop, "web", UNTIL)),
        of("gc (suspends)", collected(frozenset({Phase.SUSPEND})), _stands, expired),
        of("gc (destroys)", collected(frozenset(Phase)), _gone, forgotten),
        of("status", told, looks=True),
        of("list", listed, looks=True),
        of("metrics", lambda shop: metrics(shop, "web"), looks=True),
        of("console", screen, looks=True),
        of("guest-exec", ran),
        of(
            "update-gecos",
            lambda shop: write_gecos(shop, "web", gecos),
            lambda guest: guest is not None and guest.os.comments.get(user) == gecos.text,
        ),
        of("throttle", lambda shop: throttle(shop, "web", Limits(cpu_quota=50)), _limited),
        of(
            "snapshot",
            lambda shop: snapshots.take(shop, "web", "one"),
            lambda guest: guest is not None and "one" in guest.snapshots,
        ),
        of("snapshots", lambda shop: snapshots.snapshots(shop, "web"), _there, looks=True),
        of("rollback", lambda shop: snapshots.roll_back(shop, "web", "one"), _stands, kept),
        of(
            "delete-snapshot",
            lambda shop: snapshots.delete(shop, "web", "one"),
            lambda guest: guest is not None and "one" not in guest.snapshots,
            kept,
        ),
    ]


COMMANDS: Final = tuple(each for kind in Kind for each in _commands(kind))

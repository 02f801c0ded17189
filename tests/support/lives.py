"""Stages of a machine's life, and how what they end in is compared.

A stage says something (on the chain, or as an operator) or does something to the cluster; between
stages the daemon works until nothing is left to do. What it all ends in is compared as a `Scene`:
what the cluster has, without the times at which it came about.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from chainwatch.chain.evidence import testimonies
from chainwatch.domain.desired import Hold
from chainwatch.domain.events import ZERO_ADDRESS, ExpiryUpdated, KeysChanged, Transferred
from provisioner.model import Stamps
from provisioner.simulator.faults import Fault, FaultName
from provisioner.simulator.inventory import GuestFacts
from provisioner.simulator.state import Firewall
from tests.support.realm import ALICE, BOBS_KEY, FIRST, GRACE, HOUR, Realm, source_settings

Stage = Callable[[Realm], Awaitable[None]]

#: A stranger's machine stands here in every life, right where our second one would go.
FOREIGN: Final = FIRST + 1


@dataclass(frozen=True, slots=True)
class Look:
    """One machine as the cluster has it; `stamps` without the times in them."""

    power: str
    booted: bool
    link_up: bool
    boots: int
    lock: str | None
    keys: frozenset[str]
    sessions: int
    stamps: Stamps | None
    firewall: tuple[object, ...]
    config: tuple[tuple[str, object], ...]


@dataclass(frozen=True, slots=True)
class Scene:
    """What the cluster has: our machines, what is left of others, and what we should not touch."""

    machines: Mapping[int, Look]
    firewalls: tuple[int, ...]
    volumes: tuple[str, ...]
    leaked: tuple[str, ...]
    touched: tuple[int, ...]
    backups: tuple[int, ...] = ()

    def anywhere(self) -> tuple[object, ...]:
        """Return the same without what follows from a VMID."""
        looks = [replace(look, config=_unplaced(look.config)) for look in self.machines.values()]
        return looks, self.firewalls, len(self.volumes), self.leaked, self.touched


def _unplaced(config: tuple[tuple[str, object], ...]) -> tuple[tuple[str, object], ...]:
    placed = {"net0", "ipconfig0", "smbios1", "scsi0", "ide2"}
    return tuple((key, value) for key, value in config if key not in placed)


def scene(world: Realm) -> Scene:
    """Return what the cluster has now."""
    inventory = world.cluster.inventory()
    return Scene(
        machines={vmid: _look(world, inventory.guests[vmid]) for vmid in world.guests()},
        firewalls=inventory.firewalls,
        volumes=tuple(sorted(inventory.volumes)),
        leaked=world.leaked(),
        touched=world.touched_foreign(),
        backups=tuple(sorted(inventory.backups.values())),
    )


def stamps(world: Realm, vmid: int) -> Stamps | None:
    """Return what a machine's description proves of it."""
    description = str(world.cluster.guest(vmid).config.get("description", ""))
    proof = world.daemon.reconciler.site.signer.prove(description, vmid)
    return proof and proof[1]


def _look(world: Realm, facts: GuestFacts) -> Look:
    stamped = stamps(world, facts.vmid)
    random = {"vmgenid", "meta", "description", "digest", "parent"}
    config = tuple(sorted((k, str(v)) for k, v in facts.config.items() if k not in random))
    firewall = world.cluster.state.firewalls.get(facts.vmid) or Firewall()
    return Look(
        firewall=(sorted(firewall.options.items()), firewall.rules, len(firewall.ipsets)),
        power=facts.power,
        booted=facts.booted,
        link_up=facts.link_up,
        boots=facts.boots,
        lock=facts.lock,
        keys=frozenset(" ".join(facts.authorized_keys.values()).split("\n")) - {""},
        sessions=len(facts.sessions),
        stamps=stamped and _timeless(stamped),
        config=config,
    )


def _timeless(said: Stamps) -> Stamps:
    at, done = 0 if said.suspended_at else None, int(said.ordered > 0)
    return replace(said, suspended_at=at, ordered=done)


# ------------------------------------------------------------------------------------- the stages


async def bought(world: Realm) -> None:
    world.buy()


async def lasting(world: Realm) -> None:
    """A lease that no stage of a stretch outlives."""
    world.buy(lasts=100 * GRACE)


async def subscribed(world: Realm) -> None:
    """A contract that knows neither plans nor keys says that somebody subscribes."""
    until = world.chain.head.timestamp + HOUR
    world.mine(Transferred(1, ZERO_ADDRESS, ALICE), ExpiryUpdated(1, until))
    world.confirm()


async def renewed(world: Realm) -> None:
    world.renew()
    world.confirm()


async def sold(world: Realm) -> None:
    world.transfer()
    world.confirm()


async def keyed(world: Realm) -> None:
    world.mine(KeysChanged(1, BOBS_KEY, "0x"))
    world.confirm()


async def final(world: Realm) -> None:
    world.finalize()


async def run_out(world: Realm) -> None:
    world.pass_time(2 * HOUR)


async def grace_over(world: Realm) -> None:
    world.pass_time(GRACE + 1)
    world.finalize()


async def taken_back(world: Realm) -> None:
    world.chain.reorg(2)
    world.confirm()


async def rewritten(world: Realm) -> None:
    """The chain contradicts what it called final."""
    world.chain.reorg(world.chain.final_lag + 3)


async def exchanged(world: Realm) -> None:
    """Its endpoint serves another chain, on which the plan is sold and nobody ever bought."""
    world.chain.reorg(world.chain.head.number - 1)


async def read_again(world: Realm) -> None:
    """An operator has everything read again, once."""
    stores, now = world.daemon.stores, world.daemon.supervisor.clock.now()
    if (await stores.journal.state("model")).reread_to is None:
        await stores.rereads.reread("model", 0, "a doubt", 0, now=now)


async def given_in(world: Realm) -> None:
    """An operator looks at what a source halted for, and believes the endpoint."""
    stores, now = world.daemon.stores, world.daemon.supervisor.clock.now()
    state = await stores.journal.state("model")
    (said,) = await testimonies(source_settings(), world.chain.rpc, state)
    if state.halted and state.final and said.at_final != state.final.hash:
        await stores.rereads.reread("model", 0, "it is right", 0, now=now)


async def doubted(world: Realm) -> None:
    """What is stored is looked at a second time, and held against the contract."""
    for lookout in world.daemon.supervisor.lookouts:
        await lookout.second_look.look()
        await lookout.audit.look()


async def held(world: Realm) -> None:
    holds, now = world.daemon.stores.holds, world.daemon.supervisor.clock.now()
    await holds.hold(str(world.lease()), Hold.HOLD, "a court asks", 0, now=now)


async def retried(world: Realm) -> None:
    stores, now = world.daemon.stores, world.daemon.supervisor.clock.now()
    await stores.audit.append(0, "retry", str(world.lease()), "why not", now=now)
    await stores.work.enqueue([str(world.lease())], "retried by an operator")


async def vanished(world: Realm) -> None:
    """Somebody destroys the machine by hand."""
    if FIRST in world.guests():
        world.cluster.stop_guest(FIRST)
        world.cluster.remove_guest(FIRST)
    await world.daemon.supervisor.resync.enqueue_all("periodic resync")


@contextmanager
def storage_away(world: Realm) -> Iterator[None]:
    """The storage of the machine's disks is away."""
    storage = world.cluster.state.storages["local"]
    storage.enabled = False
    try:
        yield
    finally:
        storage.enabled = True


def reboot(world: Realm) -> None:
    """The machine's node boots."""
    world.cluster.power_cycle("pve")
    world.cluster.advance(100)


def booted_in_vain(world: Realm) -> None:
    """The node boots, and its storage comes later than it."""
    with storage_away(world):
        reboot(world)
    assert world.running() == []


async def not_brought_back(world: Realm) -> None:
    """Its node boots and cannot start it, and somebody looks."""
    if world.running():
        booted_in_vain(world)
    await world.daemon.supervisor.resync.enqueue_all("periodic resync")


async def deaf(world: Realm) -> None:
    """The reply to the next start is lost, and so it has to be searched for."""
    world.cluster.arm(Fault(FaultName.LOSE_REPLY, "POST", "*/status/start"))
    world.buy()

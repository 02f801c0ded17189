"""Schedules: several machines, verbs and modes of failure in an order that follows from a seed.

Things are said on the chain and ordered by operators, modes are armed at calls and mended at
moments that nobody chose, the daemon is restarted in between, and the judge looks on. Plan 1 sells
virtual machines, plan 2 containers. At the end everything is mended, operators do what sentences
say, and the world has to be what the chain says.
"""

import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

from chainwatch.config import Config, NodesConfig
from chainwatch.credentials import Secret
from chainwatch.domain.events import KeysChanged
from chainwatch.errors import OperatorError
from chainwatch.store.verify import verify
from provisioner.allocate import AddressRange, Pool
from provisioner.errors import ProvisionError
from provisioner.model import MAKING, BackupPolicy, Verb
from provisioner.simulator.modes.catalogue import MODES, arm, mend
from provisioner.simulator.modes.mode import Mode
from provisioner.terms import Cloning
from tests.support.chain_model import plan_events
from tests.support.judge import KEYS, Judge
from tests.support.lives import stamps
from tests.support.matrix import lull
from tests.support.playing import SOUGHT
from tests.support.realm import ALICE, BOB, FIRST, GRACE, HOUR, TEMPLATE, TOKEN, Realm, realm
from tests.support.tenancies import Tenancy, latest
from tests.support.verbs import NODES, OFF, SAN, cluster

TOKENS: Final = (1, 2, 3)
STEPS: Final = 8
#: How long everything may take to come to rest, in seconds.
PATIENCE: Final = 4000
#: What is said of a guest that an operator has to remove.
LEFT: Final = "was left locked|is locked|not ours to touch"
UNLOCK: Final = "where no task works on it, unlock it"
#: Modes that would undo each other's remedy: one of a family at a time.
FAMILIES: Final = ({25, 27, 29}, {38, 39, 47})
#: Somebody makes a disk larger than was sold, which stays so and is no fault of ours.
LEFT_OUT: Final = frozenset({54})
#: Every second seed has its machines backed up; of each eight these two have whole copies.
BACKUPS: Final = BackupPolicy("vault", "stop", GRACE)
COPIED: Final = (3, 6)
PLAYED: Final = tuple(m for m in MODES.values() if m.forms and m.number not in LEFT_OUT)


def roomy(config: Config, seed: int) -> Config:
    """Return a configuration with VMIDs enough for strangers too, and a way onto the nodes.

    Where machines are backed up, and where they are whole copies, follows from the seed.
    """
    pool = Pool(FIRST, FIRST + 299, "02:00:00", AddressRange("10.9.0.10/16", "10.9.0.1"))
    machines = replace(config.machines, pool=pool, container_storage="shared", cloud_init="base")
    known = tuple(f"{node} 192.0.2.11 t k" for node in NODES)
    nodes = NodesConfig("root", 22, Secret(b"not used here"), known)
    if seed % 8 in COPIED:
        machines = replace(machines, cloning=Cloning(full=True, storage=SAN))
    policy = replace(config.policy, backups=BACKUPS if seed % 2 else None)
    return replace(config, machines=machines, nodes=nodes, policy=policy)


@dataclass(slots=True)
class Schedule:
    """One schedule under way; `told` is what happened, for whoever has to read a failure.

    `rests` are machines that somebody switched off, and no boot of their node; `sought` are VMIDs
    of which something may lie on a storage that could not be looked at.
    """

    world: Realm
    judge: Judge
    dice: Random
    reboots: Random
    armed: dict[int, Mode] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    rests: set[int] = field(default_factory=set)
    sought: set[int] = field(default_factory=set)

    async def play(self) -> None:
        """Let it all happen, and come to rest."""
        self._buy(1)
        for _ in range(STEPS):
            await self.dice.choice(self._happenings())()
            if self.reboots.random() < 0.15:
                await self._node_boots(self.reboots.choice(NODES))
            if self.dice.random() < 0.1:
                self.told.append("restart")
                await self.world.restart()
            await self.turns(self.dice.choice((1, 3, 10, 25)))
        await self._rest()

    # ------------------------------------------------------------------------------- what happens

    def _happenings(self) -> Sequence[Callable[[], Awaitable[None]]]:
        """Return what may happen next; where there are backups, leases end and come back too."""
        backed = self.world.config.policy.backups is not None
        return (
            *(self._say, self._say, self._arm, self._arm),
            *(self._mend, self._time_passes, self._order),
            *((self._end, self._end, self._pay_late, self._pay_late) if backed else ()),
        )

    async def _end(self) -> None:
        """A lease whose machine may have come up is over for good, and its grace with it."""
        await self.turns(50)
        token = self.dice.choice(TOKENS)
        if tenancy := self._live(token):
            self.told.append(f"the end of {token}")
            self._run_out(token, tenancy)
            self.world.finalize()
            await self.turns(50)
            self.world.pass_time(GRACE + 1)
            self.world.finalize()
            await self.turns(50)

    async def _pay_late(self) -> None:
        """Everybody pays whose lease is over, and whose machine may be gone."""
        for token in TOKENS:
            tenancy = self._live(token)
            if tenancy and tenancy.expires_at <= self.world.chain.head.timestamp:
                self.told.append(f"renew {token}, late")
                self._renew(token, tenancy)
        self.world.confirm()

    def _live(self, token: int) -> Tenancy | None:
        tenancy = latest(self.world.chain).tenancies.get(token)
        return tenancy if tenancy and not tenancy.burnt else None

    def _buy(self, token: int) -> None:
        owner, lasts = self.dice.choice((ALICE, BOB)), self.dice.choice((HOUR, 5 * GRACE))
        plan = self.dice.choice((1, 1, 2))
        self.told.append(f"buy {token} of plan {plan} for {lasts} s")
        self.world.buy(token, owner, KEYS[owner], lasts=lasts, plan=plan)

    async def _say(self) -> None:
        token = self.dice.choice(TOKENS)
        tenancy = self._live(token)
        if tenancy is None:
            self._buy(token)
            return
        says: Callable[[int, Tenancy], None] = self.dice.choice(
            (self._renew, self._transfer, self._run_out, self._run_out)
        )
        self.told.append(f"{says.__name__.strip('_')} {token}")
        says(token, tenancy)
        self.world.confirm()

    def _renew(self, token: int, tenancy: Tenancy) -> None:
        left = max(tenancy.expires_at - self.world.chain.head.timestamp, 0)
        self.world.renew(token, lasts=left + HOUR)

    def _transfer(self, token: int, tenancy: Tenancy) -> None:
        recipient = BOB if tenancy.owner == ALICE else ALICE
        self.world.transfer(token, tenancy.owner, recipient)
        self.world.mine(KeysChanged(token, KEYS[recipient], "0x"))

    def _run_out(self, token: int, tenancy: Tenancy) -> None:
        self.world.pass_time(max(tenancy.expires_at - self.world.chain.head.timestamp, 0) + 1)

    async def _time_passes(self) -> None:
        seconds = self.dice.choice((600, GRACE + 1))
        self.told.append(f"{seconds} s pass")
        self.world.pass_time(seconds)
        self.world.finalize()

    async def _order(self) -> None:
        """An operator orders something of a machine, whatever becomes of the order."""
        token, verb = self.dice.choice(TOKENS), self.dice.choice(tuple(Verb))
        key, now = str(self.world.lease(token)), self.world.daemon.supervisor.clock.now()
        wishes, row = (
            self.world.daemon.stores.wishes,
            await self.world.daemon.stores.leases.get(key),
        )
        if row is None:
            return
        taken = [w.number for w in await wishes.of(key, 9) if w.verb == Verb.SNAPSHOT]
        name = f"order-{max(taken, default=1)}" if verb is Verb.ROLLBACK else ""
        self.told.append(f"{verb.value} {token}")
        if verb is Verb.REINSTALL:
            self.judge.remade.add(token)
        if verb in OFF:
            self.judge.left_off.add(token)
        with suppress(OperatorError):  # too many are open
            await wishes.ask((key, row.nonce), (verb, name), "a test", 0, now=now)

    async def _node_boots(self, node: str) -> None:
        """A quiet node loses power and boots, now and then before the storage of its guests is."""
        late, state = self.reboots.random() < 0.5, self.world.cluster.state
        if not await self.world.quiet():
            return
        self.told.append(f"{node} boots{' before its storage' if late else ''}")
        self.world.cluster.power_cycle(node)
        if late:
            storage, booted = state.storages["shared"], state.settings.durations.node_boot
            storage.active = False
            state.timeline.after(booted + 30, partial(setattr, storage, "active", True))
        await self.turns(50)

    async def _arm(self) -> None:
        mode = self.dice.choice(PLAYED)
        family = next((each for each in FAMILIES if mode.number in each), {mode.number})
        if family & self.armed.keys():
            return
        at, nth = self.dice.choice(mode.strikes), self.dice.randint(1, 3)
        form = self.dice.randrange(len(mode.forms))
        self.told.append(f"mode {mode.number}.{form} at {at[0]} {at[1]}, {nth}")
        arm(self.world.cluster, mode, at, nth, form)
        self.armed[mode.number] = mode

    async def _mend(self) -> None:
        if self.armed:
            number = self.dice.choice(sorted(self.armed))
            self.told.append(f"mend {number}")
            self.mended(self.armed.pop(number))

    def mended(self, mode: Mode) -> None:
        """Mend `mode`, and forget the strangers that go with it before anybody has their VMIDs."""
        mend(self.world.cluster, mode)
        self.judge.strangers_left()

    # ------------------------------------------------------------------------- what comes of it

    def look(self) -> None:
        """Have the judge look, at strangers as they are when they are first seen whole."""
        for vmid, guest in self.world.cluster.state.guests.items():
            if guest.created_by != TOKEN and vmid != TEMPLATE and guest.lock is None:
                self.judge.strangers.setdefault(vmid, dict(guest.config))
        self.judge.look()
        self._note_rests()

    def _note_rests(self) -> None:
        nodes = self.world.cluster.state.nodes
        for vmid, guest in self.world.guests().items():
            if guest.running:
                self.rests.discard(vmid)
            elif nodes[guest.node].online and guest.started_at >= nodes[guest.node].up_since:
                self.rests.add(vmid)

    async def turns(self, count: int) -> None:
        for _ in range(count):
            await self.world.turn()
            await self._looked()
            self.world.cluster.advance(2)
            await self._looked()

    async def _looked(self) -> None:
        """Have the judge look; whose reinstall is over has no leave to lose a machine any more."""
        self.look()
        for token in tuple(self.judge.remade):
            wishes = await self.world.daemon.stores.wishes.of(str(self.world.lease(token)), 99)
            if not any(w.verb == Verb.REINSTALL and w.outcome is None for w in wishes):
                self.judge.remade.discard(token)
        await self._said()

    async def _said(self) -> list[str]:
        """Return what is said now; what has to be looked for is said only for a while."""
        alarms = [each.text for each in await self.world.daemon.stores.alarms.all()]
        said = [*alarms, *(await self.world.sentences()).values()]
        self.sought |= {int(vmid) for each in said for vmid in SOUGHT.findall(each)}
        return said

    async def _rest(self) -> None:
        self.told.append("all is mended")
        for mode in reversed(self.armed.values()):
            self.mended(mode)
        self.world.cluster.settle()
        self.look()  # at who stands still now, before the daemon makes something of it
        await self.turns(5)
        await self._operate()
        await self._settle()
        await self._operate()
        for token in TOKENS:
            await self.world.daemon.stores.work.unpark(str(self.world.lease(token)))
        await self._settle()
        await self._settled()  # the last block may have been somebody's last
        await self.judge.tidy()
        assert await verify(self.world.db) == []

    async def _operate(self) -> None:
        """Do what sentences say: remove what clones and destroys left, start what is left off."""
        await self._remove()
        for vmid, guest in self.world.guests().items():
            marked = stamps(self.world, vmid)
            rests = vmid in self.rests and not guest.running
            if rests and marked and marked.started and not marked.suspended_at:
                self.world.cluster.start_guest(vmid)

    async def _remove(self) -> None:
        """Remove what is named as left behind, and nothing else: half-made guests and volumes.

        What has to be looked for is found when its storage is back; a lock is taken off as told.
        """
        said = await self._said()
        inventory = self.world.cluster.inventory()
        busy = any(task.status is None for task in inventory.tasks)  # a clone's is its template's
        for vmid, guest in self.world.guests().items():
            if guest.lock is None or busy:
                continue
            if guest.lock not in MAKING:
                if any(f"VM {vmid} is locked ({guest.lock}); {UNLOCK}" in each for each in said):
                    self.told.append(f"{vmid} is unlocked")
                    self.world.cluster.edit_guest(vmid, lock=None)
                continue
            if any(re.search(rf"\bVMs? [\d, ]*\b{vmid}\b.*({LEFT})", each) for each in said):
                self.told.append(f"{vmid} is removed, for it was half made")
                self.world.cluster.remove_guest(vmid)
        volumes = self.world.cluster.state.volumes
        for volume in inventory.leaked_volumes():
            if volumes[volume].vmid in self.sought or any(volume in each for each in said):
                volumes.pop(volume, None)

    async def _settle(self) -> None:
        for pause in (400, HOUR):
            with suppress(ProvisionError):
                await self.world.daemon.supervisor.resync.survey()
            await self.world.daemon.supervisor.resync.enqueue_all("periodic resync")
            self.world.finalize()
            await self._settled()
            self.world.confirm()
            self.world.cluster.advance(pause)
            await self._looked()

    async def _settled(self) -> None:
        """Turn until nothing is left to do; whatever names what is to be removed is heard."""
        end = self.world.cluster.now + PATIENCE
        while self.world.cluster.now < end:
            await self._looked()
            if await self.world.turn():
                continue
            if await self.world.quiet():
                return
            await self._remove()
            self.world.cluster.advance(await lull(self.world))
        raise AssertionError(f"it does not come to rest: {await self.world.sentences()}")


@asynccontextmanager
async def staged(seed: int, folder: Path) -> AsyncIterator[Schedule]:
    """Yield the schedule that follows from `seed`, before anything has happened."""
    plans, machines = [*plan_events(1), *plan_events(2, kind=1)], cluster()
    machines.add_storage("local")
    machines.add_storage(BACKUPS.storage, "nfs")
    machines.add_storage(SAN, "lvm")
    machines.state.storages["shared"].kind = "zfspool"  # where containers have snapshots too
    async with realm(
        folder, plan=plans, cluster=machines, adjust=partial(roomy, seed=seed)
    ) as world:
        yield Schedule(world, Judge(world), Random(seed), Random(f"{seed} boots"))


async def play(seed: int, folder: Path) -> Counter[str]:
    """Play the schedule that follows from `seed`; an AssertionError tells it all.

    Returns what became of backups, and how many machines were copied whole.
    """
    async with staged(seed, folder) as schedule:
        try:
            await schedule.play()
        except Exception as error:
            again = f"CHAINWATCH_SEED={seed} plays it again"
            raise AssertionError(f"{again}: {'; '.join(schedule.told)}: {error!r}") from error
        return schedule.judge.vault.done

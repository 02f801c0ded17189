"""Modes of failure against verbs: one machine, one verb, one mode at one call, and what came of it.

A verb is data: what leads up to it, and what is said then. Its calls are those that it makes when
nothing goes wrong. While a mode lasts the machine waits; an operator then does what the sentence
says, and it has to be as if nothing had been. The judge looks on all the time.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Final

from chainwatch.domain.events import PlanDefined
from provisioner.errors import ProvisionError
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.faults import Struck, matches
from provisioner.simulator.inventory import Inventory
from provisioner.simulator.modes.catalogue import MODES, arm, has_struck, mend
from provisioner.simulator.modes.mode import Call, Mode
from provisioner.simulator.settings import Settings
from tests.support.judge import CLONING, Judge
from tests.support.lives import (
    Stage,
    bought,
    final,
    grace_over,
    keyed,
    lasting,
    renewed,
    run_out,
    sold,
    stamps,
)
from tests.support.realm import GRACE, TEMPLATE, TOKEN, Realm, realm

#: How long it is waited for a mode to pass, in seconds, and how long a lasting one is watched.
PATIENCE, WATCHED = 900, 120
#: Modes that only show by how long they last, and for how long those are watched.
SLOW_TO_SHOW: Final = frozenset({12, 35, 53})
LONG: Final = 700
#: Alarms of a machine, or a cluster, that is not as it should be.
TROUBLE: Final = frozenset(
    {"failing", "parked", "stuck", "no-room", "volumes-left", "hypervisor-down", "node-down"}
)
#: A form that means something at the call it is known for and nowhere else: a clone's lock.
ONLY_FIRST: Final = frozenset({(11, 8)})
POWERED_OFF: Final = (59, 2)
#: Modes while which nothing may be made or destroyed.
BLIND: Final = frozenset({13, 29})
MADE_OR_DESTROYED: Final = frozenset(
    {"qmclone", "qmdestroy", "qmrestore", "vzcreate", "vzclone", "vzdestroy", "vzrestore"}
)
#: The disk that the larger plan sells, and the one that somebody made larger still (GiB).
LARGER, GROWN = 40, 100


async def enlarged(world: Realm) -> None:
    """The plan is defined anew, with a larger disk."""
    world.mine(PlanDefined(1, "small", 0, 2, 2048, LARGER, GRACE))
    world.confirm()


@dataclass(frozen=True, slots=True)
class Verb:
    """`stages` after `before`, and the disk that is then sold (GiB)."""

    name: str
    before: tuple[Stage, ...]
    stages: tuple[Stage, ...]
    disk_gib: int = 20


VERBS: Final = (
    Verb("provision", (), (lasting,)),
    Verb("extend", (bought,), (renewed,)),
    Verb("suspend", (bought,), (run_out,)),
    Verb("resume", (bought, run_out), (renewed,)),
    Verb("transfer", (lasting,), (sold, keyed, final)),
    Verb("resize", (lasting,), (enlarged,), LARGER),
    Verb("destroy", (bought, run_out, final), (grace_over,)),
)


class Outcome(Enum):
    """What came of a verb under a mode."""

    UNTOUCHED = "—"  # the verb makes no call at which the mode can strike
    BY_ITSELF = "passes"
    MENDED = "waits"  # until the cause was mended
    PARKED = "parks"  # until the cause was mended and an operator said retry


@dataclass(frozen=True, slots=True)
class Played:
    """One case played: the call that was struck, and what was said meanwhile."""

    outcome: Outcome
    sentences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """One mode at one call of one verb."""

    verb: Verb
    mode: Mode
    at: Call
    nth: int = 1
    form: int = 0

    @property
    def id(self) -> str:
        """Return what it is called."""
        call = f"{self.at[0]}-{self.at[1].rpartition('/')[2]}"
        return f"{self.mode.number}.{self.form}-{self.verb.name}-{call}-{self.nth}"


def cluster() -> Cluster:
    """Return three nodes with a storage that all of them see."""
    nodes = ("pve", "pve2", "pve3")
    return Cluster(Settings(nodes=nodes, storage="shared", storage_shared=True))


# ---------------------------------------------------------------------------- the calls of a verb

_CALLS: Final[dict[str, dict[Call, int]]] = {}


async def calls_of(verb: Verb, folder: Path) -> dict[Call, int]:
    """Return the calls that a verb makes when nothing goes wrong, and how often each."""
    if verb.name not in _CALLS:
        async with realm(folder, cluster=cluster()) as world:
            judge = Judge(world, disk_gib=20)
            await _settle_through(world, judge, verb.before)
            before = len(world.cluster.inventory().call_log)
            judge.disk_gib = verb.disk_gib
            await _settle_through(world, judge, verb.stages)
            judge.rest()
            made = world.cluster.inventory().call_log[before:]
        counted: dict[Call, int] = {}
        for call in made:
            kind = (call.method, generic(call.path))
            counted[kind] = counted.get(kind, 0) + 1
        _CALLS[verb.name] = counted
    return _CALLS[verb.name]


async def _settle_through(world: Realm, judge: Judge, stages: Sequence[Stage]) -> None:
    for stage in stages:
        await stage(world)
        await world.settle(4000, judge.look)


def generic(path: str) -> str:
    """Return the pattern of which a path is one."""
    path = re.sub(r"/UPID:[^/]+", "/{upid}", path)
    path = re.sub(r"/nodes/[^/]+", "/nodes/{node}", path)
    path = re.sub(r"/(qemu|lxc)/\d+", r"/\1/{vmid}", path)
    path = re.sub(r"/firewall/(\w+)/[^/]+$", r"/firewall/\1/{item}", path)
    return re.sub(r"/storage/[^/]+", "/storage/{storage}", path)


def struck_calls(mode: Mode, calls: dict[Call, int]) -> list[Call]:
    """Return the calls at which a mode can strike, those first that it is known for."""
    found: dict[Call, None] = {}
    for method, path in mode.strikes:
        for made in calls:
            sample = made[1].replace("{", "").replace("}", "")
            if matches(method, path, made[0], sample) or (method, path) == ("*", "*"):
                found[made] = None
    return list(found)


async def cases(folder: Path, *, thorough: bool) -> list[Case]:
    """Return one case for each mode and verb, or (`thorough`) every call and every form."""
    chosen: list[Case] = []
    for verb in VERBS:
        calls = await calls_of(verb, folder / verb.name)
        for mode in MODES.values():
            at = struck_calls(mode, calls)
            if not thorough:
                chosen += [Case(verb, mode, call) for call in at[:1]]
                continue
            for form in range(len(mode.forms)):
                for call in at[:1] if (mode.number, form) in ONLY_FIRST else at:
                    times = range(1, min(calls[call], 3) + 1)
                    chosen += [Case(verb, mode, call, nth, form) for nth in times]
    return chosen


# ------------------------------------------------------------------------------------ one case


async def play(case: Case, folder: Path) -> Played:
    """Play a case; raises AssertionError for what must never be."""
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(realm(folder, cluster=cluster()))
        judge = Judge(world)
        await _settle_through(world, judge, case.verb.before)
        judge.disk_gib = GROWN if case.mode.number == 54 else case.verb.disk_gib
        return await Run(case, world, judge).play()


@dataclass(slots=True)
class Run:
    """One case under way; `tasks_at_strike` is how many tasks there were when it struck."""

    case: Case
    world: Realm
    judge: Judge
    tasks_at_strike: int | None = None

    async def play(self) -> Played:
        """Do the verb, with the mode at its call."""
        mode, cluster = self.case.mode, self.world.cluster
        arm(cluster, mode, self.case.at, self.case.nth, self.case.form)
        self._note_the_strike()
        for stage in self.case.verb.stages:
            await stage(self.world)
            await self._go_on(self._patience())
        await self._resync()
        resting = await self._at_rest()
        if not has_struck(cluster, mode):
            assert self.case.nth > 1, "it never struck"
            return Played(Outcome.UNTOUCHED)
        self._judge_blindness()
        if resting:
            return Played(Outcome.BY_ITSELF)
        sentences = await self._sentences()
        parked = "parked" in await self.world.alarms()
        assert mode.lasts, f"should pass by itself: {sentences}"
        await self._operate()
        await self._go_on(WATCHED)
        await self._remove_what_is_named()
        await self._go_on(PATIENCE)
        self.judge.rest()
        self._nothing_left()
        return Played(Outcome.PARKED if parked else Outcome.MENDED, tuple(sentences))

    def _note_the_strike(self) -> None:
        armed = self.world.cluster.state.faults.armed
        for position, (fault, left) in enumerate(armed):
            act = fault.act

            def noted(struck: Struck, act: object = act) -> None:
                if self.tasks_at_strike is None:
                    self.tasks_at_strike = len(self.world.cluster.state.tasks)
                if callable(act):
                    act(struck)

            armed[position] = (replace(fault, act=noted), left)

    async def _resync(self) -> None:
        """Have the daemon look at everything, as it does every few minutes by itself.

        A machine that somebody powered off is left off; its owner has it again.
        """
        if (self.case.mode.number, self.case.form) == POWERED_OFF:
            for vmid, guest in self.world.guests().items():
                marked = stamps(self.world, vmid)
                if marked and marked.started and not guest.running:
                    self.world.cluster.start_guest(vmid)
        resync = self.world.daemon.supervisor.resync
        with suppress(ProvisionError):
            await resync.survey()
        await resync.enqueue_all("periodic resync")
        await self._go_on(60)

    def _patience(self) -> int:
        if not self.case.mode.lasts:
            return PATIENCE
        return LONG if self.case.mode.number in SLOW_TO_SHOW else WATCHED

    def look(self) -> None:
        """Have the judge look, at strangers too."""
        for vmid, guest in self.world.cluster.state.guests.items():
            if guest.created_by != TOKEN and vmid != TEMPLATE and guest.lock is None:
                self.judge.strangers.setdefault(vmid, dict(guest.config))
        self.judge.look()

    async def _go_on(self, seconds: int) -> None:
        """Give the daemon its turns until all is quiet, at most `seconds`."""
        end = self.world.cluster.now + seconds
        while self.world.cluster.now < end:
            self.look()
            if await self.world.turn() == 0:
                if await self._quiet():
                    return
                self.world.cluster.advance(2)
            self.world.cluster.advance(0.2)
        self.look()

    async def _quiet(self) -> bool:
        busy = any(task.status is None for task in self.world.cluster.state.tasks.values())
        return not busy and await self.world.quiet()

    async def _at_rest(self) -> bool:
        if not await self._quiet() or TROUBLE & (await self.world.alarms()).keys():
            return False
        try:
            self.judge.rest()
        except AssertionError:
            return False
        return True

    def _judge_blindness(self) -> None:
        if self.case.mode.number in BLIND:
            since = list(self.world.cluster.state.tasks.values())[self.tasks_at_strike or 0 :]
            assert not [task.kind for task in since if task.kind in MADE_OR_DESTROYED]

    async def _sentences(self) -> list[str]:
        said = list((await self.world.alarms()).values())
        return said + list((await self.world.sentences()).values())

    async def _operate(self) -> None:
        """Do what an operator does who has read the sentence."""
        cluster = self.world.cluster
        mend(cluster, self.case.mode)
        cluster.advance(1)
        for vmid in self.judge.strangers.keys() - cluster.state.guests.keys():
            del self.judge.strangers[vmid]
        for vmid, guest in self.world.guests().items():
            if guest.lock == CLONING and not self._at_work():
                cluster.remove_guest(vmid)
        cluster.advance(301)
        await self.world.daemon.stores.work.unpark(str(self.world.lease()))
        await self.world.daemon.supervisor.resync.enqueue_all("periodic resync")

    async def _remove_what_is_named(self) -> None:
        """Remove the volumes that an alarm names, and no others."""
        cluster, said = self.world.cluster, " ".join(await self._sentences())
        for volume in [each for each in cluster.inventory().leaked_volumes() if each in said]:
            del cluster.state.volumes[volume]

    def _at_work(self) -> bool:
        return any(t.status is None for t in self.world.cluster.state.tasks.values())

    def _nothing_left(self) -> None:
        inventory: Inventory = self.world.cluster.inventory()
        assert inventory.leaked_volumes() == ()
        assert self.world.touched_foreign() == ()


def hints(sentences: Sequence[str]) -> Iterator[str]:
    """Return the sentences that tell an operator what to do."""
    return (each for each in sentences if HINT.search(each))


HINT: Final = re.compile(
    r"\b(restore|add|widen|bring|make|grant|grants|mend|look|compare|name|start|put|retry|allow|unlock|remove"
    r"|stop|reboot|take|is the|is pve-cluster|does the|has the|may not)\b",
    re.IGNORECASE,
)

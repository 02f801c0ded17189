"""Whether a machine that stands still is owed a start: its node booted, and did not bring it back.

Who was seen running and is found stopped is left off, for its owner may power it off. A boot of its
node is what nobody meant by it: the node starts it again (`onboot`), and where that fails, nobody
else would. So where the node has booted since the machine was last seen running, its task list is
asked: no start that went well since, and it is owed one; a start that did, and somebody switched it
off. A machine that was off before the boot stays off: by our own memory, by an order, or by a task
that switched it off. What is found out holds until the next boot, so who is left off costs two
calls for each: a node dates its tasks by a clock of its own, which is read with them. How it fails:
the memory is lost with the process, and a shutdown from inside leaves no trace; then a machine that
was off before is started, as its node would have done. So may be one whose node's clock was set.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from provisioner.births import CLOCK_SKEW
from provisioner.glimpses import REBOOT, stands_still
from provisioner.model import DesiredMachine, Observed, PowerState
from provisioner.oplog import OperationLog
from provisioner.ports import Hypervisor, Snapshots, TaskRow
from provisioner.taskwords import TASKS, succeeded
from provisioner.upids import booted_at

#: Tasks that start a guest, and tasks after which it runs.
STARTS: Final = frozenset({"qmstart", "vzstart"})
RUNS: Final = STARTS | {"qmreboot", "vzreboot", "qmresume"}
STOPS: Final = frozenset(TASKS["shutdown"])
#: How exactly it is known when a node booted, in seconds.
EXACT: Final = 60
#: So long after its boot a node may not have begun to start its guests, in seconds.
YOUNG: Final = 300
#: How long a node may take to shut its guests down, in seconds.
DOWN: Final = 3600
#: What a task said of its failure is told up to here.
SAID: Final = 200


@dataclass(slots=True)
class Spell:
    """When a machine was last seen running, and since when it is left off (wall s; 0: not known).

    `judged` is the boot of its node, and `node` which, for which it was found to be left off.
    """

    on: int = 0
    off: int = 0
    judged: int = 0
    node: str = ""


#: What is remembered of each machine, by its key and nonce.
Spells: TypeAlias = dict[tuple[str, str], Spell]


@dataclass(frozen=True, slots=True)
class Still:
    """Why a machine stands still: what `Observed` says of it; neither where it is left off."""

    fallen: str = ""
    rising: bool = False


LEFT_OFF: Final = Still()
RISING: Final = Still(rising=True)


@dataclass(frozen=True, slots=True)
class _Book:
    """The task list of a node whose clock is `ahead` of ours by so many seconds."""

    hypervisor: Hypervisor
    node: str
    ahead: int

    async def tasks(
        self, since: int = 0, *, vmid: int | None = None, kind: str | None = None
    ) -> Sequence[TaskRow]:
        """List tasks since `since`, newest first; that and when they began is by our clock."""
        theirs = max(since + self.ahead, 0)
        told = await self.hypervisor.tasks(self.node, theirs, vmid=vmid, kind=kind)
        return [replace(row, started=row.started - self.ahead) for row in told]

    def of(self, boot: int, rows: Sequence[TaskRow], slack: int = 0) -> Sequence[TaskRow]:
        """Return the tasks of the boot at `boot`, and of any that seems `slack` seconds from it.

        What was dated before a node's clock was set seems to be of a boot so much further away.
        """
        within = REBOOT + slack
        return [row for row in rows if abs(booted_at(row.upid) - self.ahead - boot) <= within]


@dataclass(frozen=True, slots=True)
class Boots:
    """Judges machines that stand still; `wall` tells wall seconds."""

    hypervisor: Hypervisor
    snapshots: Snapshots
    log: OperationLog
    wall: Callable[[], int]
    spells: Spells

    async def look(self, want: DesiredMachine, seen: Observed) -> Observed:
        """Return what was seen, with what is owed to it. Raises what the hypervisor raises."""
        machine = (want.key, want.nonce)
        if seen.power in (PowerState.RUNNING, PowerState.PAUSED):
            self.spells[machine] = Spell(on=self.wall())
            return seen
        if not stands_still(want, seen) or (boot := self._booted(seen.node)) is None:
            return seen
        spell = self.spells.setdefault(machine, Spell())
        still = LEFT_OFF
        if spell.on <= boot + REBOOT and not _known(spell, seen.node, boot):
            still = await self._judged(want, seen, spell, boot)
        if still is LEFT_OFF:
            spell.off = spell.off or self.wall()
            spell.node, spell.judged = seen.node or "", boot
        return replace(seen, fallen=still.fallen, rising=still.rising)

    def _booted(self, node: str | None) -> int | None:
        """Return when a node booted (wall s); None where it does not tell."""
        last = self.snapshots.last
        row = last.members.get(node) if last is not None and node is not None else None
        return self.wall() - row.uptime if row is not None and row.uptime else None

    async def _judged(self, want: DesiredMachine, seen: Observed, spell: Spell, boot: int) -> Still:
        """Judge a machine by the tasks of its node, which booted since it was seen running."""
        if seen.node is None or seen.config is None:
            return LEFT_OFF
        book, began = await self._opened(seen.node), boot - REBOOT
        rows = [row for row in await book.tasks(vmid=seen.vmid) if row.vmid == seen.vmid]
        runs = [row for row in rows if row.kind in RUNS]
        since = book.of(boot, runs)
        near = since or book.of(boot, runs, CLOCK_SKEW)
        if any(row.ended is None for row in near):
            return RISING
        if any(succeeded(row.status) for row in since):
            return LEFT_OFF
        by_order = await self.log.switched_off(want.key, want.nonce)
        for off in (by_order, spell.off if spell.off < began else 0):
            if off and not any(succeeded(row.status) for row in runs if row.started >= off):
                return LEFT_OFF
        if await _switched_off(book, rows, spell.on, began):
            return LEFT_OFF
        if near and not succeeded(near[0].status):
            said = " ".join((near[0].status or "").split())[:SAID]
            return Still(f"its node booted and could not start it ({said})")
        return await self._forgotten(book, spell, boot) if _comes_up(seen) else LEFT_OFF

    async def _opened(self, node: str) -> _Book:
        """Return the task list of a node, read by our clock."""
        return _Book(self.hypervisor, node, await self.hypervisor.clock(node) - self.wall())

    async def _forgotten(self, book: _Book, spell: Spell, boot: int) -> Still:
        """Judge a machine that was not started at all since the boot, and should have been.

        Who was not seen running before may have come to the node later: it is owed a start only
        where the node did not get through all of its guests.
        """
        told = await book.tasks(boot - REBOOT - CLOCK_SKEW, kind="startall")
        every = [row for row in told if row.kind == "startall"]
        rounds = book.of(boot, every) or book.of(boot, every, CLOCK_SKEW)
        if any(row.ended is None for row in rounds):
            return RISING
        if not rounds and self.wall() - boot < YOUNG:
            return RISING
        missed = spell.on or any(not succeeded(row.status) for row in rounds)
        return Still("its node booted and did not start it") if missed else LEFT_OFF


async def _switched_off(book: _Book, rows: Sequence[TaskRow], on: int, began: int) -> bool:
    """Say whether somebody switched a machine off before the boot.

    What its node shut down because it was to boot itself was switched off by nobody.
    """
    last = next(_power(rows, on, began), None)
    if last is None or last.kind not in STOPS:
        return False
    down = await book.tasks(last.started - DOWN, kind="stopall")
    return not any(row.kind == "stopall" and row.started <= last.started for row in down)


def _known(spell: Spell, node: str | None, boot: int) -> bool:
    """Say whether a machine was judged for this boot already."""
    return spell.node == node and abs(spell.judged - boot) < EXACT


def _comes_up(seen: Observed) -> bool:
    """Say whether a machine's node is to start it when it boots."""
    return seen.config is not None and seen.config.settings.onboot


def _power(rows: Sequence[TaskRow], on: int, began: int) -> Iterator[TaskRow]:
    """Go through what changed a machine's power before a boot, the newest first.

    What was before it was last seen running is of no account.
    """
    for row in rows:
        if on <= row.started < began and row.kind in RUNS | STOPS and succeeded(row.status):
            yield row

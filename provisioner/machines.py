"""Looking at one machine: what is known of it, settled against what the hypervisor shows now.

`observe` is where every pass begins. It first settles the open operation (a task that ended is
closed, one whose reply was lost is searched for), then finds the machine by the VMID that its
operations recorded, then reads its configuration and, where it matters, power and guest agent. It
changes nothing on the hypervisor. A machine that cannot be found is only gone if the cluster would
accept its VMID again.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Final

from provisioner import making
from provisioner.archives import Archives
from provisioner.aside import Aside
from provisioner.belated import Belated
from provisioner.births import CLOCK_SKEW, Births
from provisioner.boots import Boots, Spells
from provisioner.doorbell import LONGEST_BOOT, Doorbell, Ring
from provisioner.errors import BackupFailed, Locked, NodeDown, NotOurs, Transient, UnknownOutcome
from provisioner.glimpses import absent, busy, inheriting, just_done, owed_first_start
from provisioner.identity import access_stamp
from provisioner.model import (
    DesiredMachine,
    GuestConfig,
    Kind,
    Observed,
    OpenOperation,
    PowerState,
    Presence,
)
from provisioner.moments import utc
from provisioner.oplog import STILL_DONE, OperationLog
from provisioner.ports import ClusterSnapshot, Hypervisor, Place, Snapshots
from provisioner.provenance import Provenance
from provisioner.site import Site
from provisioner.taskboard import TaskBoard
from provisioner.taskwords import ONCE, PATIENT, REMOVING, TASKS
from provisioner.upids import kind_of

#: How old a snapshot (in seconds) may be when a machine might be destroyed by what it shows.
EVIDENCE: Final = 1.0
#: How long the HA manager may take to stop a guest, its patience with it included, in seconds.
HA_ROUNDS: Final = 180


class Fate(Enum):
    """How an operation that was open at the start of the pass stands now."""

    RUNNING = auto()
    ENDED = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True)
class Machines:
    """Observes machines through the ports; `wall` tells wall seconds.

    `suspects` are VMIDs whose firewall may be another than they are stamped with: it is read until
    it is right again; `spells` are what is remembered of who ran; `unanswered` are operations whose
    calls got no answer in this process's life.
    """

    hypervisor: Hypervisor
    snapshots: Snapshots
    tasks: TaskBoard
    bell: Doorbell
    log: OperationLog
    site: Site
    wall: Callable[[], int]
    suspects: set[int] = field(default_factory=set)
    archives: Archives | None = None
    spells: Spells = field(default_factory=dict)
    unanswered: set[int] = field(default_factory=set)

    @property
    def aside(self) -> Aside:
        """Who looks at what orders, backups and boots of nodes are about."""
        boots = Boots(self.hypervisor, self.snapshots, self.log, self.wall, self.spells)
        belated = Belated(self.hypervisor, self.log, self.site.token)
        return Aside(self.hypervisor, self.log, self.site, self.archives, boots, belated)

    @property
    def provenance(self) -> Provenance:
        """Who says whose a guest is."""
        births = Births(self.tasks.lists, self.site.token, self.log.knows, self.tasks)
        return Provenance(self.hypervisor, self.log, self.site, births, self.wall)

    async def observe(self, want: DesiredMachine, *, settle: bool = True) -> Observed:
        """Return what is seen of (want.key, want.nonce) now.

        Without `settle` an open operation is left to the pass that owns it, and nothing is
        recorded.

        Raises Untrusted when the cluster's list is not evidence, NotOurs when the machine's VMID
        holds something that looks like it and cannot prove it, Locked while a clone is unfinished,
        and Transient or Permanent for a task that failed.
        """
        operation = await self.log.open_for(want.key, want.nonce)
        if operation is not None and not settle:
            return busy(operation)
        fate = await self._fate(want, operation) if operation else Fate.ENDED
        if operation is not None and fate is Fate.RUNNING:
            return busy(operation)
        answers = None
        if operation is not None and fate is Fate.ENDED and self._boots(operation, want):
            ring = await self._ring(operation, self._kind(want, operation.vmid))
            answers = ring.answers
            if not answers:
                return replace(busy(operation), answers=answers, ask_in=ring.again_in)
        if operation is not None and fate is Fate.ENDED and await self._ha_yet_to(want, operation):
            return busy(operation)
        may_go = want.retirement is not None
        snapshot = await self.snapshots.get(max_age=EVIDENCE if may_go else None)
        try:
            ended = operation if fate is Fate.ENDED else None
            done = just_done(ended, self.wall(), snapshot)
            seen = await self._locate(want, snapshot, answers, done)
        except NotOurs as error:
            if operation is not None:  # given up: it must not count as something that still runs
                await self.log.finish(operation.id, "lost", str(error))
            raise
        if operation is not None:
            seen = await self._close(
                operation, fate, inheriting(seen, operation) if fate is Fate.ENDED else seen
            )
        elif settle:
            await self._note_loss(want, seen)
        return await self.aside.look(want, seen)

    async def _ring(self, start: OpenOperation, kind: Kind) -> Ring:
        """Ask a guest whose start has ended; only of an end that was seen is it known when."""
        seen = self.tasks.ended_for(start.upid) if start.upid else None
        up_for, exact = (self.wall() - start.started, False) if seen is None else (seen, True)
        return await self.bell.ring(start.node, start.vmid, up_for, kind, exact=exact)

    async def _note_loss(self, want: DesiredMachine, seen: Observed) -> None:
        """Give the VMID back of a machine that nobody is owed and somebody else removed."""
        owed = want.presence is not Presence.SUSPENDED
        if owed or seen.config is not None or not seen.ever_existed:
            return
        if seen.vmid is not None and seen.node is not None:
            await self.log.gone(want.key, want.nonce, seen.vmid, seen.node)

    async def _fate(self, want: DesiredMachine, operation: OpenOperation) -> Fate:
        """Say how an open operation stands. Closes it and raises if its task failed."""
        upid = operation.upid or await self._search(operation)
        if upid is None:
            self._wait_for_answer(operation)
            return Fate.UNKNOWN
        state = self.tasks.state(upid)
        if state.running:
            return Fate.RUNNING
        if state.error is None:
            return Fate.ENDED
        if isinstance(state.error, UnknownOutcome):
            return Fate.UNKNOWN
        left = await self._left(want, operation)
        await self.log.finish(operation.id, "failed", f"{state.error}{left}")
        said = f"{operation.step} of VM {operation.vmid}: {state.error}{left}"
        if operation.step == "backup" and isinstance(state.error, Transient):
            raise BackupFailed(f"{said}; it is not destroyed before there is a backup of it")
        if left and await self.log.kept(want.key, want.nonce) is None:
            await self.log.gone(want.key, want.nonce, operation.vmid, operation.node)  # it rests
        raise type(state.error)(said)

    def _wait_for_answer(self, operation: OpenOperation) -> None:
        """Raise Locked while what should not be done twice may still be carried out.

        Of a call that died with its process it is not known that it was made at all.
        """
        patient = operation.step in PATIENT and operation.id in self.unanswered
        until = operation.started + STILL_DONE
        if patient and self.wall() < until:
            raise Locked(
                f"{operation.step} of VM {operation.vmid}: no answer, it may still be carried out; "
                f"if that is not seen by {utc(until)}, it is asked for again"
            )

    async def _left(self, want: DesiredMachine, operation: OpenOperation) -> str:
        """Say what a whole copy left that failed: its VMID, which volumes are named by, rests."""
        whole = operation.step == "clone" and self.site.cloned(want.terms, Kind.VM).full
        return await making.left_by(self.hypervisor, operation) if whole else ""

    def _boots(self, operation: OpenOperation, want: DesiredMachine) -> bool:
        """Say whether a start whose task has ended is still worth waiting for an answer.

        It is not over before the guest answers, for as long as a boot takes; asking the guest
        alone is one call at most, where a whole look would be three.
        """
        young = 0 <= self.wall() - operation.started < LONGEST_BOOT
        return operation.step == "start" and young and want.presence is Presence.RUNNING

    async def _ha_yet_to(self, want: DesiredMachine, operation: OpenOperation) -> bool:
        """Say whether the HA manager still has to stop a guest: its task only notes the wish."""
        asked = operation.upid is not None and kind_of(operation.upid) == "hastop"
        if not asked or self.wall() - operation.started > HA_ROUNDS:
            return False
        try:
            kind = self._kind(want, operation.vmid)
            power = await self.hypervisor.power(operation.node, operation.vmid, kind=kind)
        except Transient:  # it may have been moved: a whole look finds it
            return False
        return power.state is not PowerState.STOPPED

    async def _close(self, operation: OpenOperation, fate: Fate, seen: Observed) -> Observed:
        """Close an operation that no longer runs, by what is there to be seen."""
        if operation.step in REMOVING and seen.config is None:
            return await self._close_destroy(operation, seen)
        match operation.step:
            case "destroy" | "reinstall":  # an OK is not believed while the machine is there
                done = False
            case "clone" | "restore":
                done = fate is Fate.ENDED or seen.config is not None
            case _:
                done = fate is Fate.ENDED
        if done:
            await self.log.finish(operation.id, "ok")
        else:
            await self.log.finish(operation.id, "lost", "its end was not seen; looked instead")
        return seen

    async def _close_destroy(self, operation: OpenOperation, seen: Observed) -> Observed:
        """Close a destroy once its volumes are gone too; until then it is told, and not over."""
        node, vmid = operation.node, operation.vmid
        left = await self.hypervisor.volumes(node, vmid, destroyed_by=operation.upid)
        if left and not await self.hypervisor.vmid_is_free(vmid):
            left = ()  # somebody else has the VMID now: what carries it may be theirs
        if not left:
            await self.log.finish(operation.id, "ok")
        return replace(seen, leftovers=tuple(left))

    async def _search(self, operation: OpenOperation) -> str | None:
        """Find the running task of an operation whose reply was lost, and record it.

        A clone's task carries the template's VMID and so cannot be told from another's; the
        clone's own configuration (and its lock) is looked at instead.
        """
        if operation.step == "clone":
            return None
        since = operation.started - CLOCK_SKEW
        for row in await self.hypervisor.tasks(operation.node, since, vmid=operation.vmid):
            ours = row.vmid == operation.vmid and row.kind in TASKS.get(operation.step, ())
            if not ours or (row.ended is not None and operation.step not in ONCE):
                continue
            if row.ended is None or not await self.log.knows(row.upid):
                await self.log.record_task(operation.id, row.upid)
                return row.upid
        return None

    async def standing(self, want: DesiredMachine, snapshot: ClusterSnapshot) -> Observed:
        """Look whether it stands, whatever locks it; what is there instead is told with no VMID."""
        place = await self.log.place(want.key, want.nonce)
        existed = await self.log.ever_cloned(want.key, want.nonce)
        if place is None:
            return absent(None, None, existed)
        row = snapshot.guests.get(place.vmid)
        node = row.node if row else place.node
        if node not in snapshot.nodes and row is not None:
            raise NodeDown(node, "offline")
        config = await self._config(snapshot, want, node, place.vmid)
        if config is None:
            return await self._missing(place.vmid, node, existed)
        at = Place(place.vmid, node)
        seen = await self.provenance.of(want, at, config, snapshot)
        return seen or absent(None, node, existed)

    async def _locate(
        self,
        want: DesiredMachine,
        snapshot: ClusterSnapshot,
        answers: bool | None,
        just_done: str | None,
    ) -> Observed:
        seen = await self.standing(want, snapshot)
        if seen.config is None or seen.vmid is None or seen.node is None:
            return seen
        if not self.site.isolated(want, seen):
            return seen if just_done in ("clone", "restore") else await self._bare(seen)
        seen = await self._suspected(seen, seen.vmid, seen.node)
        if just_done in ("configure", "resize") and owed_first_start(want, seen):
            return replace(seen, power=PowerState.UNREAD)
        seen = await self._liveliness(want, seen, answers)
        return replace(seen, early=await self._came_up_early(want, seen))

    async def _came_up_early(self, want: DesiredMachine, seen: Observed) -> bool:
        """Whether a clone runs as what it was before it was configured.

        A node that boots starts a clone whose template had `onboot`, be it right before we
        configure it: what it is to be then waits for its next start, and its owner's key with it.
        """
        if seen.power not in (PowerState.RUNNING, PowerState.PAUSED) or seen.kind is not Kind.VM:
            return False
        if not owed_first_start(want, seen) or not (seen.vmid and seen.node and seen.identity):
            return False
        birth = await self.log.birth(want.key, want.nonce)
        if birth is None or birth.step != "clone" or birth.started:
            return False
        runs_as = await self.hypervisor.config(seen.node, seen.vmid, running=True)
        return runs_as is not None and not self.site.bears(seen.identity, runs_as)

    def _kind(self, want: DesiredMachine, vmid: int) -> Kind:
        """Return the kind of the guest at `vmid`: what the list shows, else what was bought."""
        row = self.snapshots.last and self.snapshots.last.guests.get(vmid)
        if row:
            return row.kind
        return want.spec.kind if want.spec else Kind.VM

    async def _config(
        self, snapshot: ClusterSnapshot, want: DesiredMachine, node: str, vmid: int
    ) -> GuestConfig | None:
        """Read a configuration; one on a node that is away, and not in the list, is not there.

        The list is the cluster's own: it shows what stands on a node that is away too. Whether
        nothing has come since is then asked of the cluster, which needs no node for it.
        """
        listed = vmid in snapshot.guests
        if node not in snapshot.nodes and not listed:
            return None
        try:
            return await self.hypervisor.config(node, vmid, kind=self._kind(want, vmid))
        except NodeDown:
            if listed:
                raise
        return None

    async def _suspected(self, seen: Observed, vmid: int, node: str) -> Observed:
        """Read the firewall of a machine that somebody may have laid hands on."""
        if vmid not in self.suspects:
            return seen
        firewall = await self.hypervisor.isolation(node, vmid, kind=seen.kind)
        if firewall.stamp == seen.stamps.configured:
            self.suspects.discard(vmid)
        return replace(seen, isolation=firewall)

    async def _bare(self, seen: Observed) -> Observed:
        """Read the power of a clone that came from a template which may have had `onboot`."""
        config, vmid, node, identity = seen.config, seen.vmid, seen.node, seen.identity
        if config is None or vmid is None or node is None or identity is None or config.lock:
            return seen
        if self.site.bears(identity, config):
            return seen
        power = await self.hypervisor.power(node, vmid, kind=config.kind)
        return replace(seen, power=power.state)

    async def _missing(self, vmid: int, node: str, existed: bool) -> Observed:
        if not await self.hypervisor.vmid_is_free(vmid):
            raise Transient(
                f"VM {vmid} is not on node {node}, yet its id is taken: it is being made or moved"
            )
        return absent(vmid, node, existed)

    async def _liveliness(
        self, want: DesiredMachine, seen: Observed, answers: bool | None
    ) -> Observed:
        """Read power, and ask the guest, only where the next step depends on it."""
        config, vmid, node = seen.config, seen.vmid, seen.node
        if config is None or vmid is None or node is None or config.lock is not None:
            return seen
        if answers:  # who answers runs
            return replace(seen, power=PowerState.RUNNING, answers=True)
        power = await self.hypervisor.power(node, vmid, kind=config.kind)
        hardware = (power.cores, power.memory_mib)
        seen = replace(seen, power=power.state, uptime=power.uptime, hardware=hardware)
        if power.state is not PowerState.RUNNING or want.presence is Presence.SUSPENDED:
            return seen
        if seen.stamps.started and seen.stamps.access == access_stamp(want.access):
            return seen
        if seen.stamps.started:  # somebody may still be inside: there is no putting it off
            return replace(seen, answers=await self.bell.insist(node, vmid, config.kind))
        ring = await self.bell.ring(node, vmid, power.uptime, config.kind, exact=False)
        return replace(seen, answers=ring.answers, ask_in=ring.again_in)

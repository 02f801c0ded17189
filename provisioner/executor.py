"""Carries out one step: intent, effect, task id; and never waits.

The order is the law: the operation is recorded before the call, the UPID right after it, and what
came of it is for the next pass to observe. A step touches only a machine that proves to be ours,
and before one that cannot be undone, or where much time may have gone by, the machine is looked at
again (`lastlook`): before the intent, so that nothing counts as begun where somebody else stands
there by now.
When a reply is lost the operation stays open, and nothing else happens to that machine until the
next pass has looked.
"""

import asyncio
from collections.abc import Callable, Collection
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from provisioner.archives import Archives
from provisioner.errors import (
    Crowded,
    Locked,
    NodeDown,
    NoRoom,
    NotOurs,
    ProvisionError,
    UnknownOutcome,
)
from provisioner.lastlook import look_again
from provisioner.line import Line
from provisioner.machines import EVIDENCE
from provisioner.model import DesiredMachine, GuestConfig, Kind, Observed
from provisioner.offers import Offer
from provisioner.oplog import STILL_DONE, OperationLog
from provisioner.placement import Demand
from provisioner.ports import (
    ClusterSnapshot,
    GuestShells,
    Hypervisor,
    NodeShell,
    Place,
    Snapshots,
)
from provisioner.rooms import Rooms
from provisioner.site import Site
from provisioner.sold_storage import Former
from provisioner.steps.restore import RESTORE
from provisioner.steps.step import Step, Target
from provisioner.taskwords import PATIENT

#: Chooses a VMID for a machine, given those that are taken. Raises NoRoom.
Choice: TypeAlias = Callable[[DesiredMachine, AbstractSet[int]], int]


@dataclass(frozen=True, slots=True)
class Ran:
    """What running a step came to: the machine's place, and the task to wait for, if any."""

    place: Place
    upid: str | None


@dataclass(frozen=True, slots=True)
class Where:
    """Where a step is done; for a new machine also from which template, and on which storage."""

    place: Place
    source: Place | None = None
    storage: str | None = None


@dataclass(frozen=True, slots=True)
class Executor:
    """Runs steps through the ports; `rooms` says where clones come from and go to.

    `quarantine` (seconds, wall) is how long a freed VMID rests; `nodes` is None where nodes are
    not reached over SSH; `choice` chooses a VMID that is not taken, the lowest where it is None;
    `unanswered` are told the operations that are patiently waited for.
    """

    hypervisor: Hypervisor
    snapshots: Snapshots
    guests: GuestShells
    log: OperationLog
    site: Site
    rooms: Rooms
    quarantine: int
    archives: Archives | None = None
    nodes: NodeShell | None = None
    choice: Choice | None = None
    unanswered: set[int] = field(default_factory=set)
    _choosing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _line: Line = field(default_factory=Line)

    async def run(
        self, step: Step, want: DesiredMachine, have: Observed, now: int, *, stale: bool = False
    ) -> Ran:
        """Run `step` at wall time `now`; `stale` says that `have` may be long ago.

        Raises NotOurs, Locked, Crowded, NoRoom and what the effect raises; Changed where the
        machine is not any more as `have` says, and that is stale or the step could not be undone.

        On any error but UnknownOutcome the operation is closed as failed before it is raised.
        """
        where, operation = await self._intend(step, want, have, now, stale=stale)
        place = where.place
        try:
            target = Target(
                *(self.hypervisor, self.guests, self.site, want, have, place.vmid, place.node),
                source=where.source,
                nodes=self.nodes,
                base=await self.rooms.inherited(have.cloned_from, now),
                archives=self.archives,
                storage=where.storage,
                now=now,
            )
            upid = await step.effect(target)
        except UnknownOutcome:
            if step.name in PATIENT:
                self.unanswered.add(operation)
            raise
        except ProvisionError as error:
            await self.log.finish(operation, "failed", str(error))
            if isinstance(error, NodeDown):
                self.rooms.avoid(error.node, now)
            raise
        if upid is None:
            await self.log.finish(operation, "ok")
        else:
            await self.log.record_task(operation, upid)
        return Ran(place, upid)

    async def _intend(
        self, step: Step, want: DesiredMachine, have: Observed, now: int, *, stale: bool
    ) -> tuple[Where, int]:
        """Record the intent: where, by which template, and its id.

        For what makes a machine the place is chosen under the same lock.
        """
        if step.creates:
            async with self._choosing:
                where = await self._choose(want, have, now, restored=step is RESTORE)
                return where, await self._begin(step, want, where.place)
        if step.of_backup and have.config is None:
            place = _of_backup(have)
        else:
            place, config = self._prove(step, want, have)
            if step.irreversible or stale:
                await look_again(self.hypervisor, place, config)
        return Where(place), await self._begin(step, want, place)

    async def call_in(self, now: int) -> list[str]:
        """Call those who wait for a clone and for whom there is a place at wall time `now`.

        Returns their keys, each once: a place is kept for a few seconds.
        """
        return self._line.call(await self.rooms.places(now), now) if self._line else []

    def turn_of(self, key: str) -> Crowded | None:
        """Say what a machine of `key` waits for that is to be made; None where it waits no more."""
        place = self._line.place(key)
        return None if place is None else _crowded(place)

    async def _begin(self, step: Step, want: DesiredMachine, place: Place) -> int:
        order = want.order.number if want.order and step.obeys else None
        return await self.log.begin(
            want.key, step.name, place.vmid, place.node, want.nonce, order=order
        )

    def _prove(self, step: Step, want: DesiredMachine, have: Observed) -> tuple[Place, GuestConfig]:
        """Return where the machine is, and what proves it to be ours. Raises NotOurs or Locked."""
        if have.config is None or have.vmid is None or have.node is None:
            raise NotOurs(f"there is no machine to {step.name}")
        if have.config.lock is not None:
            raise Locked(f"VM {have.vmid} is locked ({have.config.lock})")
        if not self.site.proven(want, have) or have.config.template:
            raise NotOurs(f"VM {have.vmid} does not prove to be {want.key}: nothing was done to it")
        identity = self.site.identity(want, have.vmid)
        if step.irreversible and not self.site.bears(identity, have.config):
            raise NotOurs(f"VM {have.vmid} has another uuid or MAC than {want.key} must have")
        return Place(have.vmid, have.node), have.config

    async def _choose(
        self, want: DesiredMachine, have: Observed, now: int, *, restored: bool
    ) -> Where:
        """Choose a place for a new machine, and the template it is made from.

        Only as many may be made at once as a storage can bear: a lock on it that is waited for
        too long fails the clone. One that is restored stands where its backup is seen, and keeps
        its VMID if nobody else has that. The list that shows the place is as young as one by which
        a machine is destroyed: a token that has lost its eyes may still have its hands.
        """
        snapshot = await self.snapshots.get(max_age=EVIDENCE)
        demand = self._demand(want, have.backups[0].archive.kind if restored else None)
        own = await self._own(want, now)
        offer = await self.rooms.offer(demand, snapshot, now, restored=restored, former=own)
        if restored:
            offer = _within(offer, have.backups[0].nodes)
        admitted = self._line.admits(want.key, offer.places, now)
        spot = offer.pick() if admitted else None
        if spot is None:
            raise _crowded(self._line.place(want.key))
        former = have.backups[0].identity.vmid if restored else None
        vmid = await self._vmid(want, snapshot, now, former)
        self.rooms.promise(vmid, spot, demand, now)
        template = Place(spot.template.vmid, spot.template.node)
        return Where(Place(vmid, spot.node), template, spot.shelf[0])

    async def _own(self, want: DesiredMachine, now: int) -> Former | None:
        """Return the VMID that is kept for a machine, or where it was meant to be before."""
        if (kept := await self.log.kept(want.key, want.nonce)) is not None:
            return Former(kept, stood=True)
        meant = await self._meant(want, now)
        return None if meant is None else Former(meant, stood=False)

    async def _meant(self, want: DesiredMachine, now: int) -> int | None:
        """Return the VMID at which a machine may still come that was asked for and not seen.

        Where another one failed there meanwhile, it is waited for no longer than a call may take:
        what it left may be in the way.
        """
        return await self.log.intended(want.key, want.nonce, now - STILL_DONE)

    def _demand(self, want: DesiredMachine, kind: Kind | None) -> Demand:
        """Return what a machine needs; `kind` is what it was, whatever is sold by now."""
        spec, terms = want.spec, want.terms
        if spec is None:
            return Demand(0, 0, kind or Kind.VM)
        of = kind or spec.kind
        cloning = self.site.cloned(terms, of)
        return Demand(
            *(spec.memory_mib, spec.disk_gib, of, terms.nodes, terms.templates), cloning=cloning
        )

    async def _vmid(
        self, want: DesiredMachine, snapshot: ClusterSnapshot, now: int, former: int | None
    ) -> int:
        """Choose a VMID: the one kept for it, or meant before, or of its backup, else a free one.

        A clone that was asked for and not seen may still come, however late; only on the same
        VMID does Proxmox then refuse the second one.
        """
        kept = await self.log.kept(want.key, want.nonce)
        if kept is not None and await self.hypervisor.vmid_is_free(kept):
            return kept
        meant = await self._meant(want, now)
        if meant is not None and meant not in snapshot.guests:
            return meant
        reserved = await self.log.reserved()
        if (
            former is not None
            and former in self.site.pool
            and former not in reserved
            and await self.hypervisor.vmid_is_free(former)
        ):
            return former
        since = now - self.quarantine
        taken = set(snapshot.guests) | reserved
        taken |= set(await self.log.destroyed_since(since))
        if self.quarantine:
            taken |= await self.hypervisor.freed(since)
        try:
            return self.choice(want, taken) if self.choice else self.site.pool.choose(taken)
        except NoRoom as error:
            raise NoRoom(f"no machine can be made: {error}") from None


def _crowded(place: int | None) -> Crowded:
    said = "as many machines are being cloned as may be at once (clones_per_storage)"
    waits = "waits for its turn" if place is None else f"waits for its turn, number {place} in line"
    return Crowded(f"{waits}: {said}")


def _of_backup(have: Observed) -> Place:
    """Return where the oldest backup of a machine that is gone is seen. Raises NotOurs."""
    if not have.backups:
        raise NotOurs("there is no backup that proves to be of this machine")
    oldest = have.backups[-1]
    return Place(oldest.identity.vmid, oldest.nodes[0])


def _within(offer: Offer, nodes: Collection[str]) -> Offer:
    """Narrow an offer to nodes that see a backup. Raises NoRoom if none of them has room."""
    spots = [spot for spot in offer.spots if spot.node in nodes]
    if not spots:
        raise NoRoom(f"there is no room on {', '.join(nodes)}, where its backup is: make room")
    return replace(offer, spots=spots)

"""Looks at every machine in our range now and then, whatever nobody told us.

A survey reads what each machine proves: the index of places (which tells doubles), machines that
our log does not know (adopted, so that a lost database makes no second one), and orphans, which are
reported and never touched. No effect may happen before the first survey since the start.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from chainwatch.control.sources import Sources
from chainwatch.domain.batches import Source
from chainwatch.domain.desired import Hold
from chainwatch.runtime.clock import Clock
from chainwatch.store.alarms import Alarms
from chainwatch.store.leases import Leases
from chainwatch.store.operations import Operations
from chainwatch.store.workqueue import WorkQueue
from provisioner.archives import Archives
from provisioner.errors import ProvisionError
from provisioner.model import MAKING, Identity, Stamps
from provisioner.ports import GuestRow, Hypervisor, Snapshots
from provisioner.site import Site

log = structlog.get_logger(__name__)

#: What begins the key of a machine that the command line made; the daemon leaves those alone.
CLI: Final = "cli:"
PARKED: Final = "parked"
DAY: Final = 86_400
UNPROVEN: Final = "its description does not prove that this installation made it"


@dataclass(frozen=True, slots=True)
class Orphan:
    """A guest in our range that we may not touch, and what is known about it."""

    vmid: int
    node: str
    name: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Survey:
    """What the guests in our range prove: identities with where they stand, and strangers.

    `begun_at` is wall seconds. `unfinished` are VMIDs that do not say yet whose they are: being
    cloned to, or on a node that does not answer. `held` are the keys of
    protected machines, with the word of an operator that the protection mirrors.
    """

    begun_at: int
    identities: tuple[tuple[Identity, GuestRow], ...]
    strangers: tuple[Orphan, ...]
    unfinished: tuple[int, ...]
    held: Mapping[str, Hold]


@dataclass(slots=True)
class Resync:
    """The surveys; `places` and `orphans` are as the last one saw them."""

    hypervisor: Hypervisor
    snapshots: Snapshots
    operations: Operations
    leases: Leases
    work: WorkQueue
    alarms: Alarms
    site: Site
    clock: Clock
    sources: Sources
    interval: float
    wake: Callable[[], None]
    archives: Archives
    places: Mapping[tuple[str, str], tuple[int, ...]] = field(default_factory=dict)
    orphans: tuple[Orphan, ...] = ()
    surveyed_at: int | None = None

    async def run(self) -> None:
        """Survey, and make every lease due, every `interval` seconds."""
        while True:
            await self.clock.sleep(self.interval)
            try:
                await self.survey()
            except ProvisionError as error:
                log.warning("survey failed", error=str(error))
            await self.remind()
            await self.enqueue_all("periodic resync")

    async def remind(self) -> None:
        """Tell again of what was given up and has not been told of for a day."""
        now = self.clock.now()
        told = {alarm.subject: alarm for alarm in await self.alarms.all() if alarm.name == PARKED}
        for row in await self.work.parked():
            alarm = told.get(row.key)
            if alarm is None or now - alarm.last_raised >= DAY:
                reason = row.parked_reason or "given up"
                log.warning("still parked", lease=row.key, reason=reason)
                await self.alarms.raise_(PARKED, row.key, "critical", reason, now)

    async def enqueue_all(self, reason: str) -> None:
        """Make every lease of every source due."""
        for source in self.sources:
            await self.work.enqueue(await self.leases.ids(source), reason)
        self.wake()

    async def survey(self) -> None:
        """Look at every guest in our range once. Raises what the hypervisor raises."""
        await self.settle(await self.examine())

    async def _look_for_backups(self) -> None:
        """See which backups there are; where that fails, those of the last look serve on."""
        try:
            await self.archives.look()
        except ProvisionError as error:
            log.warning("backups not seen", error=str(error))

    async def examine(self) -> Survey:
        """Read what every guest in our range proves; changes nothing."""
        begun_at = self.clock.now()
        snapshot = await self.snapshots.get(newer_than=self.clock.monotonic())
        identities: list[tuple[Identity, GuestRow]] = []
        strangers, unfinished = [], []
        held: dict[str, Hold] = {}
        for row in sorted(snapshot.guests.values(), key=lambda row: row.vmid):
            if row.vmid not in self.site.pool or row.template:
                continue
            if row.node not in snapshot.nodes:
                unfinished.append(row.vmid)
                continue  # the node is away: it is asked when it is back
            try:
                config = await self.hypervisor.config(row.node, row.vmid, kind=row.kind)
            except ProvisionError as error:  # one guest's trouble is not everybody's
                log.warning("machine not read", vmid=row.vmid, node=row.node, error=str(error))
                unfinished.append(row.vmid)
                continue
            if config is None:
                continue  # being removed
            if config.lock in MAKING:
                unfinished.append(row.vmid)
                continue  # the next survey sees what it became
            proof = self.site.signer.prove(config.description, row.vmid)
            if proof is None:
                strangers.append(Orphan(row.vmid, row.node, row.name or "", UNPROVEN))
            elif not proof[0].key.startswith(CLI):
                if config.settings.protection:
                    held[proof[0].key] = _mirrored(proof[1])
                identities.append((proof[0], row))
        return Survey(begun_at, tuple(identities), tuple(strangers), tuple(unfinished), held)

    async def settle(self, survey: Survey) -> None:
        """Adopt what our log did not know, report what is not ours to touch, look for backups."""
        places: dict[tuple[str, str], list[int]] = defaultdict(list)
        since = survey.begun_at
        orphans = list(survey.strangers)
        for identity, row in survey.identities:
            places[identity.key, identity.nonce].append(row.vmid)
            await self.operations.adopt(
                identity.key, identity.nonce, row.vmid, row.node, since=since
            )
            if await self._unknown(identity):
                evidence = f"it proves to be {identity.key}, a lease that no source knows"
                orphans.append(Orphan(row.vmid, row.node, row.name or "", evidence))
        orphans += await self._doubles(survey, places)
        self.places = {machine: tuple(vmids) for machine, vmids in places.items()}
        self.orphans = tuple(orphans)
        self.surveyed_at = self.clock.now()
        await self._report()
        await self._look_for_backups()

    async def _doubles(
        self, survey: Survey, places: Mapping[tuple[str, str], Sequence[int]]
    ) -> list[Orphan]:
        """Return all but one of the machines that prove to be the same: the one we knew first."""
        found = []
        for identity, row in survey.identities:
            if len(places[identity.key, identity.nonce]) < 2:
                continue
            first = await self.operations.first_place(identity.key, identity.nonce)
            if row.vmid != first:
                evidence = f"it proves to be {identity.key}, and so does VM {first}, which is older"
                found.append(Orphan(row.vmid, row.node, row.name or "", evidence))
        return found

    async def _unknown(self, identity: Identity) -> bool:
        """Say whether no source knows a machine's lease, once the source it is of has been read."""
        for status in self.sources.values():
            if _is_of(identity.key, status.settings.source) and not status.looked:
                return False
        return await self.leases.get(identity.key) is None

    async def _report(self) -> None:
        if not self.orphans:
            await self.alarms.clear("orphans", "")
            return
        vmids = ", ".join(str(orphan.vmid) for orphan in self.orphans)
        text = f"VMs {vmids} stand in our range and are not ours to touch; see `chainwatch orphans`"
        await self.alarms.raise_("orphans", "", "warning", text, self.clock.now())


def _is_of(key: str, source: Source) -> bool:
    """Whether a lease's id is one of the source's."""
    return key.rpartition("/")[0] == f"eip155:{source.chain_id}/erc721:{source.contract.lower()}"


def _mirrored(stamps: Stamps) -> Hold:
    """Tell a machine that was suspended by order from one that only may not be taken away."""
    by_order = stamps.suspended_at is not None and not stamps.ended
    return Hold.SUSPEND if by_order else Hold.HOLD

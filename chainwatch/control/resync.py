"""Looks at every machine in our range now and then, whatever nobody told us.

A survey reads what each machine proves: the index of places (which tells doubles), machines that
our log does not know (adopted, so that a lost database makes no second one), and orphans, which are
reported and never touched. No effect may happen before the first survey since the start. A sweep
does it again for what the cluster's list shows as new or changed, and for a part of all else, so
that ten thousand machines cost a daemon that has nothing to do a few calls a second. How it fails:
a change that the list does not show waits until the machine's turn has come, hours at most.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Final

import structlog

from chainwatch.control.sights import Sights
from chainwatch.control.sources import Sources
from chainwatch.control.survey import Orphan, Survey, Surveyor
from chainwatch.domain.batches import Source
from chainwatch.runtime.clock import Clock
from chainwatch.store.alarms import Alarms
from chainwatch.store.leases import Leases
from chainwatch.store.operations import Operations
from chainwatch.store.workqueue import WorkQueue
from provisioner.archives import Archives
from provisioner.errors import ProvisionError
from provisioner.model import Identity
from provisioner.ports import ClusterSnapshot, Hypervisor, Snapshots
from provisioner.site import Site

log = structlog.get_logger(__name__)

PARKED: Final = "parked"
BACKUPS_UNSEEN: Final = "backups-unseen"
DAY: Final = 86_400
#: Within so many sweeps every lease is looked at, and at least so many are in each.
ROUNDS: Final = 72
LEAST: Final = 20


@dataclass(slots=True)
class Resync:
    """The surveys; `places` and `orphans` are as the last one saw them.

    `sights` are what passes saw of settled leases.
    """

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
    sights: Sights
    places: Mapping[tuple[str, str], tuple[int, ...]] = field(default_factory=dict)
    orphans: tuple[Orphan, ...] = ()
    surveyed_at: int | None = None

    async def run(self) -> None:
        """Sweep every `interval` seconds."""
        while True:
            await self.clock.sleep(self.interval)
            try:
                await self.sweep()
            except ProvisionError as error:
                log.warning("survey failed", error=str(error))
                await self._enqueue(self.sights.oldest(await self.leases.ids(), LEAST))
            await self.remind()

    async def sweep(self) -> None:
        """Look at what may have changed, and at a part of all else. Raises as `survey` does.

        Every lease whose machine the list shows otherwise than it was seen is made due, and of the
        others those that were looked at longest ago: all within so many rounds. Who is in the queue
        already comes round by himself.
        """
        survey = await self.resurvey()
        await self.settle(survey)
        ids = [lease for source in self.sources for lease in await self.leases.ids(source)]
        queued = await self.work.keys()
        free = [lease for lease in ids if lease not in queued]
        due = self.sights.doubtful(free, survey.snapshot)
        part = max(LEAST, ceil(len(ids) / ROUNDS))
        await self._enqueue({*due, *self.sights.oldest(set(free).difference(due), part)})

    async def _enqueue(self, leases: Collection[str]) -> None:
        await self.work.enqueue(leases, "periodic resync")
        self.wake()

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
            now = self.clock.now()
            await self.alarms.raise_(BACKUPS_UNSEEN, "", "warning", str(error), now)
        else:
            await self.alarms.clear(BACKUPS_UNSEEN, "")

    async def examine(self) -> Survey:
        """Read what every guest in our range proves; changes nothing."""
        return await self._surveyor().survey(await self._fresh(), {})

    async def resurvey(self) -> Survey:
        """Read what those guests prove that the log does not know where they stand."""
        leases = set(await self.leases.ids())
        places = await self.operations.places()
        known = {machine: place for machine, place in places.items() if machine[0] in leases}
        return await self._surveyor().survey(await self._fresh(), known)

    def _surveyor(self) -> Surveyor:
        return Surveyor(self.hypervisor, self.site, self.clock.now())

    async def _fresh(self) -> ClusterSnapshot:
        return await self.snapshots.get(newer_than=self.clock.monotonic())

    async def settle(self, survey: Survey) -> None:
        """Adopt what our log did not know, report what is not ours to touch, look for backups."""
        places: dict[tuple[str, str], list[int]] = defaultdict(list)
        for machine, vmid in survey.assumed.items():
            places[machine].append(vmid)
        since, known = survey.begun_at, await self.operations.places()
        orphans = list(survey.strangers)
        for identity, row in survey.identities:
            places[identity.key, identity.nonce].append(row.vmid)
            place = known.get((identity.key, identity.nonce))
            if place is None or place.vmid != row.vmid:
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

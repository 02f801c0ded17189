"""Looks at every machine in our range now and then, whatever nobody told us.

A survey reads what each machine proves: the index of places (which tells doubles), machines that
our log does not know (adopted, so that a lost database makes no second one), and orphans, which are
reported and never touched. No effect may happen before the first survey since the start.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from chainwatch.runtime.clock import Clock
from chainwatch.store.alarms import Alarms
from chainwatch.store.leases import Leases
from chainwatch.store.operations import Operations
from chainwatch.store.workqueue import WorkQueue
from provisioner.errors import ProvisionError
from provisioner.model import Identity
from provisioner.ports import GuestRow, Hypervisor, Snapshots
from provisioner.site import Site

log = structlog.get_logger(__name__)

#: What begins the key of a machine that the command line made; the daemon leaves those alone.
CLI = "cli:"


@dataclass(frozen=True, slots=True)
class Orphan:
    """A guest in our range that we may not touch, and what is known about it."""

    vmid: int
    node: str
    name: str
    evidence: str


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
    sources: tuple[str, ...]
    interval: float
    wake: Callable[[], None]
    places: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
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
                continue
            await self.enqueue_all("periodic resync")

    async def enqueue_all(self, reason: str) -> None:
        """Make every lease of every source due."""
        for source in self.sources:
            await self.work.enqueue(await self.leases.ids(source), reason)
        self.wake()

    async def survey(self) -> None:
        """Read every guest in our range once. Raises what the hypervisor raises."""
        snapshot = await self.snapshots.get(newer_than=self.clock.monotonic())
        places: dict[str, list[int]] = defaultdict(list)
        orphans = []
        for row in sorted(snapshot.guests.values(), key=lambda row: row.vmid):
            if row.vmid not in self.site.pool or row.template:
                continue
            identity, evidence = await self._examine(row)
            if evidence is not None:
                orphans.append(Orphan(row.vmid, row.node, row.name or "", evidence))
            if identity is not None:
                places[identity.nonce].append(row.vmid)
        self.places = {nonce: tuple(vmids) for nonce, vmids in places.items()}
        self.orphans = tuple(orphans)
        self.surveyed_at = self.clock.now()
        await self._report()

    async def _examine(self, row: GuestRow) -> tuple[Identity | None, str | None]:
        """Return what a guest proves to be, and why it is an orphan if it is one."""
        config = await self.hypervisor.config(row.node, row.vmid)
        if config is None or (config.lock == "clone" and "chainwatch" not in config.description):
            return None, None  # being made or removed: the next survey sees what it became
        proof = self.site.signer.prove(config.description, row.vmid)
        if proof is None:
            return None, "its description does not prove that this installation made it"
        identity, _ = proof
        if identity.key.startswith(CLI):
            return identity, None
        if not await self._known(identity):
            return identity, f"it proves to be {identity.key}, a lease that no source knows"
        await self.operations.adopt(identity.key, identity.nonce, row.vmid, row.node)
        return identity, None

    async def _known(self, identity: Identity) -> bool:
        return await self.leases.get(identity.key) is not None

    async def _report(self) -> None:
        if not self.orphans:
            await self.alarms.clear("orphans", "")
            return
        vmids = ", ".join(str(orphan.vmid) for orphan in self.orphans)
        text = f"VMs {vmids} stand in our range and are not ours to touch; see `chainwatch orphans`"
        await self.alarms.raise_("orphans", "", "warning", text, self.clock.now())

"""The daemon at a glance: what it would tell anybody who asks how things are.

It reads what is stored and what the loops last saw, and asks neither a chain nor the hypervisor, so
that it answers at once however badly those do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from chainwatch import __version__
from chainwatch.chain.heads import HeadFeed
from chainwatch.chain.rpc import Endpoints
from chainwatch.control import sender_outlook
from chainwatch.control.pulse import Pulse
from chainwatch.control.readings import (
    Capacity,
    Destroys,
    HypervisorReading,
    NodeReading,
    RoomReading,
    SourceReading,
    SourceWord,
    Status,
    StorageReading,
)
from chainwatch.control.sources import SourceStatus
from chainwatch.control.supervisor import Supervisor
from chainwatch.domain.batches import SourceState
from chainwatch.store.census import Census, Counted
from chainwatch.store.stores import Stores
from provisioner.placement import GIB, NodeRoom
from provisioner.weights import StorageRoom

HOUR: Final = 3600
#: Nobody's machine: every destroy of the hour counts.
NOBODY: Final = ("", "")


@dataclass(frozen=True, slots=True)
class Outlook:
    """Reads the status of one daemon; `started` is monotonic seconds."""

    installation: str
    stores: Stores
    census: Census
    supervisor: Supervisor
    endpoints: Mapping[str, Endpoints]
    pulse: Pulse
    started: float

    async def status(self) -> Status:
        """Return everything at a glance."""
        now = self.supervisor.clock.now()
        sources = tuple([await self.source(name) for name in self.supervisor.resync.sources])
        hypervisor = self.hypervisor()
        unready = tuple(_unready(sources, hypervisor, self.pulse))
        counted = await self.census.take(now)
        return Status(
            installation=self.installation,
            version=__version__,
            now=now,
            uptime=int(self.supervisor.clock.monotonic() - self.started),
            ready=not unready,
            unready=unready,
            sources=sources,
            hypervisor=hypervisor,
            capacity=await self._capacity(now),
            room=self._room(),
            leases=_by_source(sources, counted),
            machines=counted.machines,
            operations=counted.open,
            due=counted.due,
            parked=counted.parked,
            destroys=await self._destroys(now),
            senders=await sender_outlook.readings(self.supervisor.senders, self.stores.sendings),
            pauses=tuple(await self.stores.holds.pauses()),
            holds=tuple(await self.stores.holds.all()),
            alarms=tuple(await self.stores.alarms.all()),
            orphans=self.supervisor.resync.orphans,
        )

    async def unready(self) -> tuple[str, ...]:
        """Say, a sentence each, what keeps the daemon from doing its whole work."""
        sources = [await self.source(name) for name in self.supervisor.resync.sources]
        return tuple(_unready(sources, self.hypervisor(), self.pulse))

    async def source(self, name: str) -> SourceReading:
        """Return how a configured source does."""
        known = self.supervisor.resync.sources[name]
        state = await self.stores.journal.state(name)
        view = known.view(state)
        word, why = _word(known, state)
        return SourceReading(
            name=name,
            chain_id=known.settings.source.chain_id,
            contract=known.settings.source.contract.lower(),
            word=word,
            why=why,
            chain_time=view.chain_time,
            final_time=view.final_time,
            cursor=state.cursor.number if state.cursor else None,
            confirmed=_confirmed(known, state),
            final=state.final.number if state.final else None,
            head=state.head,
            caught_up=view.caught_up,
            idle_for=int(known.idle_for),
            alone=known.alone,
            endpoints=tuple(self.endpoints[name].health()),
            websocket=self._feeds()[name].health(),
        )

    def _feeds(self) -> Mapping[str, HeadFeed]:
        return {ingest.name: ingest.feed for ingest in self.supervisor.ingests}

    def hypervisor(self) -> HypervisorReading:
        """Say whether the hypervisor can be believed, without asking it."""
        why, surveyed_at = self.supervisor.breaker.reason, self.supervisor.resync.surveyed_at
        if why is None and surveyed_at is None:
            why = "its machines have not been surveyed since the start; nothing is done before that"
        return HypervisorReading(up=why is None, why=why, surveyed_at=surveyed_at)

    async def _capacity(self, now: int) -> Capacity:
        reconciler, operations = self.supervisor.worker.reconciler, self.stores.operations
        pool = reconciler.site.pool
        ours = {vmid for vmid in await operations.reserved() if vmid in pool}
        strangers = {orphan.vmid for orphan in self.supervisor.resync.orphans} - ours
        freed = await operations.destroyed_since(now - reconciler.executor.quarantine)
        resting = {vmid for vmid in freed if vmid in pool} - ours - strangers
        free = pool.size - len(ours) - len(strangers) - len(resting)
        return Capacity(pool.size, len(ours), len(strangers), len(resting), free)

    def _room(self) -> RoomReading | None:
        """Return how full the cluster was when it was last looked at; None before the first."""
        found = self.supervisor.worker.reconciler.executor.rooms.fullness()
        if found is None:
            return None
        age = self.supervisor.clock.monotonic() - found.at
        return RoomReading(
            age=max(0, int(age)),
            nodes=tuple(map(_node, found.seen.nodes.values())),
            storages=tuple(map(_storage, found.seen.storages.values())),
            missing_templates=found.missing,
        )

    async def _destroys(self, now: int) -> Destroys:
        allowed = self.supervisor.worker.reconciler.guards.budget
        spent = await self.stores.operations.destroys_since(now - HOUR, other_than=NOBODY)
        return Destroys(allowed, spent, max(0, allowed - spent))


def _node(room: NodeRoom) -> NodeReading:
    return NodeReading(
        name=room.name,
        state=room.state,
        memory_mib=room.memory_mib,
        sold_mib=room.promised_mib,
        left_mib=room.left_mib,
        machines=room.machines,
    )


def _storage(room: StorageRoom) -> StorageReading:
    return StorageReading(
        *room.shelf,
        available=room.available,
        size_gib=room.size_gib,
        left_gib=room.left_gib,
        sold_gib=room.sold.gib if room.sold else None,
        limit_gib=room.limit // GIB if room.limit else None,
    )


def _confirmed(source: SourceStatus, state: SourceState) -> int:
    return max(0, state.head - source.settings.confirmations)


def _word(source: SourceStatus, state: SourceState) -> tuple[SourceWord, str | None]:
    """Return the worst thing that is true of a source, and a sentence about it."""
    if state.halted is not None:
        return SourceWord.HALTED, state.halted
    if source.trouble is not None:
        return SourceWord.TROUBLE, source.trouble
    if not source.view(state).caught_up:
        return SourceWord.BEHIND, _behind(source, state)
    if source.stale:
        return SourceWord.STALE, f"no new block for {int(source.idle_for)} s: check its node"
    return SourceWord.LIVE, None


def _behind(source: SourceStatus, state: SourceState) -> str:
    if state.reread_to is not None:
        final = state.reread_final
        and_final = "" if final is None else f" and block {final} is final"
        read = f"block {state.reread_to} is read{and_final}"
        return f"it is read again by order; nothing is done before {read}"
    if state.cursor is None:
        return "nothing of it has been read yet"
    left = _confirmed(source, state) - state.cursor.number
    return f"{left} blocks to read" if left > 0 else "its head has not been seen since the start"


def _by_source(
    sources: tuple[SourceReading, ...], counted: Counted
) -> Mapping[str, Mapping[str, int]]:
    """Name every source, those without a lease too."""
    return {source.name: {} for source in sources} | dict(counted.leases)


def _unready(
    sources: tuple[SourceReading, ...] | list[SourceReading],
    hypervisor: HypervisorReading,
    pulse: Pulse,
) -> list[str]:
    said = [
        f"source {source.name} is {source.word}: {source.why}"
        for source in sources
        if not source.caught_up or source.word in (SourceWord.HALTED, SourceWord.TROUBLE)
    ]
    if hypervisor.why is not None:
        said.append(f"hypervisor: {hypervisor.why}")
    if not pulse.alive:
        said.append(f"the loop has not come round for {int(pulse.silent_for)} s")
    return said

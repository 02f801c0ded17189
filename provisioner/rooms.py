"""Room for machines: what the cluster shows, what was promised, and who may be cloned now.

The list of the cluster lags, so a machine that was asked for counts from then on, for as long as it
takes the list to show what it became; a whole copy is not looked for before it may be there. One
that was made larger counts as its configuration has it, though the list shows that after its next
boot. All this is memory only: after a restart a machine that the list does not size yet counts as
much as the one that asks, a linked clone under way on its template's storage, a whole copy on every
one, and one that is larger from its first look on. How it fails: with too little room for a while,
and with too much until a machine that grew is looked at after a restart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from provisioner.allocate import Pool
from provisioner.errors import NodeDown, NoRoom, Transient
from provisioner.growths import Growths
from provisioner.isolation import Isolation
from provisioner.model import Kind, MachineSpec, Observed, OpenOperation
from provisioner.nowhere import nowhere, unpacked_nowhere
from provisioner.offers import Fullness, Offer
from provisioner.oplog import OperationLog
from provisioner.ostemplates import OsTemplate, Sought
from provisioner.placement import (
    Demand,
    Limits,
    Promise,
    Spot,
    Template,
    View,
    cramped,
    openings,
    shelf_of,
    view,
)
from provisioner.ports import ClusterSnapshot, Hypervisor, Snapshots
from provisioner.sold_storage import Former, SoldStorage, VolumeLists, bearing, beneath
from provisioner.upids import guest_of
from provisioner.weights import Shelf

#: Seconds after which a clone that has not ended no longer keeps others waiting, and after which
#: the list surely shows what became of one that has; a whole copy is allowed its time besides.
ENDLESS: Final = 600
#: How far back the log is asked for clones: longer than any copy is allowed.
FAR: Final = 7 * 86_400
#: Seconds after which a clone that has ended is in the list, unless somebody removed it.
UNSEEN: Final = 30
#: For how many seconds nothing new is asked of a node that did not answer.
AVOIDED: Final = 90
#: For how many seconds it is remembered on which storage a template lies, and its firewall.
REMEMBERED: Final = 600
CLONE: Final = "clone"


class Rooms:
    """The room of one cluster for clones of `templates` (VMIDs) within `limits`.

    `templates` serve where a plan names none; `others` are those that only plans name; `copies`
    says that some machines are whole copies, which may lie on another storage than their template.
    `containers` are what containers are made of.
    """

    def __init__(
        self,
        hypervisor: Hypervisor,
        snapshots: Snapshots,
        log: OperationLog,
        pool: Pool,
        volumes: VolumeLists,
        *,
        templates: Sequence[int],
        limits: Limits,
        containers: OsTemplate,
        others: Sequence[int] = (),
        copies: bool = False,
    ) -> None:
        self._hypervisor, self._snapshots, self._log = hypervisor, snapshots, log
        self._containers, self._copies = containers, copies
        self._pool, self._vmids, self._limits = pool, templates, limits
        self._all = (*templates, *(each for each in others if each not in templates))
        self._lies_on: dict[int, tuple[Template, int]] = {}
        self._firewalls: dict[int, tuple[Isolation, int]] = {}
        self._promised: dict[int, tuple[Promise, int]] = {}
        self._grown = Growths()
        self._avoided: dict[str, int] = {}
        self._sold = SoldStorage(volumes, self.avoid, limited=limits.storage_overcommit > 0)
        self._last: Offer | None = None

    async def offer(
        self,
        demand: Demand,
        snapshot: ClusterSnapshot,
        now: int,
        *,
        restored: bool = False,
        former: Former | None = None,
    ) -> Offer:
        """Return where a machine can be made at wall time `now`. Raises NoRoom if nowhere.

        One that is `restored` comes of its backup, whatever its kind is made of; `former` is where
        it was, or was meant to be.
        """
        sought = Sought(frozenset(snapshot.nodes))
        if demand.kind is Kind.CONTAINER and not restored:
            sought = await self._seek(demand, snapshot, now)
        found = await self._offer(demand, snapshot, now, sought, former)
        if isinstance(found, NoRoom) and sought.lacks:
            sought = await self._seek(demand, snapshot, now, again=True)
            found = await self._offer(demand, snapshot, now, sought, former)
        if isinstance(found, NoRoom):
            self._containers.judge(sought)
            raise found
        self._last = found
        return found

    async def _offer(
        self,
        demand: Demand,
        snapshot: ClusterSnapshot,
        now: int,
        sought: Sought,
        former: Former | None,
    ) -> Offer | NoRoom:
        """Return where a machine can be made, and where that is nowhere, why."""
        wanted = demand.templates or self._vmids
        online = self._without_avoided(snapshot, now)
        if demand.kind is Kind.CONTAINER:
            nodes = (node for node in online.nodes if node in sought.there)
            templates = self._containers.roots(nodes, demand.cloning.storage)
        else:
            templates = await self._templates(wanted, online, now)
        snapshot = self._without_avoided(snapshot, now)  # one may just have been found away
        promises = await self._promises(snapshot, templates, demand, now)
        shelves = bearing(snapshot, templates, demand, self._limits)
        await self._sold.look(shelves, now)
        seen = self._view(self._without_avoided(snapshot, now), promises, demand, former)
        found = openings(seen, templates, demand, sought.lacks)
        if found.oversold:
            await self._sold.look(shelves, now, doubted=True)
            seen = self._view(self._without_avoided(snapshot, now), promises, demand, former)
            found = openings(seen, templates, demand, sought.lacks)
        if found.spots:
            return Offer(seen, found.spots, self._limits, demand)
        missing = [vmid for vmid in wanted if vmid not in snapshot.guests]
        if remedy := self._containers.remedy(sought):
            return NoRoom(unpacked_nowhere(demand, found, remedy, elsewhere=bool(sought.there)))
        return NoRoom(nowhere(demand, found, missing))

    async def _seek(
        self, demand: Demand, snapshot: ClusterSnapshot, now: int, *, again: bool = False
    ) -> Sought:
        """Say which of the nodes where a container may be made have what it is made of."""
        online, allowed = self._without_avoided(snapshot, now), self._limits.nodes
        nodes = [
            node
            for node in online.nodes
            if node in (allowed or (node,)) and node in (demand.nodes or (node,))
            if not online.members[node].maintenance
        ]
        sought = await self._containers.seek(nodes, online.archives, now, again=again)
        for error in sought.errors.values():
            if isinstance(error, NodeDown):
                self.avoid(error.node, now)
        return sought

    async def places(self, now: int) -> int:
        """Count the clones that may be begun now where there was room when last looked."""
        if self._last is None:
            return 0
        shelves = {spot.shelf for spot in self._last.spots}
        clones = (await self._cloned(self._last.demand, now)).values()
        on = [self._promised[op.vmid][0].shelf for op in clones if op.vmid in self._promised]
        unknown = len(clones) - len(on)
        free = (self._limits.clones - on.count(shelf) - unknown for shelf in shelves)
        return sum(max(0, each) for each in free)

    async def inherited(self, template: int | None, now: int) -> Isolation | None:
        """Return the firewall that clones of a template have; None where it is not known.

        It is read when it was not for ten minutes. A change in between is not seen here: a machine
        that took it over is found out when its own firewall is looked at in turn.
        """
        if template is None:
            return None
        known = self._firewalls.get(template)
        if known is not None and 0 <= now - known[1] < REMEMBERED:
            return known[0]
        snapshot = self._snapshots.last
        row = snapshot.guests.get(template) if snapshot else None
        if row is None:
            return None
        try:
            firewall = await self._hypervisor.isolation(row.node, template)
        except Transient:
            return None
        self._firewalls[template] = (firewall, now)
        return firewall

    def avoid(self, node: str, now: int) -> None:
        """Take a node for one that is offline for a while: it was called in vain."""
        self._avoided[node] = now

    def welcome(self, node: str) -> None:
        """Take a node for what the cluster shows again: it answers."""
        self._avoided.pop(node, None)

    def promise(self, vmid: int, spot: Spot, demand: Demand, now: int) -> None:
        """Count a machine that is about to be cloned to `vmid`."""
        needed = spot.template.needed(demand)
        promise = Promise(spot.node, spot.shelf, demand, copying=True, disk_gib=needed)
        self._promised[vmid] = (promise, now)
        self._sold.promise(vmid, (spot.shelf,), spot.template.weight(demand), now)

    async def growth(self, spec: MachineSpec, have: Observed, now: int) -> NoRoom | None:
        """Say why a machine can't be as large as `spec` where it stands at wall time `now`, if so.

        Where it can, it counts with that from now on.
        """
        if have.config is None or have.node is None or have.vmid is None:
            return None
        snapshot = await self._snapshots.get()
        self.count(have, snapshot)
        more = Demand(
            spec.memory_mib - have.config.settings.memory_mib,
            spec.disk_gib - have.config.disk_gib,
        )
        if more.memory_mib <= 0 and more.disk_gib <= 0:
            return None
        whole = Demand(spec.memory_mib, spec.disk_gib)
        promises = await self._promises(snapshot, (), whole, now)
        where = beneath(snapshot, have.node, have.config.storage if more.disk_gib > 0 else None)
        await self._sold.look(where, now, doubted=True)
        heavier = self._sold.beyond(have.vmid, where, have.config, spec)
        seen = self._view(snapshot, promises)
        if why := cramped(seen, have.node, have.config.storage, more, heavier):
            return NoRoom(f"VM {have.vmid} can't be made larger yet: {why}")
        if more.memory_mib > 0:
            self._grown.promise(have.vmid, have.node, spec.memory_mib)
        self._sold.grow(have.vmid, where, have.config, spec)
        return None

    def count(
        self,
        have: Observed,
        snapshot: ClusterSnapshot | None = None,
        spec: MachineSpec | None = None,
    ) -> None:
        """Count a machine as its configuration has it, and its disk as `spec` does, if larger."""
        snapshot = snapshot or self._snapshots.last
        self._grown.count(have, snapshot)
        if snapshot and spec and have.config and have.node and have.vmid is not None:
            where = beneath(snapshot, have.node, have.config.storage)
            self._sold.grow(have.vmid, where, have.config, spec)

    def _view(
        self,
        snapshot: ClusterSnapshot,
        promises: Mapping[int, Promise],
        demand: Demand | None = None,
        former: Former | None = None,
    ) -> View:
        """Return how full everything is, with the machines that are larger than the list shows."""
        counted, sold = self._grown.over(promises, snapshot), self._sold.standings(promises, former)
        unseen = 0 if demand is None else demand.memory_mib
        return view(snapshot, self._limits, self._pool, counted, unseen, sold=sold)

    def fullness(self) -> Fullness | None:
        """Return how full everything was at the last look; None before the first. Asks nobody."""
        snapshot = self._snapshots.last
        if snapshot is None:
            return None
        promises = {
            vmid: replace(promise, copying=False) for vmid, (promise, _) in self._promised.items()
        }
        seen = self._view(snapshot, promises)
        return Fullness(snapshot.taken_at, seen, self._missing(snapshot))

    def _without_avoided(self, snapshot: ClusterSnapshot, now: int) -> ClusterSnapshot:
        """Return a snapshot in which nodes that do not answer are offline."""
        away = {node for node, at in self._avoided.items() if 0 <= now - at < AVOIDED}
        if not away:
            return snapshot
        members = {
            name: replace(row, online=row.online and name not in away)
            for name, row in snapshot.members.items()
        }
        online = tuple(name for name in snapshot.nodes if name not in away)
        return replace(snapshot, nodes=online, members=members)

    def _missing(self, snapshot: ClusterSnapshot) -> tuple[int, ...]:
        return tuple(vmid for vmid in self._all if vmid not in snapshot.guests)

    async def _templates(
        self, vmids: Sequence[int], snapshot: ClusterSnapshot, now: int
    ) -> list[Template]:
        """Return the templates on nodes that are online, and the storage of each."""
        rows = [snapshot.guests[vmid] for vmid in vmids if vmid in snapshot.guests]
        found = []
        for row in rows:
            if row.node not in snapshot.nodes:
                continue
            try:
                template = await self._template(row.node, row.vmid, now)
            except NodeDown as error:
                self.avoid(error.node, now)
                continue
            if template is not None:
                found.append(template)
                where = beneath(snapshot, template.node, template.storage)
                self._sold.promise(template.vmid, where, template.weight(Demand(0, 0)), now)
        return found

    async def _template(self, node: str, vmid: int, now: int) -> Template | None:
        """Return a template: which storage it lies on, and its size. Remembered for a while."""
        known = self._lies_on.get(vmid)
        if known is not None and known[0].node == node and 0 <= now - known[1] < REMEMBERED:
            return known[0]
        config = await self._hypervisor.config(node, vmid)
        if config is None or config.storage is None:
            return None
        found = Template(vmid, node, config.storage, config.disk_gib, config.more_gib)
        self._lies_on[vmid] = (found, now)
        return found

    async def _cloned(self, demand: Demand, now: int) -> dict[int, OpenOperation]:
        """Return the clones under way, by VMID, but for those that will not end any more.

        Of one that is not known it is supposed that it is like the one that is asked for.
        """
        found = {}
        for each in await self._log.unfinished(CLONE, now - FAR):
            promise = self._promised[each.vmid][0] if each.vmid in self._promised else None
            if now - each.started < _allowed(promise, demand):
                found[each.vmid] = each
        return found

    async def _promises(
        self, snapshot: ClusterSnapshot, templates: Sequence[Template], demand: Demand, now: int
    ) -> Mapping[int, Promise]:
        """Return what counts beyond what the list shows, and forget what it shows by now."""
        clones = await self._cloned(demand, now)
        reserved = await self._log.reserved()
        self._sold.keep(reserved | self._lies_on.keys(), now)
        self._promised = {
            vmid: (promise, at)
            for vmid, (promise, at) in self._promised.items()
            if vmid in reserved
            and 0 <= now - at < _allowed(promise, demand)
            and (vmid in clones or vmid in snapshot.guests or now - at < UNSEEN)
        }
        promises = {
            vmid: replace(promise, copying=vmid in clones)
            for vmid, (promise, _) in self._promised.items()
        }
        shelves = _shelves(snapshot, templates)
        for vmid, operation in clones.items():
            if vmid not in promises:
                linked = operation.upid is not None and not self._copies
                source = guest_of(operation.upid) if linked and operation.upid else None
                shelf = None if source is None else shelves.get(source)
                promises[vmid] = Promise(operation.node, shelf, demand, copying=True)
        return promises


def _allowed(promise: Promise | None, demand: Demand) -> int:
    """Return the seconds that a clone may take before nobody waits for it any more."""
    of = demand if promise is None else promise.demand
    gib = of.disk_gib if promise is None else max(promise.disk_gib, of.disk_gib)
    return ENDLESS + of.cloning.allowance(gib)


def _shelves(snapshot: ClusterSnapshot, templates: Sequence[Template]) -> Mapping[int, Shelf]:
    rows = {(row.node, row.name): shelf_of(row) for row in snapshot.storages}
    return {
        each.vmid: rows[each.node, each.storage]
        for each in templates
        if (each.node, each.storage) in rows
    }

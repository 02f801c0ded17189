"""Where a machine is made: which template it is cloned from, and on which node it then stands.

Pure: a snapshot, the templates and what was promised go in, spots with room come out, the best
first. Memory counts as it was sold, whether a machine runs or not, for a suspended one may be paid
for again; of others' guests only those count that run. A linked clone stays on its template's
storage, so on its node too, unless the storage is shared; a full one goes where it is sent, and to
another node only if what it comes from and what it goes to are both shared. The list of the cluster
lags by seconds: what was promised meanwhile counts until the list shows it, or many who look at
once would all see the same room. Of a storage two things count: what is free there now, and what is
sold there, every disk as large as it may become, or it is full one day with nothing sold that day.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from provisioner.allocate import Pool
from provisioner.model import Kind
from provisioner.ports import ClusterSnapshot, GuestRow, NodeRow, StorageRow
from provisioner.terms import LINKED, Cloning
from provisioner.weights import NOTHING, Shelf, SoldSpace, StorageRoom, weigh

MIB: Final = 2**20
GIB: Final = 2**30
#: What ends the reason of a node that does not have a storage that a machine there would need.
NO_STORAGE: Final = "is not available there"


@dataclass(frozen=True, slots=True)
class Limits:
    """How far nodes and storages may be filled; `nodes` empty allows every node.

    `memory_overcommit` is how much of a node's memory may be promised (1.0: all of it),
    `storage_reserve_gib` what stays free on every storage, `clones` how many at once on one, and
    `storage_overcommit` how much of a storage may be sold (2.0: twice what it has; 0: no limit).
    """

    nodes: frozenset[str] = frozenset()
    memory_overcommit: float = 1.0
    storage_reserve_gib: int = 10
    clones: int = 2
    storage_overcommit: float = 0.0


@dataclass(frozen=True, slots=True)
class Demand:
    """What a machine needs, and where its plan lets it be made; empty allows all there is.

    `templates` are VMIDs; `cloning` is how its disks come to be, and where they lie.
    """

    memory_mib: int
    disk_gib: int
    kind: Kind = Kind.VM
    nodes: frozenset[str] = frozenset()
    templates: tuple[int, ...] = ()
    cloning: Cloning = LINKED


@dataclass(frozen=True, slots=True)
class Template:
    """A template, where it stands, the storage of its boot disk, and how much is copied from it.

    `disk_gib` is its boot disk, which a machine's is never smaller than, and `more_gib` whatever
    else it has. What containers are made of stands on no VMID (0): there it is a node and a storage
    for roots, and nothing is copied.
    """

    vmid: int
    node: str
    storage: str
    disk_gib: int = 0
    more_gib: int = 0

    def needed(self, demand: Demand) -> int:
        """Return the GiB that a machine of this template takes of the storage it goes to."""
        if not demand.cloning.full:
            return demand.disk_gib
        return self._whole(demand)

    def weight(self, demand: Demand) -> int:
        """Return the bytes that such a machine's disks may grow to, however little they take."""
        return weigh(self._whole(demand), demand.kind)

    def _whole(self, demand: Demand) -> int:
        return max(demand.disk_gib, self.disk_gib) + self.more_gib


@dataclass(frozen=True, slots=True)
class Promise:
    """What a machine takes that was asked for lately; `copying` while its clone is under way.

    `shelf` is None where it is not known, and the machine then counts on every storage. `disk_gib`
    is what it will have taken there in the end; of a whole copy that counts until it is that large.
    """

    node: str
    shelf: Shelf | None
    demand: Demand
    copying: bool
    disk_gib: int = 0

    def owed_gib(self, row: GuestRow | None) -> int:
        """Return the GiB that its storage does not show as taken yet."""
        whole = max(self.disk_gib, self.demand.disk_gib)
        if self.copying:
            return whole
        grown = 0 if row is None else row.disk // GIB
        return max(0, self.demand.disk_gib - grown) if self.demand.cloning.full else 0


@dataclass(frozen=True, slots=True)
class Spot:
    """A place for a machine: cloned from `template`, standing on `node`, its disk on `shelf`."""

    template: Template
    node: str
    shelf: Shelf


class NodeState(StrEnum):
    """Whether a node takes new machines; only one that is ready does."""

    READY = "ready"
    OFFLINE = "offline"
    MAINTENANCE = "in maintenance"
    EXCLUDED = "not among the configured nodes"
    UNREAD = "does not tell its memory"


@dataclass(frozen=True, slots=True)
class NodeRoom:
    """How full a node is: its memory, what is promised of it, and what may still be promised.

    `machines` are guests in our range.
    """

    name: str
    state: NodeState
    memory_mib: int
    promised_mib: int
    left_mib: int
    machines: int


@dataclass(frozen=True, slots=True)
class View:
    """How full everything is."""

    nodes: Mapping[str, NodeRoom]
    storages: Mapping[Shelf, StorageRoom]
    #: The storages that each node reaches, by name.
    reach: Mapping[str, Mapping[str, Shelf]]


@dataclass(frozen=True, slots=True)
class Openings:
    """The spots with room, the best first; and why each other node has none, a sentence each.

    `oversold` says that there are none, and that it is for what is sold of storages.
    """

    spots: Sequence[Spot]
    reasons: Sequence[str]
    oversold: bool = False


def view(
    snapshot: ClusterSnapshot,
    limits: Limits,
    pool: Pool,
    promises: Mapping[int, Promise],
    unseen_mib: int = 0,
    *,
    sold: Mapping[Shelf, SoldSpace] = NOTHING,
) -> View:
    """Add up what is taken; a machine of ours that the list does not size yet has `unseen_mib`.

    Of storages that are not in `sold` only what is free counts.
    """
    taken = dict.fromkeys(snapshot.members, 0)
    machines = dict.fromkeys(snapshot.members, 0)
    for guest in snapshot.guests.values():
        if guest.node in taken and not guest.template:
            machines[guest.node] += guest.vmid in pool
            taken[guest.node] += _memory(guest, pool, promises.get(guest.vmid), unseen_mib)
    for vmid, promise in promises.items():
        if vmid not in snapshot.guests and promise.node in taken:
            taken[promise.node] += promise.demand.memory_mib
    nodes = {
        name: _node_room(row, limits, taken[name], machines[name])
        for name, row in snapshot.members.items()
    }
    reach: dict[str, dict[str, Shelf]] = {}
    for row in snapshot.storages:
        if row.available:
            reach.setdefault(row.node, {})[row.name] = shelf_of(row)
    owed = {vmid: each.owed_gib(snapshot.guests.get(vmid)) for vmid, each in promises.items()}
    return View(nodes, _storages(snapshot.storages, limits, promises, owed, sold), reach)


def openings(
    seen: View,
    templates: Iterable[Template],
    demand: Demand,
    lacks: Mapping[str, str] | None = None,
) -> Openings:
    """Return where a machine can be made: most free memory first, then most free storage.

    `lacks` says of nodes without a template why that is so.
    """
    reasons = {name: _refusal(room, demand) for name, room in seen.nodes.items()}
    spots: list[Spot] = []
    full: dict[str, str] = {}
    oversold = False
    sources = [each for each in templates if _online(seen, each.node)]
    for node in (name for name, why in reasons.items() if why is None):
        for template in sources:
            shelf = _destination(seen, node, template, demand.cloning)
            if shelf is None:
                continue
            room = seen.storages[shelf]
            if room.left_gib < template.needed(demand):
                full[node] = f"storage {shelf[0]} has {room.left_gib} GiB left beyond its reserve"
            elif why := room.oversold(template.weight(demand)):
                full[node] = why
                oversold = True
            else:
                spots.append(Spot(template, node, shelf))
    able = {spot.node for spot in spots}
    nothing = _out_of_reach(demand.cloning)
    full = {**_without_storage(seen, sources, demand.cloning), **full}
    said = [
        f"{node}: {why or full.get(node) or (lacks or {}).get(node, nothing)}"
        for node, why in reasons.items()
        if node not in able
    ]
    spots.sort(key=lambda spot: _rank(seen, spot))
    return Openings(spots, said, oversold and not spots)


def cramped(
    seen: View, node: str, storage: str | None, more: Demand, weight: int = 0
) -> str | None:
    """Say why a machine on `node` can't have so much more than it has; None when it can.

    It grows where it stands: that its node takes no new machines is no reason. `weight` is how many
    bytes more than it counts for already are sold with that.
    """
    room = seen.nodes.get(node)
    if more.memory_mib > 0 and room is not None and room.left_mib < more.memory_mib:
        if room.state is NodeState.UNREAD:
            return _refusal(room, more)
        left = f"{max(0, room.left_mib)} MiB of memory left of {more.memory_mib} that it needs"
        return f"node {node} has {left}: add memory, or migrate a machine away"
    shelf = None if storage is None else seen.reach.get(node, {}).get(storage)
    if more.disk_gib > 0 and shelf is not None:
        room_there = seen.storages[shelf]
        if room_there.left_gib < more.disk_gib:
            left = f"{max(0, room_there.left_gib)} GiB left beyond its reserve of {more.disk_gib}"
            return f"storage {storage} has {left} that it needs: add storage, or make room"
        return room_there.oversold(weight) if weight > 0 else None
    return None


def places(seen: View, shelves: Iterable[Shelf], limits: Limits) -> int:
    """Count how many more clones may run at once on these storages."""
    return sum(_places(seen, shelf, limits) for shelf in set(shelves))


def pick(seen: View, spots: Sequence[Spot], limits: Limits) -> Spot | None:
    """Return the best spot on whose storage one more clone may run now."""
    return next((spot for spot in spots if _places(seen, spot.shelf, limits) > 0), None)


def shelf_of(row: StorageRow) -> Shelf:
    """Return which storage a row is about; nodes have a row each for one that they share."""
    return (row.name, None if row.shared else row.node)


def _destination(seen: View, node: str, template: Template, cloning: Cloning) -> Shelf | None:
    """Return where the disk of a machine on `node` would lie; None where it cannot be made."""
    reach = seen.reach.get(node, {})
    source = reach.get(template.storage)
    target = reach.get(cloning.storage) if cloning.full and cloning.storage else source
    if source is None or target is None:
        return None
    moves = node != template.node
    if moves and not template.vmid:  # what containers are made of is each node's own affair
        return None
    return None if moves and (source[1] is not None or target[1] is not None) else target


def _without_storage(seen: View, sources: Sequence[Template], cloning: Cloning) -> dict[str, str]:
    """Say of each node that could make machines of `sources` which of their storages it lacks.

    One that is disabled, or not given to a node, is not even shown there, so that and one that is
    away are the same here. What is local to another node is nothing that a node could have.
    """
    local = {name for name, node in seen.storages if node is not None}
    lacking: dict[str, set[str]] = {}
    for node in seen.nodes:
        for template in sources:
            target = cloning.storage if cloning.full and cloning.storage else template.storage
            needed = {template.storage, target}
            if node == template.node or needed.isdisjoint(local):
                lacking.setdefault(node, set()).update(needed - seen.reach.get(node, {}).keys())
    return {
        node: f"storage {', '.join(sorted(names))} {NO_STORAGE}"
        for node, names in lacking.items()
        if names
    }


def _out_of_reach(cloning: Cloning) -> str:
    if not cloning.full or cloning.storage is None:
        return "no template that is online is within its reach"
    return f"no template that is online can be copied to its storage {cloning.storage}"


def _places(seen: View, shelf: Shelf, limits: Limits) -> int:
    room = seen.storages.get(shelf)
    return 0 if room is None else max(0, limits.clones - room.copying)


def _memory(guest: GuestRow, pool: Pool, promise: Promise | None, unseen_mib: int) -> int:
    """Return the MiB that a guest takes of its node's memory."""
    if promise is not None:
        return max(guest.memory // MIB, promise.demand.memory_mib)
    if guest.vmid in pool:
        return guest.memory // MIB or unseen_mib
    return guest.memory // MIB if guest.running else 0


def _node_room(row: NodeRow, limits: Limits, taken: int, machines: int) -> NodeRoom:
    memory = row.memory // MIB
    left = int(memory * limits.memory_overcommit) - taken
    return NodeRoom(row.name, _state(row, limits), memory, taken, left, machines)


def _state(row: NodeRow, limits: Limits) -> NodeState:
    if not row.online:
        return NodeState.OFFLINE
    if row.maintenance:
        return NodeState.MAINTENANCE
    if limits.nodes and row.name not in limits.nodes:
        return NodeState.EXCLUDED
    return NodeState.READY if row.memory else NodeState.UNREAD


def _storages(
    rows: Sequence[StorageRow],
    limits: Limits,
    promises: Mapping[int, Promise],
    owed: Mapping[int, int],
    sold: Mapping[Shelf, SoldSpace],
) -> Mapping[Shelf, StorageRoom]:
    """Return how full each storage is; of one that is shared any node's word serves."""
    found: dict[Shelf, StorageRoom] = {}
    for row in rows:
        shelf = shelf_of(row)
        if shelf in found and (found[shelf].available or not row.available):
            continue
        here = [vmid for vmid, each in promises.items() if each.shelf in (shelf, None)]
        free = (row.size - row.used) // GIB - limits.storage_reserve_gib
        left = free - sum(owed[vmid] for vmid in here)
        copying = sum(promises[vmid].copying for vmid in here)
        limit = int(row.size * limits.storage_overcommit)
        size = row.size // GIB
        found[shelf] = StorageRoom(
            shelf, row.available, size, left, copying, limit, sold.get(shelf)
        )
    return found


def _online(seen: View, node: str) -> bool:
    room = seen.nodes.get(node)
    return room is not None and room.state is not NodeState.OFFLINE


def _refusal(room: NodeRoom, demand: Demand) -> str | None:
    """Say why a node takes no machine of this size; None when it does."""
    if room.state is NodeState.UNREAD:
        return f"{room.state}: give the token Sys.Audit on /nodes/{room.name}"
    if room.state is not NodeState.READY:
        return room.state
    if demand.nodes and room.name not in demand.nodes:
        return "not among the nodes of its plan"
    if room.left_mib < demand.memory_mib:
        return f"{max(0, room.left_mib)} MiB of memory left"
    return None


def _rank(seen: View, spot: Spot) -> tuple[int, int, bool, str, int]:
    node, storage = seen.nodes[spot.node], seen.storages[spot.shelf]
    elsewhere = spot.template.node != spot.node
    return (-node.left_mib, -storage.left_gib, elsewhere, spot.node, spot.template.vmid)

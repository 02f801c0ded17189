"""What is sold of each storage: its disks as large as they may become, and what was promised since.

A linked clone takes next to nothing of its storage on its first day, and all that was sold on some
later one. So every volume that a storage lists counts with its full size, a template's own and a
stranger's too. The list is read for all who ask, every few minutes, and sooner only where it is a
reason to say no. What was promised counts for its machine until the list shows as much: a clone is
listed with its template's size until it has grown, a growth not before it was done.

How it fails: a storage whose list cannot be read takes nothing new. What others make, the command
line too, counts from the next look on. After a restart a machine that was cloned and has not grown
counts with what is listed until it is looked at in its turn.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from provisioner.errors import NodeDown, Permanent, Transient
from provisioner.model import GuestConfig, MachineSpec
from provisioner.placement import Demand, Limits, Promise, Template, shelf_of
from provisioner.ports import ClusterSnapshot
from provisioner.weights import NOTHING, Shelf, SoldSpace, weigh

#: For how many seconds a look serves, and for how many one that is a reason to say no.
OLDEST: Final = 300
DOUBTED: Final = 60
#: Seconds after which a list that could not be read is tried again.
RETRIED: Final = 30
#: How many nodes are asked at most for what they share.
ASKED: Final = 3
#: For how many seconds a promise counts whose machine nobody shows yet.
UNSEEN: Final = 30

#: Storages, and the nodes that can be asked about each.
Where: TypeAlias = Mapping[Shelf, Sequence[str]]


class VolumeLists(Protocol):
    """The lists of what lies on a cluster's storages."""

    async def sizes(self, node: str, storage: str) -> Mapping[int, int]:
        """Return what the disks on a storage weigh, by the VMID whose they are."""
        ...


@dataclass(frozen=True, slots=True)
class _Look:
    """What a storage listed at wall time `at`; `why` is why it listed nothing."""

    at: int
    sizes: Mapping[int, int]
    why: str = ""


@dataclass(frozen=True, slots=True)
class _Owed:
    """What a machine is to weigh, as it was promised at wall time `at`."""

    shelf: Shelf
    weight: int
    at: int


@dataclass(frozen=True, slots=True)
class Former:
    """The VMID of a machine that is to be made, where it has one; `stood`: it stood there before.

    What it took there is its own.
    """

    vmid: int
    stood: bool


class SoldStorage:
    """Adds up what is sold; `avoid` is told of a node that does not answer, and when.

    Unless it is `limited` how much may be sold, nothing is read.
    """

    def __init__(
        self, lists: VolumeLists, avoid: Callable[[str, int], None], *, limited: bool
    ) -> None:
        self._lists, self._avoid, self._limited = lists, avoid, limited
        self._looks: dict[Shelf, _Look] = {}
        self._owed: dict[int, _Owed] = {}
        self._looking = asyncio.Lock()

    async def look(self, where: Where, now: int, *, doubted: bool = False) -> None:
        """Read what is too old at wall time `now`; sooner where what was read is `doubted`."""
        if not self._limited:
            return
        oldest = DOUBTED if doubted else OLDEST
        async with self._looking:
            old = [shelf for shelf in where if not self._fresh(shelf, oldest, now)]
            reading = (self._read(shelf, where[shelf], now) for shelf in old)
            for shelf, look in zip(
                old, await asyncio.gather(*reading, return_exceptions=True), strict=True
            ):
                if isinstance(look, BaseException):
                    raise look
                self._looks[shelf] = look

    def promise(self, vmid: int, where: Iterable[Shelf], weight: int, now: int = 0) -> None:
        """Count a machine with what it is to weigh, until the list shows as much."""
        for shelf in where:
            self._owed[vmid] = _Owed(shelf, weight, now)

    def grow(
        self, vmid: int, where: Iterable[Shelf], config: GuestConfig, spec: MachineSpec
    ) -> None:
        """Count a machine that is there with what it weighs once it is as large as `spec`."""
        self.promise(vmid, where, _grown(config, spec))

    def beyond(
        self, vmid: int, where: Iterable[Shelf], config: GuestConfig, spec: MachineSpec
    ) -> int:
        """Return by how much a machine as large as `spec` outweighs what it counts for now."""
        return sum(_grown(config, spec) - self._counted(vmid, shelf) for shelf in where)

    def keep(self, vmids: Collection[int], now: int) -> None:
        """Forget what was promised to machines that are not among `vmids` by now."""
        self._owed = {
            vmid: owed
            for vmid, owed in self._owed.items()
            if vmid in vmids or 0 <= now - owed.at < UNSEEN
        }

    def _counted(self, vmid: int, shelf: Shelf) -> int:
        look, owed = self._looks.get(shelf), self._owed.get(vmid)
        promised = owed.weight if owed is not None and owed.shelf == shelf else 0
        return max(promised, look.sizes.get(vmid, 0) if look else 0)

    def standings(
        self, under_way: Mapping[int, Promise], former: Former | None = None
    ) -> Mapping[Shelf, SoldSpace]:
        """Return what is sold of every storage that was looked at, for whoever is to be made.

        What is `under_way` and was not promised here, before a restart, counts with what it says.
        Nobody's own promise is held against him, and no limit against who had his room before.
        """
        if former is not None and former.stood:
            return NOTHING
        own = None if former is None else former.vmid
        taken = {
            shelf: sum(look.sizes.values()) - (look.sizes.get(own, 0) if own is not None else 0)
            for shelf, look in self._looks.items()
        }
        for vmid, promise in under_way.items():
            if promise.copying and vmid not in self._owed and vmid != own:
                gib = max(promise.disk_gib, promise.demand.disk_gib)
                weight = weigh(gib, promise.demand.kind)
                for shelf in taken if promise.shelf is None else (promise.shelf,):
                    self._add(taken, vmid, shelf, weight)
        for vmid, owed in self._owed.items():
            if vmid == own:
                continue
            self._add(taken, vmid, owed.shelf, owed.weight)
        return {
            shelf: SoldSpace(unread=look.why) if look.why else SoldSpace(taken[shelf])
            for shelf, look in self._looks.items()
        }

    def _add(self, taken: dict[Shelf, int], vmid: int, shelf: Shelf, weight: int) -> None:
        if shelf in taken:
            taken[shelf] += max(0, weight - self._looks[shelf].sizes.get(vmid, 0))

    def _fresh(self, shelf: Shelf, oldest: int, now: int) -> bool:
        look = self._looks.get(shelf)
        return look is not None and 0 <= now - look.at < (RETRIED if look.why else oldest)

    async def _read(self, shelf: Shelf, nodes: Sequence[str], now: int) -> _Look:
        why = "no node that is online has it"
        for node in nodes[:ASKED]:
            try:
                return _Look(now, await self._lists.sizes(node, shelf[0]))
            except NodeDown as error:
                why = str(error)
                self._avoid(node, now)
            except (Transient, Permanent) as error:
                why = str(error)
        return _Look(now, {}, why)


def bearing(
    snapshot: ClusterSnapshot, templates: Sequence[Template], demand: Demand, limits: Limits
) -> Where:
    """Return the storages on which a machine's disks may come to lie."""
    cloning = demand.cloning
    named = {cloning.storage} if cloning.full and cloning.storage else set()
    names = named or {each.storage for each in templates}
    nodes = set(snapshot.nodes) & (limits.nodes or set(snapshot.nodes))
    return _where(snapshot, names, nodes & demand.nodes if demand.nodes else nodes)


def beneath(snapshot: ClusterSnapshot, node: str, storage: str | None) -> Where:
    """Return the storage of this name that a node has, and nothing where it has none."""
    return {} if storage is None else _where(snapshot, {storage}, {node})


def _grown(config: GuestConfig, spec: MachineSpec) -> int:
    return weigh(max(spec.disk_gib, config.disk_gib) + config.more_gib, config.kind)


def _where(
    snapshot: ClusterSnapshot, names: Collection[str], nodes: Collection[str]
) -> dict[Shelf, list[str]]:
    found: dict[Shelf, list[str]] = {}
    for row in snapshot.storages:
        if row.available and row.name in names and row.node in nodes:
            found.setdefault(shelf_of(row), []).append(row.node)
    return found

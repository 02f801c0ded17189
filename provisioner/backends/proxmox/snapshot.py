"""The whole cluster at a glance, and whether to believe it.

An empty list is not evidence: without quorum, or with a token that lost its permissions, Proxmox
answers 200 and shows nothing. So a list counts only if the cluster is quorate (a node that stands
alone has no `cluster` entry; there `online` counts) and shows the template that we know is there.
With several templates one of them is enough: the others may have been removed, or be new.
The list lags by seconds and therefore only selects: what a machine is, its own config says.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Final

from provisioner.backends.proxmox.answers import Record, flag, number, records, text
from provisioner.backends.proxmox.api import Api
from provisioner.errors import Transient, Untrusted
from provisioner.model import Kind
from provisioner.ports import ClusterSnapshot, GuestRow, NodeRow, StorageRow

_DISKS: Final = frozenset({"images", "rootdir"})

MonotonicClock = Callable[[], float]

_KINDS: Final = {"qemu": Kind.VM, "lxc": Kind.CONTAINER}


async def read_snapshot(
    api: Api, templates: Sequence[int], monotonic: MonotonicClock
) -> ClusterSnapshot:
    """Read every guest, node and storage. Raises Untrusted when the answer proves nothing."""
    taken_at = monotonic()
    members = records(await api.call("GET", "/cluster/status"), "cluster status")
    _trust_membership(members)
    rows = records(await api.call("GET", "/cluster/resources"), "resources")
    guests = {guest.vmid: guest for guest in map(_guest, _of(rows, *_KINDS))}
    if not any(template in guests for template in templates):
        raise Untrusted(
            f"the cluster shows {len(guests)} guests, and {_none_of(templates)} among them: has "
            "the token lost its permissions, or was the template removed?"
        )
    return ClusterSnapshot(
        taken_at,
        guests,
        _nodes_online(members),
        _members(members, _of(rows, "node")),
        tuple(_storage(row) for row in _of(rows, "storage") if _holds_disks(row)),
        frozenset(_folders(_of(rows, "storage"))),
        archive_rows(rows),
    )


def archive_rows(resources: Sequence[Record]) -> tuple[StorageRow, ...]:
    """Return the storages that OS templates may lie on, as each node sees them."""
    rows = _of(resources, "storage")
    return tuple(_storage(row) for row in rows if "vztmpl" in text(row, "content").split(","))


def _none_of(templates: Sequence[int]) -> str:
    if len(templates) == 1:
        return f"the template {templates[0]} is not"
    return f"none of the templates {', '.join(map(str, templates))} is"


def _trust_membership(members: Sequence[Record]) -> None:
    cluster = next((row for row in members if text(row, "type") == "cluster"), None)
    if cluster is not None and not flag(cluster, "quorate"):
        raise Untrusted(
            f"cluster {text(cluster, 'name')} has no quorum: what it shows may be "
            "old; bring back nodes until it has one"
        )
    if not _nodes_online(members):
        raise Untrusted("no node of the cluster is online")


def _nodes_online(members: Sequence[Record]) -> tuple[str, ...]:
    nodes = (row for row in members if text(row, "type") == "node" and flag(row, "online"))
    return tuple(sorted(text(row, "name") for row in nodes))


def _of(rows: Sequence[Record], *kinds: str) -> list[Record]:
    return [row for row in rows if text(row, "type") in kinds]


def _guest(row: Record) -> GuestRow:
    return GuestRow(
        vmid=number(row, "vmid"),
        node=text(row, "node"),
        name=text(row, "name") or None,
        kind=_KINDS[text(row, "type")],
        template=flag(row, "template"),
        memory=number(row, "maxmem"),
        running=text(row, "status") == "running",
        disk=number(row, "maxdisk"),
    )


def _members(members: Sequence[Record], rows: Sequence[Record]) -> Mapping[str, NodeRow]:
    """Return the nodes: whether they are online says the membership, what they have the list.

    A node that its operator put into maintenance shows so as its state in high availability.
    """
    known = {text(row, "node"): row for row in rows}
    online = _nodes_online(members)
    names = [text(row, "name") for row in members if text(row, "type") == "node"]
    return {
        name: NodeRow(
            name,
            online=name in online,
            maintenance=text(known.get(name, {}), "hastate") == "maintenance",
            memory=number(known.get(name, {}), "maxmem"),
            uptime=number(known.get(name, {}), "uptime"),
        )
        for name in sorted(names)
    }


def _holds_disks(row: Record) -> bool:
    return not _DISKS.isdisjoint(text(row, "content", "images").split(","))


def _folders(rows: Sequence[Record]) -> Iterator[tuple[str, str]]:
    for row in rows:
        if "snippets" in text(row, "content", "").split(",") and not flag(row, "shared"):
            yield text(row, "storage"), text(row, "node")


def _storage(row: Record) -> StorageRow:
    return StorageRow(
        name=text(row, "storage"),
        node=text(row, "node"),
        shared=flag(row, "shared"),
        available=text(row, "status") == "available",
        size=number(row, "maxdisk"),
        used=number(row, "disk"),
    )


class Snapshots:
    """Snapshots shared by all passes: read once at a time, and again when too old.

    Whoever asks while a reading is under way gets its result, or its error. `max_age` in seconds.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[ClusterSnapshot]],
        monotonic: MonotonicClock,
        max_age: float,
    ) -> None:
        self._read = read
        self._monotonic = monotonic
        self._max_age = max_age
        self._last: ClusterSnapshot | None = None
        self._reading: asyncio.Future[ClusterSnapshot] | None = None

    @property
    def last(self) -> ClusterSnapshot | None:
        """The last snapshot, however old; asks nobody."""
        return self._last

    async def get(
        self, *, newer_than: float | None = None, max_age: float | None = None
    ) -> ClusterSnapshot:
        """Return a snapshot of at most the maximal age, taken after `newer_than` where given."""
        while True:
            last = self._last
            if last is not None and self._fresh(last, newer_than, max_age):
                return last
            if self._reading is None:
                return await self._lead()
            begun_for_us = await asyncio.shield(self._reading)
            if newer_than is None or begun_for_us.taken_at > newer_than:
                return begun_for_us

    def _fresh(
        self, snapshot: ClusterSnapshot, newer_than: float | None, max_age: float | None
    ) -> bool:
        if newer_than is not None and snapshot.taken_at <= newer_than:
            return False
        oldest = self._max_age if max_age is None else max_age
        return self._monotonic() - snapshot.taken_at <= oldest

    async def _lead(self) -> ClusterSnapshot:
        reading: asyncio.Future[ClusterSnapshot] = asyncio.get_running_loop().create_future()
        self._reading = reading
        try:
            self._last = await self._read()
        except BaseException as error:
            _fail(reading, error)
            raise
        else:
            reading.set_result(self._last)
            return self._last
        finally:
            self._reading = None


def _fail(reading: asyncio.Future[ClusterSnapshot], error: BaseException) -> None:
    """Tell those who wait too; a cancelled reader is not their cancellation."""
    cancelled = not isinstance(error, Exception)
    reading.set_exception(Transient("the cluster was not read") if cancelled else error)
    reading.exception()  # nobody may be waiting, and that is no mistake

"""The whole cluster at a glance, and whether to believe it.

An empty list is not evidence: without quorum, or with a token that lost its permissions, Proxmox
answers 200 and shows nothing. So a list counts only if the cluster is quorate (a node that stands
alone has no `cluster` entry; there `online` counts) and shows the template that we know is there.
The list lags by seconds and therefore only selects: what a machine is, its own config says.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from provisioner.backends.proxmox.answers import Record, flag, number, records, text
from provisioner.backends.proxmox.api import Api
from provisioner.errors import Transient, Untrusted
from provisioner.ports import ClusterSnapshot, GuestRow

MonotonicClock = Callable[[], float]

_KINDS: Final = frozenset({"qemu", "lxc"})


async def read_snapshot(api: Api, template: int, monotonic: MonotonicClock) -> ClusterSnapshot:
    """Read every guest and node. Raises Untrusted when the answer proves nothing."""
    taken_at = monotonic()
    members = records(await api.call("GET", "/cluster/status"), "cluster status")
    _trust_membership(members)
    rows = records(await api.call("GET", "/cluster/resources", {"type": "vm"}), "guests")
    guests = {guest.vmid: guest for guest in map(_guest, rows) if guest.kind in _KINDS}
    if template not in guests:
        raise Untrusted(
            f"the cluster shows {len(guests)} guests, and the template {template} is not among "
            "them: has the token lost its permissions, or was the template removed?"
        )
    return ClusterSnapshot(taken_at, guests, _nodes_online(members))


def _trust_membership(members: Sequence[Record]) -> None:
    cluster = next((row for row in members if text(row, "type") == "cluster"), None)
    if cluster is not None and not flag(cluster, "quorate"):
        raise Untrusted(f"cluster {text(cluster, 'name')} has no quorum: what it shows may be old")
    if not _nodes_online(members):
        raise Untrusted("no node of the cluster is online")


def _nodes_online(members: Sequence[Record]) -> tuple[str, ...]:
    nodes = (row for row in members if text(row, "type") == "node" and flag(row, "online"))
    return tuple(sorted(text(row, "name") for row in nodes))


def _guest(row: Record) -> GuestRow:
    return GuestRow(
        vmid=number(row, "vmid"),
        node=text(row, "node"),
        name=text(row, "name") or None,
        kind=text(row, "type"),
        template=flag(row, "template"),
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

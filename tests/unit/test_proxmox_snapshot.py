"""A list is evidence only where it must be true, and is read once for all who ask."""

import asyncio
from collections.abc import Mapping

import pytest

from provisioner.backends.proxmox.api import JsonValue, ParamValue
from provisioner.backends.proxmox.snapshot import Snapshots, read_snapshot
from provisioner.errors import HypervisorDown, Transient, Untrusted
from provisioner.model import Kind
from provisioner.ports import ClusterSnapshot, GuestRow

ALONE: JsonValue = [
    {"type": "node", "name": "pve", "online": 1, "local": 1, "nodeid": 0, "level": ""}
]
TEMPLATE: JsonValue = {"type": "qemu", "vmid": 9000, "node": "pve", "name": "t", "template": 1}


def cluster(*, quorate: int, online: tuple[int, ...] = (1, 1, 0)) -> JsonValue:
    nodes: list[JsonValue] = [
        {"type": "node", "name": f"n{i}", "online": up} for i, up in enumerate(online)
    ]
    return [{"type": "cluster", "name": "c", "quorate": quorate, "nodes": 3}, *nodes]


class Recorded:
    """Answers with what was recorded for a path."""

    def __init__(self, status: JsonValue, resources: JsonValue) -> None:
        self._answers = {"/cluster/status": status, "/cluster/resources": resources}

    async def call(
        self,
        method: str,
        path: str,
        params: Mapping[str, ParamValue] | None = None,
        *,
        slow: bool = False,
    ) -> JsonValue:
        assert method == "GET"
        return self._answers[path]


async def read(status: JsonValue, resources: JsonValue) -> ClusterSnapshot:
    return await read_snapshot(Recorded(status, resources), (9000,), lambda: 7.0)


async def test_a_node_that_stands_alone_needs_no_quorum() -> None:
    snapshot = await read(ALONE, [TEMPLATE])
    assert snapshot.nodes == ("pve",)
    assert snapshot.taken_at == 7.0
    assert snapshot.guests == {9000: GuestRow(9000, "pve", "t", Kind.VM, template=True)}


async def test_a_node_that_stands_alone_and_is_not_online_shows_nothing_that_counts() -> None:
    with pytest.raises(Untrusted, match="online"):
        await read([{"type": "node", "name": "pve", "online": 0}], [TEMPLATE])


async def test_a_cluster_counts_with_quorum_only_and_names_the_nodes_that_are_up() -> None:
    assert (await read(cluster(quorate=1), [TEMPLATE])).nodes == ("n0", "n1")
    with pytest.raises(Untrusted, match="no quorum"):
        await read(cluster(quorate=0), [TEMPLATE])


@pytest.mark.parametrize("resources", [[], [{"type": "qemu", "vmid": 100, "node": "pve"}]])
async def test_a_list_without_the_template_counts_for_nothing(resources: JsonValue) -> None:
    with pytest.raises(Untrusted, match="9000 is not among them"):
        await read(ALONE, resources)


@pytest.mark.parametrize(
    ("status", "resources"),
    [(None, [TEMPLATE]), ({}, [TEMPLATE]), (["x"], [TEMPLATE]), (ALONE, None), (ALONE, "x")],
)
async def test_an_answer_of_another_shape_is_no_snapshot(
    status: JsonValue, resources: JsonValue
) -> None:
    with pytest.raises((Transient, Untrusted)):
        await read(status, resources)


async def test_a_fresh_clone_has_no_name_yet_and_a_container_is_a_guest_too() -> None:
    rows: JsonValue = [
        TEMPLATE,
        {"type": "qemu", "vmid": 10000, "node": "pve", "status": "unknown", "lock": "clone"},
        {"type": "lxc", "vmid": 200, "node": "pve", "name": "ct", "template": 0},
        {"type": "storage", "id": "storage/pve/local"},
    ]
    guests = (await read(ALONE, rows)).guests
    assert set(guests) == {9000, 10000, 200}
    assert guests[10000].name is None
    assert guests[200].kind is Kind.CONTAINER


async def test_only_a_folder_that_is_seen_not_to_be_shared_is_a_nodes_own() -> None:
    def row(name: str, content: str, shared: int) -> dict[str, JsonValue]:
        more: dict[str, JsonValue] = {"content": content, "shared": shared}
        return {"type": "storage", "storage": name, "node": "pve", **more}

    rows = [
        TEMPLATE,
        row("local", "iso,snippets", 0),
        row("nfs", "images,snippets", 1),
        row("lvm", "images", 0),
    ]
    assert (await read(ALONE, rows)).folders == {("local", "pve")}


# ------------------------------------------------------------------------------------ Snapshots


class Reader:
    """Reads when it is let; `now` is monotonic time."""

    def __init__(self) -> None:
        self.now = 100.0
        self.begun = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def read(self) -> ClusterSnapshot:
        self.begun += 1
        taken_at = self.now
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return ClusterSnapshot(taken_at, {}, ())

    def shared(self) -> Snapshots:
        return Snapshots(self.read, lambda: self.now, max_age=5.0)


async def test_a_snapshot_serves_until_it_is_too_old() -> None:
    reader = Reader()
    shared = reader.shared()
    first = await shared.get()
    reader.now += 5
    assert await shared.get() is first
    reader.now += 0.1
    assert (await shared.get()).taken_at == reader.now
    assert reader.begun == 2


async def test_who_needs_to_see_what_was_just_done_gets_a_later_snapshot() -> None:
    reader = Reader()
    shared = reader.shared()
    await shared.get()
    done_at = reader.now
    reader.now += 1
    assert (await shared.get(newer_than=done_at)).taken_at > done_at
    assert reader.begun == 2


async def test_many_who_ask_at_once_cause_one_reading() -> None:
    reader = Reader()
    shared = reader.shared()
    reader.gate.clear()
    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(shared.get()) for _ in range(10)]
        await asyncio.sleep(0)
        reader.gate.set()
    assert reader.begun == 1
    assert len({id(task.result()) for task in asking}) == 1


async def test_a_reading_that_began_too_early_is_not_taken_for_a_later_one() -> None:
    reader = Reader()
    shared = reader.shared()
    reader.gate.clear()
    async with asyncio.TaskGroup() as group:
        early = group.create_task(shared.get())
        await asyncio.sleep(0)
        done_at = reader.now
        reader.now += 1
        late = group.create_task(shared.get(newer_than=done_at))
        await asyncio.sleep(0)
        reader.gate.set()
    assert early.result().taken_at == done_at
    assert late.result().taken_at > done_at


async def test_a_failed_reading_fails_for_all_who_waited_and_for_nobody_after() -> None:
    reader = Reader()
    shared = reader.shared()
    reader.gate.clear()
    reader.error = HypervisorDown("no route")
    asking = [asyncio.get_running_loop().create_task(shared.get()) for _ in range(3)]
    await asyncio.sleep(0)
    reader.gate.set()
    failed = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(error) for error in failed] == [HypervisorDown] * 3
    assert reader.begun == 1
    reader.error = None
    assert (await shared.get()).taken_at == reader.now


async def test_a_reader_that_is_cancelled_cancels_nobody_else() -> None:
    reader = Reader()
    shared = reader.shared()
    reader.gate.clear()
    leader, follower = (asyncio.get_running_loop().create_task(shared.get()) for _ in range(2))
    await asyncio.sleep(0)
    leader.cancel()
    outcome = await asyncio.gather(leader, follower, return_exceptions=True)
    assert [type(each) for each in outcome] == [asyncio.CancelledError, Transient]
    reader.gate.set()
    assert (await shared.get()).taken_at == reader.now

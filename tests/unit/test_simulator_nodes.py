"""Several nodes: what each has, and what is left of the cluster when one is gone."""

import pytest

from provisioner.backends.proxmox.api import ParamValue
from provisioner.simulator.settings import Settings
from tests.support.simulated import Console

GIB = 2**30
CLOUD_INIT = 2**19
THREE = Settings(nodes=("one", "two", "three"))


@pytest.fixture
def console() -> Console:
    console = Console(THREE)
    console.cluster.add_guest(101, node="two", running=True)
    console.cluster.advance(20)
    return console


def test_calls_to_a_node_without_power_find_no_route_and_the_others_answer(
    console: Console,
) -> None:
    console.cluster.cut_power("two")
    for path in ("status", "tasks", "qemu/101/config", "storage"):
        response = console.ask("GET", f"/nodes/two/{path}")
        assert (response.status, response.reason) == (595, "No route to host")
    assert console.ask("GET", "/nodes/one/status").status == 200
    online = {row["node"]: row["status"] for row in console.rows("/nodes")}
    assert online == {"one": "online", "two": "offline", "three": "online"}


def test_a_guest_and_a_storage_of_a_node_without_power_are_unknown(console: Console) -> None:
    console.cluster.cut_power("two")
    guest = console.resource(101)
    assert guest is not None
    assert (guest["status"], guest["node"]) == ("unknown", "two")
    assert "name" not in guest
    rows = {row["id"]: row for row in console.rows("/cluster/resources", type="storage")}
    assert rows["storage/one/local"]["status"] == "available"
    assert rows["storage/two/local"]["status"] == "unknown"
    assert "maxdisk" not in rows["storage/two/local"]
    assert console.ask("GET", "/cluster/nextid", vmid=101).status == 400


def test_one_of_three_nodes_may_go_but_not_two(console: Console) -> None:
    console.cluster.cut_power("two")
    assert console.task("POST", "/nodes/one/qemu/9000/clone", newid=218) == "OK"
    console.cluster.cut_power("three")
    refused = console.ask("DELETE", "/nodes/one/qemu/218")
    assert (refused.status, refused.reason) == (500, "cluster not ready - no quorum?")
    cluster, *nodes = console.rows("/cluster/status")
    assert (cluster["quorate"], cluster["nodes"]) == (0, 3)
    assert [node["online"] for node in nodes] == [1, 0, 0]
    console.cluster.restore_power("two")
    console.cluster.advance(90)
    assert console.task("DELETE", "/nodes/one/qemu/218") == "OK"


def test_a_node_has_tasks_of_its_own(console: Console) -> None:
    assert console.task("POST", "/nodes/two/qemu/101/status/stop") == "OK"
    assert [row["type"] for row in console.rows("/nodes/two/tasks")] == ["qmstop"]
    assert console.rows("/nodes/one/tasks") == []
    (row,) = console.rows("/nodes/two/tasks")
    assert console.ask("GET", f"/nodes/one/tasks/{row['upid']}/status").status == 400


def test_a_local_storage_is_another_one_on_each_node_and_a_shared_one_is_the_same(
    console: Console,
) -> None:
    console.cluster.add_storage("share", "nfs")
    console.cluster.add_guest(102, node="three", disk=80 * GIB)

    def used(node: str, storage: str) -> object:
        return console.read(f"/nodes/{node}/storage/{storage}/status")["used"]

    def vmids(node: str, storage: str) -> set[object]:
        content = console.rows(f"/nodes/{node}/storage/{storage}/content")
        return {row["vmid"] for row in content}

    assert used("three", "local") == 10 * GIB + CLOUD_INIT
    assert vmids("three", "local") == {102}
    assert vmids("two", "local") == {101}
    copy: dict[str, ParamValue] = {"newid": 103, "full": 1, "storage": "share", "target": "two"}
    assert console.task("POST", "/nodes/three/qemu/102/clone", **copy) == "OK"
    assert used("one", "share") == used("two", "share") == 10 * GIB + CLOUD_INIT
    assert vmids("one", "share") == {103}
    rows = console.rows("/cluster/resources", type="storage")
    assert {row["disk"] for row in rows if row["storage"] == "share"} == {10 * GIB + CLOUD_INIT}


def test_an_archive_on_a_storage_of_each_node_is_where_it_was_put(console: Console) -> None:
    archive = console.cluster.add_os_template(nodes=("one", "two"))

    def seen(node: str) -> list[object]:
        rows = console.rows(f"/nodes/{node}/storage/local/content", content="vztmpl")
        return [row["volid"] for row in rows]

    def made(node: str, vmid: int) -> str | None:
        return console.task("POST", f"/nodes/{node}/lxc", vmid=vmid, ostemplate=archive)

    assert [seen(node) for node in ("one", "two", "three")] == [[archive], [archive], []]
    lacking = f"unable to create CT 300 - volume '{archive}' does not exist"
    assert made("three", 300) == lacking
    assert made("two", 300) == "OK"
    gone = f"/nodes/one/storage/local/content/{archive}"
    assert console.task("DELETE", gone) == "OK"
    assert [seen(node) for node in ("one", "two", "three")] == [[], [archive], []]


def test_an_archive_on_a_shared_storage_is_seen_by_all_nodes(console: Console) -> None:
    console.cluster.add_storage("share", "nfs")
    archive = console.cluster.add_os_template(storage="share", nodes=("one",))
    made = console.task("POST", "/nodes/three/lxc", vmid=300, ostemplate=archive)
    assert made == "OK"


@pytest.mark.rude_requests
def test_a_storage_that_a_node_does_not_have_is_not_offered_there(console: Console) -> None:
    console.cluster.add_storage("fast", "lvmthin", nodes=("two",))
    assert [row["storage"] for row in console.rows("/nodes/one/storage")] == ["local"]
    assert len(console.rows("/nodes/two/storage", content="images")) == 2
    assert [row["storage"] for row in console.rows("/nodes/two/storage", content="iso")] == [
        "local"
    ]
    response = console.ask("POST", "/nodes/one/qemu/9000/clone", newid=9, full=1, storage="fast")
    assert response.status == 400
    response = console.ask("POST", "/nodes/one/qemu/9000/clone", newid=218, full=1, storage="fast")
    assert response.reason == "storage 'fast' is not available on node 'one'"


@pytest.mark.parametrize(
    ("kind", "disk", "words"),
    [
        ("dir", "there:218/vm-218-disk-0.qcow2", "directory is expected to be a mount point"),
        ("nfs", "there:218/vm-218-disk-0.qcow2", "storage 'there' is not online"),
        ("lvmthin", "there:vm-218-disk-0", "storage 'there' is not online"),
        ("zfspool", "there:vm-218-disk-0", "storage 'there' is not online"),
    ],
)
def test_each_kind_of_storage_names_volumes_and_is_missed_in_its_own_way(
    kind: str, disk: str, words: str
) -> None:
    console = Console()
    storage = console.cluster.add_storage("there", kind)
    assert console.clone(full=1, storage="there") == "OK"
    assert console.read("/nodes/pve/qemu/218/config")["scsi0"] == f"{disk},size=4G"
    storage.active = False
    for call in ("status/start", "clone"):
        more: dict[str, ParamValue] = {"newid": 219, "full": 1} if call == "clone" else {}
        ended = console.task("POST", f"/nodes/pve/qemu/218/{call}", **more)
        assert ended is not None
        assert words in ended
    assert console.task("DELETE", "/nodes/pve/qemu/218") == "OK"
    assert console.cluster.inventory().leaked_volumes()


def test_a_storage_fills_up_and_a_copy_that_finds_no_room_leaves_nothing() -> None:
    console = Console()
    console.cluster.add_storage("small", "lvmthin", size=5 * GIB)
    assert console.clone(218, full=1, storage="small") == "OK"
    assert console.clone(219, full=1, storage="small") == "OK"
    full = console.cluster.inventory()
    used = console.read("/nodes/pve/storage/small/status")["used"]
    assert used == 2 * (GIB // 2 + CLOUD_INIT)
    ended = console.clone(220, full=1, storage="small")
    free = 5 * GIB - used - CLOUD_INIT
    assert ended == f"clone failed: not enough free space ({free} < {4 * GIB})"
    assert console.cluster.inventory().volumes == full.volumes
    assert 220 not in console.cluster.inventory().guests

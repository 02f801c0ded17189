"""Cloning in the simulated cluster; the facts were recorded from a genuine 8.4.21."""

import pytest

from provisioner.simulator.settings import Durations, Settings
from tests.support.simulated import QEMU, Console


@pytest.fixture
def console() -> Console:
    return Console()


def test_the_post_leaves_a_locked_config_without_an_owner(console: Console) -> None:
    console.data("POST", f"{QEMU}/9000/clone", newid=218, name="mine", description="identity")
    assert console.read(f"{QEMU}/218/config") == {
        "lock": "clone",
        "description": " qmclone temporary file",
        "digest": "eb54fb9d9f120ba0c3bdf694f73b10002c375c38",
    }
    assert console.read(f"{QEMU}/218/status/current")["name"] == "VM 218"


def test_name_and_description_come_before_the_disks_and_the_lock_goes_last(
    console: Console,
) -> None:
    console.data("POST", f"{QEMU}/9000/clone", newid=218, name="mine", description="identity")
    console.cluster.advance(0.3)
    halfway = console.read(f"{QEMU}/218/config")
    assert (halfway["name"], halfway["description"]) == ("mine", "identity")
    assert halfway["lock"] == "clone"
    assert "scsi0" not in halfway
    console.cluster.advance(1)
    done = console.read(f"{QEMU}/218/config")
    assert "lock" not in done
    assert done["scsi0"] == "local:9000/base-9000-disk-1.qcow2/218/vm-218-disk-0.qcow2,size=4G"


def test_a_fresh_clone_is_unknown_and_nameless_until_the_next_statistics_round(
    console: Console,
) -> None:
    console.cluster.advance_to(console.cluster.settings.start + 1)
    console.clone(name="mine")
    row = console.resource(218)
    assert row is not None
    assert (row["status"], row.get("name")) == ("unknown", None)
    console.cluster.advance(10)
    row = console.resource(218)
    assert row is not None
    assert (row["status"], row["name"]) == ("stopped", "mine")


def test_a_clone_inherits_what_it_should_not_keep_and_gets_a_new_mac_uuid_and_vmgenid(
    console: Console,
) -> None:
    console.clone()
    source, copy = console.read(f"{QEMU}/9000/config"), console.read(f"{QEMU}/218/config")
    for key in ("tags", "onboot", "ciuser", "ipconfig0", "description", "serial0"):
        assert copy[key] == source[key]
    assert copy["cipassword"] == "**********"
    assert copy["name"] == "Copy-of-VM-debian-template"
    assert "template" not in copy
    for key in ("net0", "smbios1", "vmgenid"):
        assert copy[key] != source[key]


def test_a_clone_inherits_the_whole_firewall(console: Console) -> None:
    console.clone()
    for path in ("options", "rules", "ipset", "aliases"):
        source = console.data("GET", f"{QEMU}/9000/firewall/{path}")
        assert source
        assert console.data("GET", f"{QEMU}/218/firewall/{path}") == source


def test_the_loser_of_a_race_for_a_vmid_is_refused_at_once(console: Console) -> None:
    console.data("POST", f"{QEMU}/9000/clone", newid=218)
    response = console.ask("POST", f"{QEMU}/9000/clone", newid=218)
    assert response.status == 500
    assert response.reason == "unable to create VM 218: config file already exists"


def test_nextid_knows_a_clone_from_its_first_moment(console: Console) -> None:
    assert console.data("GET", "/cluster/nextid", vmid=218) == "218"
    console.data("POST", f"{QEMU}/9000/clone", newid=218)
    response = console.ask("GET", "/cluster/nextid", vmid=218)
    assert (response.status, response.errors) == (400, {"vmid": "VM 218 already exists"})


def test_a_stopped_clone_leaves_nothing(console: Console) -> None:
    before = console.cluster.inventory()
    upid = console.data("POST", f"{QEMU}/9000/clone", newid=218, full=1)
    console.cluster.advance(0.5)
    assert console.ask("DELETE", f"/nodes/pve/tasks/{upid}").delay == 1.0
    assert console.ended(upid) == "clone failed: interrupted by signal"
    after = console.cluster.inventory()
    assert (after.guests, after.volumes) == (before.guests, before.volumes)
    assert after.firewalls == before.firewalls
    assert console.clone() == "OK"


def test_a_full_clone_makes_a_change_of_its_template_wait_ten_seconds_and_fail() -> None:
    console = Console()
    slow = 400 * 2**30
    console.cluster.add_guest(9001, disk=2**30, config={"template": 1})
    volume = console.cluster.state.volumes["local:9001/vm-9001-disk-1.qcow2"]
    volume.size = slow
    console.cluster.edit_guest(9001, scsi0=f"{volume.volid},size=400G")
    console.cluster.state.storages["local"].size = 2**45
    upid = console.data("POST", f"{QEMU}/9001/clone", newid=218, full=1)
    console.cluster.advance(1)
    for vmid in (9001, 218):
        response = console.ask("PUT", f"{QEMU}/{vmid}/config", description="x")
        lock = f"/var/lock/qemu-server/lock-{vmid}.conf"
        assert response.reason == f"can't lock file '{lock}' - got timeout"
        assert response.delay == 10.0
    assert console.data("POST", f"{QEMU}/9001/clone", newid=219, full=1)
    assert console.ended(upid) == "OK"
    assert console.ask("PUT", f"{QEMU}/9001/config", description="x").delay == 0


def test_a_lock_that_is_freed_in_time_lets_the_waiting_change_through(console: Console) -> None:
    console.data("POST", f"{QEMU}/9000/clone", newid=218)
    response = console.ask("PUT", f"{QEMU}/218/config", cores=2)
    assert response.status == 200
    assert response.delay == pytest.approx(0.65)
    assert console.read(f"{QEMU}/218/config")["cores"] == 2


def test_a_linked_clone_blocks_the_destruction_of_its_template(console: Console) -> None:
    console.clone()
    exit_status = console.task("DELETE", f"{QEMU}/9000")
    base = "local:9000/base-9000-disk-1.qcow2"
    assert exit_status == f"base volume '{base}' is still in use by linked cloned"


def test_the_clone_task_carries_the_vmid_of_its_source(console: Console) -> None:
    console.clone()
    assert [task["id"] for task in console.rows("/nodes/pve/tasks")] == ["9000"]
    assert console.rows("/nodes/pve/tasks", vmid=218) == []


def test_a_clone_to_another_node_needs_shared_storage() -> None:
    console = Console(Settings(nodes=("one", "two")))
    response = console.ask("POST", "/nodes/one/qemu/9000/clone", newid=218, target="two")
    assert response.reason == "can't clone VM to node 'two' (VM uses local storage)"
    shared = Console(Settings(nodes=("one", "two"), storage_shared=True))
    shared.data("POST", "/nodes/one/qemu/9000/clone", newid=218, target="two")
    shared.cluster.settle()
    assert shared.read("/nodes/two/qemu/218/config")["name"] == "Copy-of-VM-debian-template"


def on_thick_lvm() -> Console:
    """Return a console at a cluster whose template lies on thick LVM."""
    console = Console()
    console.cluster.state.storages["local"].kind = "lvm"
    console.cluster.add_template(9100)
    return console


def test_thick_lvm_has_no_linked_clones_not_even_of_a_template() -> None:
    """Source: the features of pve-storage's LVM plugin are `copy` and `rename`, on 8 and 9."""
    console = on_thick_lvm()
    refused = console.ask("POST", f"{QEMU}/9100/clone", newid=218)
    volume = "local:vm-9100-disk-1"
    assert (refused.status, refused.reason) == (
        500,
        f"Linked clone feature is not supported for '{volume}' (scsi0)",
    )
    assert console.task("POST", f"{QEMU}/9100/clone", newid=218, full=1) == "OK"
    assert console.read(f"{QEMU}/218/config")["scsi0"] == "local:vm-218-disk-0,size=4G"


def test_a_volume_on_thick_lvm_takes_all_of_its_size_and_grows_only_into_what_is_left() -> None:
    console = on_thick_lvm()
    before = sum(console.cluster.state.used().values())
    assert console.task("POST", f"{QEMU}/9100/clone", newid=218, full=1) == "OK"
    taken = sum(console.cluster.state.used().values()) - before
    assert taken == 4 * 2**30 + 4 * 2**20
    ended = console.task("PUT", f"{QEMU}/218/resize", disk="scsi0", size="900G")
    assert ended is not None
    assert "Insufficient free space" in ended
    refused = console.task("POST", f"{QEMU}/218/snapshot", snapname="kept")
    assert refused == "snapshot feature is not available"


def test_a_copy_takes_as_long_as_its_size_does_whatever_is_copied_to() -> None:
    durations = Durations(full_clone_rate=2**30)
    console = Console(Settings(durations=durations))
    console.cluster.add_storage("san", "lvm")
    began = console.cluster.now
    assert console.clone(full=1, storage="san") == "OK"
    assert 4 < console.cluster.now - began < 6
    assert console.read(f"{QEMU}/218/config")["scsi0"] == "san:vm-218-disk-0,size=4G"

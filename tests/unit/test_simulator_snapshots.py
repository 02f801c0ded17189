"""Snapshots in the simulated cluster, for both kinds of guest."""

import pytest

from provisioner.backends.proxmox.api import ParamValue
from tests.support.simulated import KEY, QEMU, Console

LXC = "/nodes/pve/lxc"
VM, CT = f"{QEMU}/218", f"{LXC}/219"
BOTH = pytest.mark.parametrize("path", [VM, CT])


@pytest.fixture
def console() -> Console:
    console = Console()
    console.cluster.add_storage("thin", "lvmthin")
    template = console.cluster.add_os_template()
    console.clone(218, name="machine", description="identity")
    given: dict[str, ParamValue] = {"vmid": 219, "rootfs": "thin:8", "description": "identity"}
    console.task("POST", LXC, ostemplate=template, ssh_public_keys=KEY, **given)
    return console


@BOTH
def test_a_rollback_brings_back_configuration_disks_and_what_was_on_them(
    console: Console, path: str
) -> None:
    guest = console.cluster.guest(int(path[-3:]))
    guest.os.files["/root/mark"] = "before"
    was = dict(guest.config)
    assert console.task("POST", f"{path}/snapshot", snapname="one", description="why") == "OK"
    guest.os.files["/root/mark"] = "after"
    disk = "rootfs" if path == CT else "scsi0"
    assert console.task("PUT", f"{path}/resize", disk=disk, size="20G") == "OK"
    console.data("PUT", f"{path}/config", memory=4096, description="another")
    console.cluster.start_guest(guest.vmid)
    assert console.task("POST", f"{path}/snapshot/one/rollback") == "OK"
    assert not guest.running
    assert guest.os.files["/root/mark"] == "before"
    now = dict(guest.config)
    assert now.pop("parent") == "one"
    assert str(now.pop("description")).strip() == "another"  # what people wrote about a guest stays
    del was["description"]
    for config in (was, now):
        config.pop("vmgenid", None)
    assert now == was
    assert console.cluster.state.volumes[str(was[disk]).split(",")[0]].size < 20 * 2**30


@BOTH
def test_a_deleted_snapshot_leaves_its_children_to_its_parent(console: Console, path: str) -> None:
    for name in ("one", "two", "three"):
        assert console.task("POST", f"{path}/snapshot", snapname=name) == "OK"
    assert console.task("DELETE", f"{path}/snapshot/two") == "OK"
    family = {row["name"]: row.get("parent") for row in console.rows(f"{path}/snapshot")}
    assert family == {"one": None, "three": "one", "current": "three"}
    assert console.task("DELETE", f"{path}/snapshot/three") == "OK"
    assert console.read(f"{path}/config")["parent"] == "one"
    assert console.task("DELETE", f"{path}/snapshot/two") == "snapshot 'two' does not exist"


@BOTH
def test_a_guest_is_locked_while_a_snapshot_is_taken(console: Console, path: str) -> None:
    upid = console.data("POST", f"{path}/snapshot", snapname="one")
    assert console.read(f"{path}/config")["lock"] == "snapshot"
    assert console.ended(upid) == "OK"
    assert "lock" not in console.read(f"{path}/config")
    console.cluster.edit_guest(int(path[-3:]), lock="backup")
    word = "CT" if path == CT else "VM"
    ended = console.task("POST", f"{path}/snapshot/one/rollback")
    assert ended == f"{word} is locked (backup)"


@BOTH
def test_a_snapshot_that_is_stopped_leaves_nothing(console: Console, path: str) -> None:
    upid = console.data("POST", f"{path}/snapshot", snapname="one")
    console.data("DELETE", f"/nodes/pve/tasks/{upid}")
    assert console.ended(upid) == "received interrupt"
    assert [row["name"] for row in console.rows(f"{path}/snapshot")] == ["current"]
    assert "lock" not in console.read(f"{path}/config")


def test_a_container_on_a_directory_has_no_snapshots(console: Console) -> None:
    console.cluster.add_container(300)
    ended = console.task("POST", f"{LXC}/300/snapshot", snapname="one")
    assert ended == "snapshot feature is not available"


def test_a_copy_of_a_snapshot_is_what_the_machine_was(console: Console) -> None:
    console.data("PUT", f"{VM}/config", cores=3)
    assert console.task("POST", f"{VM}/snapshot", snapname="one") == "OK"
    console.data("PUT", f"{VM}/config", cores=1)
    given: dict[str, ParamValue] = {"newid": 220, "snapname": "one", "full": 1}
    assert console.task("POST", f"{VM}/clone", **given) == "OK"
    copy = console.read(f"{QEMU}/220/config")
    assert copy["cores"] == 3
    assert "parent" not in copy
    assert [row["name"] for row in console.rows(f"{QEMU}/220/snapshot")] == ["current"]


@BOTH
def test_a_guest_with_snapshots_becomes_no_template(console: Console, path: str) -> None:
    assert console.task("POST", f"{path}/snapshot", snapname="one") == "OK"
    word = "CT" if path == CT else "VM"
    response = console.ask("POST", f"{path}/template")
    assert response.reason == f"unable to create template, because {word} contains snapshots"


@BOTH
def test_a_destroyed_guest_takes_its_snapshots_along(console: Console, path: str) -> None:
    assert console.task("POST", f"{path}/snapshot", snapname="one") == "OK"
    assert console.task("DELETE", path) == "OK"
    assert console.cluster.inventory().leaked_volumes() == ()

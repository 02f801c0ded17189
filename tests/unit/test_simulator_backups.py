"""Backups in the simulated cluster, and machines that come back from them."""

from dataclasses import replace

import pytest

from provisioner.backends.proxmox.api import ParamValue
from provisioner.simulator.settings import Durations, Settings
from provisioner.simulator.state import Grant, Token
from tests.support.simulated import KEY, QEMU, Console

LXC = "/nodes/pve/lxc"
CONTENT = "/nodes/pve/storage/local/content"
GIB = 2**30


@pytest.fixture
def console() -> Console:
    console = Console()
    template = console.cluster.add_os_template()
    console.clone(218, name="machine", description="identity")
    console.task("POST", LXC, vmid=219, ostemplate=template, ssh_public_keys=KEY, hostname="box")
    return console


def backup(console: Console, vmid: int, **params: ParamValue) -> str:
    ended = console.task("POST", "/nodes/pve/vzdump", vmid=vmid, compress="zstd", **params)
    assert ended == "OK"
    return str(console.rows(CONTENT, content="backup", vmid=vmid)[-1]["volid"])


def text_of(console: Console, upid: object) -> list[object]:
    return [row["t"] for row in console.rows(f"/nodes/pve/tasks/{upid}/log", limit=0)]


def test_a_backup_is_named_after_its_guest_and_time_and_takes_room(console: Console) -> None:
    before = console.read("/nodes/pve/storage/local/status")["used"]
    console.cluster.advance_to(1_795_367_773)
    for vmid, name in (
        (219, "vzdump-lxc-219-2026_11_22-17_16_13.tar.zst"),
        (218, "vzdump-qemu-218-2026_11_22-17_16_16.vma.zst"),
    ):
        assert backup(console, vmid).startswith(f"local:backup/{name[:34]}")
    machine, box = console.rows(CONTENT, content="backup")[::-1]
    assert (machine["subtype"], machine["format"], machine["vmid"]) == ("qemu", "vma.zst", 218)
    assert (box["subtype"], box["format"]) == ("lxc", "tar.zst")
    after = console.read("/nodes/pve/storage/local/status")["used"]
    assert isinstance(before, int)
    assert after == before + int(str(machine["size"])) + int(str(box["size"]))


def test_a_guest_is_locked_while_it_is_backed_up(console: Console) -> None:
    upid = console.data("POST", "/nodes/pve/vzdump", vmid=218)
    assert console.read(f"{QEMU}/218/config")["lock"] == "backup"
    assert console.task("DELETE", f"{QEMU}/218") == "VM is locked (backup)"
    assert console.ended(upid) == "OK"
    assert "lock" not in console.read(f"{QEMU}/218/config")


def test_a_node_makes_one_backup_after_the_other() -> None:
    console = Console(Settings(durations=Durations(backup_rate=1e6)))
    console.clone(218)
    console.clone(219)
    first = console.data("POST", "/nodes/pve/vzdump", vmid=218)
    second = console.data("POST", "/nodes/pve/vzdump", vmid=219)
    assert "lock" not in console.read(f"{QEMU}/219/config")
    assert (console.ended(first), console.ended(second)) == ("OK", "OK")
    tasks = console.cluster.state.tasks
    halfway, end = (tasks[str(upid)].ended or 0 for upid in (first, second))
    begun = tasks[str(first)].started
    assert end - halfway == pytest.approx(halfway - begun, abs=1)


def test_only_the_log_says_why_a_backup_failed(console: Console) -> None:
    console.cluster.edit_guest(218, lock="migrate")
    upid = console.data("POST", "/nodes/pve/vzdump", vmid="218,219,555")
    assert console.ended(upid) == "job errors"
    log = text_of(console, upid)
    assert "ERROR: Backup of VM 218 failed - VM is locked (migrate)" in log
    assert "ERROR: Backup of VM 555 failed - unable to find VM '555'" in log
    assert set(console.cluster.inventory().backups.values()) == {219}


def test_a_backup_that_does_not_fit_is_not_kept(console: Console) -> None:
    console.cluster.add_storage("tiny", size=2**20)
    upid = console.data("POST", "/nodes/pve/vzdump", vmid=218, storage="tiny")
    assert console.ended(upid) == "job errors"
    assert console.cluster.inventory().backups == {}
    assert "lock" not in console.read(f"{QEMU}/218/config")


def test_disks_alone_cannot_keep_a_backup(console: Console) -> None:
    console.cluster.add_storage("thin", "lvmthin")
    ended = console.task("POST", "/nodes/pve/vzdump", vmid=218, storage="thin")
    assert ended is not None
    assert ended.endswith("can't use storage 'thin' for backups - wrong content type")


@pytest.mark.parametrize(
    ("vmid", "path", "word"), [(218, QEMU, "archive"), (219, LXC, "ostemplate")]
)
def test_a_destroyed_guest_comes_back_as_what_it_was(
    console: Console, vmid: int, path: str, word: str
) -> None:
    console.data("PUT", f"{path}/{vmid}/firewall/options", enable=1, macfilter=1)
    was = console.read(f"{path}/{vmid}/config")
    facts = console.cluster.inventory().guests[vmid]
    volid = backup(console, vmid)
    assert console.task("DELETE", f"{path}/{vmid}", purge=1) == "OK"
    assert console.cluster.inventory().leaked_volumes() == ()
    more: dict[str, ParamValue] = {"restore": 1} if path == LXC else {}
    upid = console.data("POST", path, vmid=vmid, **{word: volid}, **more)
    assert console.read(f"{path}/{vmid}/config").keys() == {"lock", "digest"}
    assert console.ended(upid) == "OK"
    now = console.read(f"{path}/{vmid}/config")
    for new in ("digest", "vmgenid", "scsi0"):
        was.pop(new, None)
        now.pop(new, None)
    assert now == was
    again = console.cluster.inventory().guests[vmid]
    assert again.authorized_keys == facts.authorized_keys
    assert console.read(f"{path}/{vmid}/firewall/options")["macfilter"] == 1


def test_a_restored_linked_clone_stands_alone(console: Console) -> None:
    volid = backup(console, 218)
    console.task("DELETE", f"{QEMU}/218")
    assert console.task("POST", QEMU, vmid=218, archive=volid) == "OK"
    assert console.read(f"{QEMU}/218/config")["scsi0"] == "local:218/vm-218-disk-0.qcow2,size=4G"


def test_another_guest_is_only_replaced_by_force_and_never_while_it_runs(console: Console) -> None:
    volid = backup(console, 218)
    response = console.ask("POST", QEMU, vmid=218, archive=volid)
    taken = "unable to restore VM 218 - VM 218 already exists on node 'pve'"
    assert (response.status, response.reason) == (500, taken)
    console.task("POST", f"{QEMU}/218/status/start")
    response = console.ask("POST", QEMU, vmid=218, archive=volid, force=1)
    assert response.reason == "unable to restore VM 218 - vm is running"
    console.task("POST", f"{QEMU}/218/status/stop")
    console.data("PUT", f"{QEMU}/218/config", name="changed", protection=1)
    response = console.ask("POST", QEMU, vmid=218, archive=volid, force=1)
    assert response.reason == "unable to restore VM 218 - protection mode enabled"
    console.data("PUT", f"{QEMU}/218/config", protection=0)
    assert console.task("POST", QEMU, vmid=218, archive=volid, force=1) == "OK"
    assert console.read(f"{QEMU}/218/config")["name"] == "machine"
    volumes = console.cluster.state.volumes_of(218)
    assert len(volumes) == 2


def test_replacing_a_stranger_s_guest_by_force_is_a_touch(console: Console) -> None:
    volid = backup(console, 218)
    assert console.cluster.inventory().foreign_touched == {}
    console.cluster.add_guest(300, created_by="somebody@pam")
    assert console.task("POST", QEMU, vmid=300, archive=volid, force=1) == "OK"
    assert console.cluster.inventory().foreign_touched == {"root@pam!sim": (300,)}


def test_a_copy_of_a_backup_gets_macs_of_its_own_if_asked(console: Console) -> None:
    volid = backup(console, 218)
    assert console.task("POST", QEMU, vmid=220, archive=volid, unique=1) == "OK"
    first, second = (console.read(f"{QEMU}/{vmid}/config") for vmid in (218, 220))
    assert first["net0"] != second["net0"]
    assert first["smbios1"] == second["smbios1"]
    assert first["description"] == second["description"] == "identity"


def test_a_restore_that_is_stopped_or_finds_no_room_leaves_things_as_they_were(
    console: Console,
) -> None:
    volid = backup(console, 218)
    console.cluster.add_storage("tiny", size=2**20)
    before = console.cluster.inventory()
    ended = console.task("POST", QEMU, vmid=220, archive=volid, storage="tiny")
    assert ended is not None
    assert ended.startswith("unable to restore VM 220 - not enough free space")
    upid = console.data("POST", QEMU, vmid=218, archive=volid, force=1)
    console.data("DELETE", f"/nodes/pve/tasks/{upid}")
    assert console.ended(upid) == "unable to restore VM 218 - received interrupt"
    after = console.cluster.inventory()
    assert (after.guests, after.volumes) == (before.guests, before.volumes)


def test_a_deleted_backup_is_gone(console: Console) -> None:
    volid = backup(console, 218)
    upid = console.data("DELETE", f"{CONTENT}/{volid}")
    assert ":imgdel:218@local:" in str(upid)
    assert console.ended(upid) == "OK"
    assert console.rows(CONTENT, content="backup") == []
    response = console.ask("POST", QEMU, vmid=220, archive=volid)
    assert (response.status, response.reason) == (500, f"volume '{volid}' does not exist")


def test_somebody_s_backup_is_not_for_everybody(console: Console) -> None:
    volid = backup(console, 218)
    space = Grant("/storage", frozenset({"Datastore.AllocateSpace", "Datastore.Audit"}))
    grants = (space, Grant("/vms/220", frozenset({"VM.Allocate"})))
    console.cluster.add_token(Token("a@pve!b", "secret", everything=False, grants=grants))
    console.token = "a@pve!b=secret"
    assert console.rows(CONTENT, content="backup") == []
    for method, path, params in (
        ("POST", "/nodes/pve/vzdump", {"vmid": 218}),
        ("POST", QEMU, {"vmid": 220, "archive": volid}),
        ("DELETE", f"{CONTENT}/{volid}", {}),
    ):
        response = console.ask(method, path, **params)
        assert response.reason == "Permission check failed (/vms/218, VM.Backup)"
        assert response.status == 403


def test_a_backup_is_touched_by_others_than_who_made_it(console: Console) -> None:
    ours, theirs = backup(console, 218), backup(console, 219)
    files = console.cluster.state.files
    files[theirs] = replace(files[theirs], made_by="somebody@pam")
    for vmid in (218, 219):
        assert console.task("DELETE", f"{QEMU if vmid == 218 else LXC}/{vmid}") == "OK"
        console.cluster.add_guest(vmid, created_by="somebody@pam")
    assert console.task("DELETE", f"{CONTENT}/{ours}") == "OK"
    assert console.cluster.inventory().foreign_touched == {}
    assert console.task("DELETE", f"{CONTENT}/{theirs}") == "OK"
    assert console.cluster.inventory().foreign_touched == {"root@pam!sim": (219,)}

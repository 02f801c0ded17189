"""Containers in the simulated cluster; the facts were recorded from a genuine 8.4.21."""

import pytest

from provisioner.backends.proxmox.api import ParamValue
from provisioner.simulator.outages import power_cycle
from provisioner.simulator.state import Grant, Token
from tests.support.simulated import KEY, QEMU, Console

LXC = "/nodes/pve/lxc"
MEANT: dict[str, ParamValue] = {
    "rootfs": "local:8",
    "hostname": "lease-1",
    "memory": 1024,
    "unprivileged": 1,
    "features": "nesting=1",
    "net0": "name=eth0,bridge=vmbr0,ip=192.0.2.70/24,gw=192.0.2.1,hwaddr=02:C4:A1:00:00:05",
    "ssh_public_keys": KEY,
    "description": "identity",
    "tags": "lease",
}


@pytest.fixture
def console() -> Console:
    console = Console()
    console.cluster.add_os_template()
    return console


def create(console: Console, vmid: ParamValue = 218, **params: ParamValue) -> str | None:
    template = "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst"
    given: dict[str, ParamValue] = {"vmid": vmid, "ostemplate": template, **MEANT, **params}
    return console.task("POST", LXC, **given)


def test_a_container_is_locked_and_empty_until_its_archive_is_unpacked(console: Console) -> None:
    template = console.cluster.add_os_template()
    console.data("POST", LXC, vmid=218, ostemplate=template, **MEANT)
    config = console.read(f"{LXC}/218/config")
    assert config == {"lock": "create", "digest": "a7e9f8c42935261b36fcd1d7d6cd8cd41648da49"}
    assert console.read(f"{LXC}/218/status/current")["name"] == "CT218"
    assert console.ask("PUT", f"{LXC}/218/config", cores=2).reason == "CT is locked (create)"
    console.cluster.settle()
    config = console.read(f"{LXC}/218/config")
    assert config["net0"] == (
        "name=eth0,bridge=vmbr0,gw=192.0.2.1,hwaddr=02:C4:A1:00:00:05,ip=192.0.2.70/24,type=veth"
    )
    assert config["rootfs"] == "local:218/vm-218-disk-0.raw,size=8G"
    assert (config["description"], config["swap"]) == ("identity\n", 512)
    assert "lock" not in config


def test_the_key_it_was_created_with_opens_a_running_container(console: Console) -> None:
    assert create(console, start=1) == "OK"
    assert not console.cluster.admits(218, KEY)
    console.cluster.advance(10)
    assert console.cluster.admits(218, KEY)
    assert console.cluster.guest(218).os.hostname == "lease-1"


@pytest.mark.parametrize(
    ("params", "wrong"),
    [
        ({"ostemplate": "local:vztmpl/none.tar.zst"}, "volume 'local:vztmpl/none.tar.zst' does"),
        ({"rootfs": "local:0.1"}, "command 'lxc-usernsexec"),
    ],
)
def test_a_create_that_fails_leaves_nothing(
    console: Console, params: dict[str, ParamValue], wrong: str
) -> None:
    before = console.cluster.inventory()
    ended = create(console, **params)
    assert ended is not None
    assert ended.startswith(f"unable to create CT 218 - {wrong}")
    after = console.cluster.inventory()
    assert (after.guests, after.volumes) == (before.guests, before.volumes)


def test_a_create_that_is_stopped_leaves_what_was_there_before(console: Console) -> None:
    template = console.cluster.add_os_template()
    upid = console.data("POST", LXC, vmid=218, ostemplate=template, **MEANT)
    console.data("DELETE", f"/nodes/pve/tasks/{upid}")
    assert console.ended(upid) == "unable to create CT 218 - received interrupt"
    assert 218 not in console.cluster.inventory().guests
    assert console.cluster.inventory().leaked_volumes() == ()


def test_a_vmid_belongs_to_one_guest_of_either_kind(console: Console) -> None:
    create(console)
    taken = console.ask("POST", LXC, vmid=9000, ostemplate="local:vztmpl/x.tar.zst")
    assert taken.reason == "VM 9000 already exists on node 'pve'"
    clone = console.ask("POST", f"{QEMU}/9000/clone", newid=218)
    assert clone.reason == "unable to create VM 218 - CT 218 already exists on node 'pve'"
    assert console.ask("GET", "/cluster/nextid", vmid=218).status == 400
    missing = console.ask("GET", f"{QEMU}/218/config")
    assert missing.reason == "Configuration file 'nodes/pve/qemu-server/218.conf' does not exist"
    kinds = {row["vmid"]: row["id"] for row in console.rows("/cluster/resources", type="vm")}
    assert kinds == {9000: "qemu/9000", 218: "lxc/218"}
    assert [row["vmid"] for row in console.rows("/nodes/pve/qemu")] == [9000]
    assert [row["vmid"] for row in console.rows(LXC)] == [218]


def test_a_copy_has_another_mac_and_its_source_is_locked_meanwhile(console: Console) -> None:
    create(console, protection=1, onboot=1)
    upid = console.data("POST", f"{LXC}/218/clone", newid=219, hostname="copy")
    assert console.ask("POST", f"{LXC}/218/clone", newid=220).reason == "CT is locked (disk)"
    assert console.read(f"{LXC}/219/config").keys() == {"lock", "digest"}
    assert console.ended(upid) == "OK"
    source, copy = console.read(f"{LXC}/218/config"), console.read(f"{LXC}/219/config")
    assert "lock" not in source
    assert copy["hostname"] == "copy"
    assert copy["rootfs"] == "local:219/vm-219-disk-0.raw,size=8G"
    assert copy["net0"] != source["net0"]
    for key in ("description", "tags", "protection", "onboot", "features", "memory"):
        assert copy[key] == source[key]
    assert console.cluster.guest(219).os.accepts(KEY)


def test_a_clone_that_is_stopped_leaves_nothing_and_unlocks_its_source(console: Console) -> None:
    create(console)
    before = console.cluster.inventory()
    upid = console.data("POST", f"{LXC}/218/clone", newid=219)
    console.data("DELETE", f"/nodes/pve/tasks/{upid}")
    assert console.ended(upid) == "clone failed: interrupted by signal"
    after = console.cluster.inventory()
    assert (after.guests, after.volumes) == (before.guests, before.volumes)


def test_a_node_that_goes_down_in_a_clone_leaves_locks_behind(console: Console) -> None:
    create(console)
    console.data("POST", f"{LXC}/218/clone", newid=219)
    power_cycle(console.cluster.state, "pve")
    console.cluster.advance(120)
    assert console.ask("DELETE", f"{LXC}/218").reason == "CT is locked (disk)"
    assert console.ask("DELETE", f"{LXC}/219").reason == "CT is locked (create)"


@pytest.mark.parametrize(
    ("kind", "copy"),
    [
        ("lvmthin", "fast:vm-219-disk-0,size=8G"),
        ("zfspool", "fast:basevol-218-disk-0/subvol-219-disk-0,size=8G"),
    ],
)
def test_a_template_has_linked_clones_where_its_storage_can(
    console: Console, kind: str, copy: str
) -> None:
    console.cluster.add_storage("fast", kind)
    create(console, rootfs="fast:8")
    assert console.data("POST", f"{LXC}/218/template") is None
    console.cluster.settle()
    assert console.task("POST", f"{LXC}/218/clone", newid=219) == "OK"
    assert console.read(f"{LXC}/219/config")["rootfs"] == copy
    still = console.task("DELETE", f"{LXC}/218")
    assert still is not None
    assert still.endswith("is still in use by linked clones")
    assert console.task("DELETE", f"{LXC}/219") == "OK"
    assert console.task("DELETE", f"{LXC}/218") == "OK"


def test_a_destroyed_container_leaves_nothing(console: Console) -> None:
    before = console.cluster.inventory()
    console.cluster.add_pool("rented")
    create(console, pool="rented", start=1)
    console.data("PUT", f"{LXC}/218/firewall/options", enable=1)
    refused = console.ask("DELETE", f"{LXC}/218")
    assert refused.reason == "unable to destroy CT 218 - container is running"
    assert console.task("POST", f"{LXC}/218/status/stop") == "OK"
    assert console.task("DELETE", f"{LXC}/218", purge=1) == "OK"
    after = console.cluster.inventory()
    assert (after.guests.keys(), after.volumes) == (before.guests.keys(), before.volumes)
    assert after.firewalls == before.firewalls
    assert console.cluster.state.pools["rented"].members == set()


def test_a_container_that_ignores_its_shutdown_runs_on_unless_forced(console: Console) -> None:
    create(console, start=1)
    console.cluster.guest(218).ignores_acpi = True
    ended = console.task("POST", f"{LXC}/218/status/shutdown", timeout=5)
    assert ended == "command 'lxc-stop -n 218 --nokill --timeout 5' failed: exit code 1"
    assert console.cluster.guest(218).running
    assert console.task("POST", f"{LXC}/218/status/shutdown", timeout=5, forceStop=1) == "OK"
    assert not console.cluster.guest(218).running


def test_a_change_waits_ten_seconds_for_a_shutdown_and_then_gives_up(console: Console) -> None:
    create(console, start=1)
    console.cluster.guest(218).ignores_acpi = True
    console.data("POST", f"{LXC}/218/status/shutdown", timeout=30)
    response = console.ask("PUT", f"{LXC}/218/config", onboot=0)
    assert response.delay == 10
    assert response.reason == "can't lock file '/run/lock/lxc/pve-config-218.lock' - got timeout"


def test_what_a_running_container_cannot_take_over_is_pending_until_it_stops(
    console: Console,
) -> None:
    create(console, start=1)
    console.data("PUT", f"{LXC}/218/config", memory=2048, nameserver="192.0.2.53", delete="tty")
    rows = {row["key"]: row for row in console.rows(f"{LXC}/218/pending")}
    assert rows["memory"] == {"key": "memory", "value": 2048}
    assert rows["nameserver"] == {"key": "nameserver", "pending": "192.0.2.53"}
    assert "nameserver" not in console.read(f"{LXC}/218/config", current=1)
    console.task("POST", f"{LXC}/218/status/stop")
    assert console.read(f"{LXC}/218/config", current=1)["nameserver"] == "192.0.2.53"


def test_a_container_that_starts_on_boot_is_started_after_an_outage(console: Console) -> None:
    create(console, onboot=1)
    create(console, 219, onboot=0)
    power_cycle(console.cluster.state, "pve")
    console.cluster.advance(90)
    facts = console.cluster.inventory()
    assert (facts.guests[218].power, facts.guests[219].power) == ("running", "stopped")
    assert [(task.kind, task.id) for task in facts.tasks if task.token == "root@pam"] == [
        ("startall", ""),
        ("vzstart", "218"),
    ]


def test_a_privilege_that_a_create_lacks_is_named(console: Console) -> None:
    privileges = frozenset({"VM.Allocate", "VM.Config.Options", "VM.Config.Network", "SDN.Use"})
    grants = (Grant("/vms", privileges), Grant("/storage", frozenset({"Datastore.AllocateSpace"})))
    console.cluster.add_token(Token("a@pve!b", "secret", everything=False, grants=grants))
    console.token = "a@pve!b=secret"
    template = console.cluster.add_os_template()
    needs = {"memory": "VM.Config.Memory", "rootfs": "VM.Config.Disk", "cores": "VM.Config.CPU"}
    for key, privilege in needs.items():
        value: ParamValue = "local:8" if key == "rootfs" else 64
        response = console.ask("POST", LXC, vmid=218, ostemplate=template, **{key: value})
        assert response.status == 403
        assert response.reason == f"Permission check failed (/vms/218, {privilege})"
    bridge = "name=eth0,bridge=vmbr0"
    response = console.ask("POST", LXC, vmid=218, ostemplate=template, net0=bridge)
    assert response.reason == ("Permission check failed (/sdn/zones/localnetwork/vmbr0, SDN.Use)")


def test_an_os_template_is_listed_apart_from_the_disks_of_guests(console: Console) -> None:
    create(console)
    content = "/nodes/pve/storage/local/content"
    (archive,) = console.rows(content, content="vztmpl")
    assert archive["format"] == "tzst"
    (root,) = console.rows(content, content="rootdir")
    assert (root["vmid"], root["volid"]) == (218, "local:218/vm-218-disk-0.raw")
    assert {row["vmid"] for row in console.rows(content, content="images")} == {9000}

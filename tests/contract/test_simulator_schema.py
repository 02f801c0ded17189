"""Everything a machine's life asks and is told fits the official API schema.

The life is played through the in-process transport; every exchange is held against the schema next
to the repository (8.4) and against the one in the pip package (9.2).
"""

from urllib.parse import quote

import pytest

from provisioner.backends.proxmox.api import JsonValue, ParamValue
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.direct import DirectApi
from provisioner.simulator.routes import ROUTES
from tests.support import pve_schema
from tests.support.pve_schema import SchemaViolation, check_exchange

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILXVTDnmZnHJcxufRx5YXYJizU9Ulj8Mkwgtjc8zTUx4 a@b"
GUEST = "/nodes/pve/qemu/218"
GUEST_AGENT = {
    f"VM.GuestAgent.{each}"
    for each in ("Audit", "FileRead", "FileSystemMgmt", "FileWrite", "Unrestricted")
}
SCHEMAS = {"next to the repository": pve_schema.paths, "in the package": pve_schema.packaged_paths}
EACH_SCHEMA = pytest.mark.parametrize(
    "which", [pytest.param("next to the repository", marks=pve_schema.beside()), "in the package"]
)


class Checked:
    """An API whose every exchange is checked, and remembered."""

    def __init__(self, cluster: Cluster, schemas: pve_schema.Schemas) -> None:
        self.api = DirectApi(cluster)
        self.cluster = cluster
        self.schemas = schemas
        self.seen: set[tuple[str, str]] = set()

    async def __call__(self, method: str, path: str, **params: ParamValue) -> JsonValue:
        given = {name.replace("_", "-"): value for name, value in params.items()}
        data = await self.api.call(method, path, given)
        check_exchange(method, path, given, data, self.schemas)
        self.seen.add((method, pve_schema.find(path, self.schemas)[0]))
        return data

    async def task(self, method: str, path: str, **params: ParamValue) -> None:
        upid = await self(method, path, **params)
        self.cluster.settle()
        told = pve_schema.an_object(await self("GET", f"/nodes/pve/tasks/{upid}/status"))
        assert told["exitstatus"] == "OK"
        await self("GET", f"/nodes/pve/tasks/{upid}/log")


async def live(api: Checked) -> None:
    """Play a machine's life from the clone to the destroy."""
    for path in ("/version", "/access/permissions", "/access/acl", "/nodes", "/pools", "/storage"):
        await api("GET", path)
    for path in ("status", "resources", "tasks", "ha/status/current"):
        await api("GET", f"/cluster/{path}")
    for path in ("status", "qemu", "storage", "tasks", "storage/local/content"):
        await api("GET", f"/nodes/pve/{path}")
    await api("GET", "/pools/rented")
    await api("GET", "/cluster/nextid", vmid=218)
    await api.task("POST", "/nodes/pve/qemu/9000/clone", newid=218, name="a", pool="rented")
    await configure(api)
    await gather(api)
    await api.task("PUT", f"{GUEST}/resize", disk="scsi0", size="20G")
    await api.task("POST", f"{GUEST}/status/start")
    api.cluster.advance(30)
    await talk(api)
    await api.task("POST", f"{GUEST}/status/reset")
    await api.task("POST", f"{GUEST}/status/suspend")
    await api.task("POST", f"{GUEST}/status/resume")
    api.cluster.advance(30)
    await api.task("POST", f"{GUEST}/status/reboot", timeout=20)
    await api("GET", f"{GUEST}/status/current")
    await api.task("POST", f"{GUEST}/status/shutdown", timeout=20, forceStop=1)
    await api.task("POST", f"{GUEST}/status/stop")
    await api("GET", "/cluster/resources", type="vm")
    await api("GET", "/nodes/pve/tasks", since=1, limit=50, source="all")
    await snapshots(api, GUEST)
    await api.task("POST", "/nodes/pve/vzdump", vmid="218", storage="local", mode="snapshot")
    await api.task("DELETE", GUEST, purge=1, destroy_unreferenced_disks=0)
    (backup,) = api.cluster.inventory().backups
    again: dict[str, ParamValue] = {
        "vmid": 218,
        "archive": backup,
        "pool": "rented",
        "storage": "local",
    }
    await api.task("POST", "/nodes/pve/qemu", **again)
    await api("GET", "/nodes/pve/storage/local/status")
    await be_highly_available(api)
    await look_at_consoles(api)


async def gather(api: Checked) -> None:
    """Make a pool, put the machine and a storage into it, and take it all apart again."""
    await api("POST", "/pools", poolid="other", comment="kept")
    await api("PUT", "/pools", poolid="other", vms="218", storage="local", allow_move=1)
    await api("GET", "/pools/other")
    await api("GET", "/pools", poolid="other")
    await api("PUT", "/pools/other", vms="218", storage="local", delete=1)
    await api("DELETE", "/pools", poolid="other")
    await api("PUT", "/pools/rented", vms="218")


async def be_highly_available(api: Checked) -> None:
    """Put the machine under HA, have it started and stopped by it, and take it out again."""
    resources = "/cluster/ha/resources"
    await api("POST", resources, sid="vm:218", state="stopped", comment="kept")
    await api("GET", resources)
    await api("GET", f"{resources}/vm:218")
    await api.task("POST", f"{GUEST}/status/start")
    await api("GET", f"{GUEST}/status/current")
    await api("PUT", f"{resources}/vm:218", state="ignored")
    await api("DELETE", f"{resources}/vm:218")


async def look_at_consoles(api: Checked) -> None:
    """Open each kind of console, and connect to one."""
    told = pve_schema.an_object(await api("POST", f"{GUEST}/vncproxy", websocket=1))
    place = {"port": str(told["port"]), "vncticket": str(told["ticket"])}
    await api("GET", f"{GUEST}/vncwebsocket", **place)
    await api("POST", f"{GUEST}/termproxy", serial="serial0")


async def snapshots(api: Checked, guest: str) -> None:
    """Take a snapshot of a guest, go back to it, and delete it."""
    await api.task("POST", f"{guest}/snapshot", snapname="before", description="a change")
    await api("GET", f"{guest}/snapshot")
    await api("GET", f"{guest}/snapshot/before/config")
    await api.task("POST", f"{guest}/snapshot/before/rollback")
    await api.task("DELETE", f"{guest}/snapshot/before")


async def configure(api: Checked) -> None:
    """Give the machine its configuration and take its inheritance away."""
    config = pve_schema.an_object(await api("GET", f"{GUEST}/config"))
    await api(
        "PUT",
        f"{GUEST}/config",
        cores=2,
        memory=2048,
        net0="virtio=BC:24:11:00:02:18,bridge=vmbr0,firewall=1",
        ipconfig0="ip=192.0.2.18/24,gw=192.0.2.1,ip6=2001:db8::18/64,gw6=2001:db8::1",
        nameserver="192.0.2.53",
        ciuser="owner",
        sshkeys=quote(KEY, safe=""),
        smbios1="uuid=11111111-2222-4333-8444-555555555555",
        tags="lease",
        onboot=1,
        protection=0,
        agent="enabled=1",
        delete="cipassword,searchdomain",
        digest=str(config["digest"]),
    )
    await api.task("POST", f"{GUEST}/config", description="ours")
    await api("GET", f"{GUEST}/pending")
    await api("GET", f"{GUEST}/feature", feature="snapshot")
    await api("GET", "/cluster/firewall/options")
    for path in ("firewall/options", "firewall/rules", "firewall/ipset", "firewall/aliases"):
        await api("GET", f"{GUEST}/{path}")
    await api("GET", f"{GUEST}/firewall/rules/0")
    await api("PUT", f"{GUEST}/firewall/rules/0", comment="a guest's")
    await api("DELETE", f"{GUEST}/firewall/rules/0")
    await api("POST", f"{GUEST}/firewall/rules", type="in", action="DROP")
    await api("GET", f"{GUEST}/firewall/ipset/admins")
    await api("DELETE", f"{GUEST}/firewall/ipset/admins/198.51.100.0%2F24")
    await api("DELETE", f"{GUEST}/firewall/ipset/admins")
    await api("POST", f"{GUEST}/firewall/ipset", name="mine")
    await api("POST", f"{GUEST}/firewall/ipset/mine", cidr="192.0.2.18")
    await api("DELETE", f"{GUEST}/firewall/aliases/office")
    await api("POST", f"{GUEST}/firewall/aliases", name="home", cidr="192.0.2.1")
    await api("PUT", f"{GUEST}/firewall/options", enable=1, ipfilter=1, macfilter=1)


async def talk(api: Checked) -> None:
    """Ask the guest agent everything it knows."""
    await api("POST", f"{GUEST}/agent/ping")
    for name in ("host-name", "osinfo", "time", "timezone", "users", "vcpus", "memory-blocks"):
        await api("GET", f"{GUEST}/agent/get-{name}")
    await api("GET", f"{GUEST}/agent/info")
    await api("POST", f"{GUEST}/agent", command="ping")
    await api("GET", f"{GUEST}/agent/network-get-interfaces")
    started = await api("POST", f"{GUEST}/agent/exec", command=("true",))
    pid = pve_schema.an_object(started)["pid"]
    await api("GET", f"{GUEST}/agent/exec-status", pid=int(str(pid)))
    await api("POST", f"{GUEST}/agent/file-write", file="/etc/motd", content="hello")
    await api("GET", f"{GUEST}/agent/file-read", file="/etc/motd")
    await api("POST", f"{GUEST}/agent/set-user-password", username="owner", password="secret")


async def live_in_a_container(api: Checked) -> None:
    """Play a container's life from the create to the destroy."""
    container = "/nodes/pve/lxc/300"
    await api.task(
        "POST",
        "/nodes/pve/lxc",
        vmid=300,
        ostemplate=api.cluster.add_os_template(),
        rootfs="local:8",
        hostname="lease-1",
        memory=512,
        swap=0,
        cores=1,
        unprivileged=1,
        features="nesting=1",
        net0="name=eth0,bridge=vmbr0,ip=192.0.2.70/24,gw=192.0.2.1,firewall=1",
        ssh_public_keys=KEY,
        password="secret",
        description="ours",
        tags="lease",
        pool="rented",
    )
    for path in ("config", "pending", "status/current", "interfaces", "firewall/options"):
        await api("GET", f"{container}/{path}")
    await api("GET", "/nodes/pve/lxc")
    await api("GET", "/cluster/resources", type="vm")
    await api("PUT", f"{container}/config", cores=2, onboot=1, delete="tty")
    await api("PUT", f"{container}/firewall/options", enable=1, ipfilter=1, macfilter=1)
    await api.task("PUT", f"{container}/resize", disk="rootfs", size="10G")
    await api.task("POST", f"{container}/clone", newid=301, hostname="copy", full=1)
    await api.task("POST", f"{container}/status/start")
    await api("GET", f"{container}/status/current")
    await api("GET", f"{container}/interfaces")
    await api.task("POST", f"{container}/status/reboot", timeout=20)
    await api.task("POST", f"{container}/status/shutdown", timeout=20, forceStop=1)
    await api.task("POST", f"{container}/status/start")
    await api.task("POST", f"{container}/status/stop")
    api.cluster.add_storage("thin", "lvmthin")
    await api.task("POST", "/nodes/pve/lxc/301/clone", newid=302, storage="thin", full=1)
    await snapshots(api, "/nodes/pve/lxc/302")
    await api("POST", "/nodes/pve/lxc/301/template")
    await api.task("POST", "/nodes/pve/vzdump", vmid="300", mode="stop", compress="zstd")
    for path in ("images", "rootdir", "vztmpl", "backup"):
        await api("GET", "/nodes/pve/storage/local/content", content=path)
    await api.task("DELETE", container, purge=1, force=0, destroy_unreferenced_disks=0)
    (backup,) = api.cluster.inventory().backups
    await api.task("POST", "/nodes/pve/lxc", vmid=300, ostemplate=backup, restore=1, unique=1)
    await api.task("DELETE", f"/nodes/pve/storage/local/content/{quote(backup, safe='')}")


@EACH_SCHEMA
async def test_a_container_s_life_fits_the_official_schema(which: str) -> None:
    cluster = Cluster()
    cluster.add_pool("rented")
    await live_in_a_container(Checked(cluster, SCHEMAS[which]()))


@EACH_SCHEMA
async def test_a_whole_life_fits_the_official_schema(which: str) -> None:
    cluster = Cluster()
    cluster.add_template(9000)
    cluster.add_pool("rented")
    api = Checked(cluster, SCHEMAS[which]())
    await live(api)
    unplayed = {(route.method, route.pattern) for route in ROUTES if "{" not in route.pattern}
    assert unplayed <= {(method, path) for method, path in api.seen}


def test_every_parameter_the_simulator_takes_is_in_the_official_schema() -> None:
    for route in ROUTES:
        template, _ = pve_schema.find(route.pattern.replace("{", "_").replace("}", "_"), paths())
        known = pve_schema.an_object(paths()[template][route.method]["parameters"])
        properties = pve_schema.an_object(known.get("properties") or {})
        for name in route.rules:
            family = name.rstrip("0123456789")
            assert name in properties or f"{family}[n]" in properties, (route.pattern, name)


def test_the_simulator_wants_the_privileges_that_the_official_schema_names() -> None:
    for route in ROUTES:
        template, _ = pve_schema.find(route.pattern.replace("{", "_").replace("}", "_"), paths())
        told = pve_schema.an_object(paths()[template][route.method].get("permissions") or {})
        rule = told.get("check")
        if isinstance(rule, list) and rule[0] == "and":
            rule = rule[1]
        if not isinstance(rule, list):
            assert route.need is None, route.pattern
            continue
        _, where, privileges, *_ = rule
        assert isinstance(privileges, list)
        assert route.need is not None, route.pattern
        wants = set(route.need[1].split("|"))
        if wants == {"VM.Monitor"} and not pve_schema.LOCAL.is_file():
            wants = GUEST_AGENT.intersection(map(str, privileges))  # what became of it in 9
        assert (route.need[0], wants) == (where, set(privileges))


def paths() -> pve_schema.Schemas:
    return pve_schema.paths()


def test_the_checker_refuses_what_the_schema_does_not_allow() -> None:
    clone = "/nodes/pve/qemu/9000/clone"
    with pytest.raises(SchemaViolation, match="'newid' is missing"):
        check_exchange("POST", clone, {"name": "a"}, "UPID:x")
    with pytest.raises(SchemaViolation, match="unknown parameter 'tags'"):
        check_exchange("POST", clone, {"newid": 218, "tags": "a"}, "UPID:x")
    with pytest.raises(SchemaViolation, match="beyond the minimum"):
        check_exchange("POST", clone, {"newid": 99}, "UPID:x")
    with pytest.raises(SchemaViolation, match="instead of null"):
        check_exchange("PUT", "/nodes/pve/qemu/9000/config", {"onboot": 1}, "UPID:x")
    with pytest.raises(SchemaViolation, match="no such path"):
        check_exchange("GET", "/nodes/pve/machines", {}, None)

"""What every backend promises to somebody who works on one machine by hand, on every transport."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from provisioner.backends.proxmox.api import Api, JsonValue, ParamValue
from provisioner.backends.proxmox.byhand import BY_HAND, CONTAINER_KEYS, KEYS
from provisioner.backends.proxmox.commands import LONGEST, AgentCommands
from provisioner.backends.proxmox.controls import ProxmoxControls
from provisioner.backends.proxmox.privileges import CALLS
from provisioner.controls import Inside, Throttle
from provisioner.errors import AgentSilent, Declined, Transient, UnknownOutcome
from provisioner.model import Kind, PowerState
from tests.contract.test_hypervisor_schema import Schooled
from tests.support.pve import NODE, VMID, WANTED, World, direct_world
from tests.support.pve_schema import packaged_paths, paths

#: What the simulated cluster does not offer, so that only a written answer can stand in for it.
WRITTEN = {f"POST /nodes/{{node}}/{kind}/{{vmid}}/vncproxy" for kind in ("qemu", "lxc")}


def controls(world: World) -> ProxmoxControls:
    return ProxmoxControls(world.api)


def commands(world: World) -> AgentCommands:
    async def pause(seconds: float) -> None:
        world.advance(seconds)

    return AgentCommands(world.api, pause, world.hands.now)


async def state(world: World) -> PowerState:
    return (await world.hypervisor.power(NODE, VMID)).state


async def test_a_guest_that_is_asked_to_shut_down_is_not_forced(world: World) -> None:
    await world.booted()
    world.hands.ignore_the_button(VMID)
    asked = await world.done(await controls(world).shut_down(NODE, VMID, 5))
    assert isinstance(asked.error, Transient)
    assert await state(world) is PowerState.RUNNING
    await world.ok(await world.hypervisor.stop(NODE, VMID))
    assert await state(world) is PowerState.STOPPED


async def test_a_machine_is_rebooted(world: World) -> None:
    await world.booted()
    before = (await world.hypervisor.power(NODE, VMID)).uptime
    await world.ok(await controls(world).reboot(NODE, VMID, 30))
    after = await world.hypervisor.power(NODE, VMID)
    assert after.state is PowerState.RUNNING
    assert after.uptime < before


async def test_usage_is_what_the_node_counts(world: World) -> None:
    await world.booted()
    usage = await controls(world).usage(NODE, VMID)
    assert (usage.state, usage.cpus) == (PowerState.RUNNING, WANTED.cores)
    assert usage.memory_total == WANTED.memory_mib * 2**20
    assert usage.uptime > 0


async def test_limits_are_written_beside_what_is_there_and_lifted_again(world: World) -> None:
    clone = await world.configured()
    before = await world.shown()
    await controls(world).throttle(NODE, VMID, Throttle(100, 150, 8000, 5, 6), "ours", clone.digest)
    limited = await world.shown()
    changed = {key for key in limited if limited[key] != before.get(key)}
    assert changed == {"cpuunits", "cpulimit", "net0", "scsi0"}
    assert changed == {key for keys in KEYS.values() for key in keys}
    assert str(limited["scsi0"]).split(",")[0] == str(before["scsi0"]).split(",")[0]
    digest = (await world.config()).digest
    await controls(world).throttle(NODE, VMID, Throttle(0, 0, 0, 0, 0), "ours", digest)
    assert await world.shown() == before


async def test_a_limit_is_not_written_over_somebody_elses_change(world: World) -> None:
    clone = await world.configured()
    world.hands.edit_guest(VMID, cores=7)
    with pytest.raises(Transient, match="changed by somebody else"):
        await controls(world).throttle(NODE, VMID, Throttle(100), "ours", clone.digest)


async def test_a_snapshot_is_deleted_and_no_other(world: World) -> None:
    await world.configured()
    for name in ("one", "two"):
        await world.ok(await world.hypervisor.take_snapshot(NODE, VMID, name))
    await world.ok(await controls(world).delete_snapshot(NODE, VMID, "one"))
    assert [row.name for row in await world.hypervisor.snapshots(NODE, VMID)] == ["two"]


@pytest.mark.parametrize("name", ["", "1st", "current", "a/../b", "a b", "x" * 41, "ä", "a\n"])
async def test_what_is_no_name_for_a_snapshot_reaches_no_path(name: str) -> None:
    world = direct_world()
    cluster = world.hypervisor
    for verb in (cluster.take_snapshot, cluster.roll_back, controls(world).delete_snapshot):
        with pytest.raises(Declined):
            await verb(NODE, VMID, name)
    assert world.calls() == 0


async def test_a_command_is_run_and_its_end_is_told(world: World) -> None:
    await world.booted()
    ended = await commands(world).run(NODE, VMID, ["echo", "a b", "c"], 5)
    assert (ended.code, ended.output, ended.error) == (0, b"a b c\n", b"")
    with pytest.raises(UnknownOutcome, match="may still run"):
        await commands(world).run(NODE, VMID, ["sleep", "99"], 2)


async def test_nobody_is_there_to_run_a_command_in_a_guest_that_is_off(world: World) -> None:
    await world.configured()
    with pytest.raises(AgentSilent):
        await commands(world).run(NODE, VMID, ["true"], 5)


async def test_file_systems_that_do_not_tell_are_not_counted(world: World) -> None:
    await world.booted()
    size = world.see(lambda cluster: cluster.guest(VMID).boot_disk_size())
    told = await commands(world).inside(NODE, VMID)
    assert told == Inside(size // 4, size, -1)


class Written:
    """An `Api` that gives written answers, by the end of the path."""

    def __init__(self, **answers: JsonValue) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str, Mapping[str, ParamValue]]] = []

    async def call(
        self,
        method: str,
        path: str,
        params: Mapping[str, ParamValue] | None = None,
        *,
        slow: bool = False,
    ) -> JsonValue:
        self.asked.append((method, path, params or {}))
        return self.answers[path.rpartition("/")[2].replace("-", "_")]


async def test_a_console_is_a_ticket_that_no_repr_shows() -> None:
    upid = f"UPID:{NODE}:0001:0002:0003:vncproxy:{VMID}:u@pve!t:"
    written: dict[str, JsonValue] = {
        "ticket": "PVEVNC:SECRET",
        "port": "5900",
        "cert": "",
        "user": "u@pve!t",
        "upid": upid,
    }
    api = Schooled(Written(vncproxy=written), paths())
    ticket = await ProxmoxControls(api).console(NODE, VMID)
    assert (ticket.port, ticket.ticket) == (5900, "PVEVNC:SECRET")
    assert "SECRET" not in repr(ticket)


async def no_pause(_: float) -> None:
    pass


def no_time() -> float:
    return 0.0


@pytest.mark.parametrize(
    "said",
    [
        None,
        "text",
        [1, "two", None],
        [{"name": "a", "total-bytes": "x", "used-bytes": []}],
        [{"name": "a", "total-bytes": 5, "used-bytes": 9}],
        [{"name": "a", "total-bytes": 2**90, "used-bytes": 1}],
        [{"name": "a", "total-bytes": -1, "used-bytes": -1}],
    ],
)
async def test_a_guest_may_say_of_its_disks_what_it_likes(said: JsonValue) -> None:
    api = Written(get_fsinfo={"result": said}, file_read={"content": "x\n" * 10})
    told = await AgentCommands(api, no_pause, no_time).inside(NODE, VMID)
    assert (told.disk_used, told.disk_total) in {(-1, -1), (0, 0)}


async def test_what_a_command_says_is_cut_at_a_length_and_a_signal_is_a_code() -> None:
    ended: dict[str, JsonValue] = {
        "exited": 1,
        "signal": 9,
        "out-data": "ü" * LONGEST,
        "err-data": "\ud800",
    }
    api = Written(exec={"pid": 1}, exec_status=ended)
    finished = await AgentCommands(api, no_pause, no_time).run(NODE, VMID, ["x"], 1)
    assert finished.code == 128 + 9
    assert len(finished.output) == LONGEST
    assert finished.error == b"?"


async def test_connections_are_counted_where_linux_lists_them() -> None:
    listed = (
        "  sl  local_address rem_address   st\n"
        "   0: 0100007F:1F90 00000000:0000 0A 0\n"
        "   1: 0F02000A:0016 0202000A:D2F4 01 0\n"
    )
    api = Written(get_fsinfo={"result": []}, file_read={"content": listed})
    assert (await AgentCommands(api, no_pause, no_time).inside(NODE, VMID)).connections == 2


@pytest.mark.parametrize("schemas", [paths, packaged_paths], ids=["nearest", "packaged"])
async def test_every_call_by_hand_is_one_that_the_official_schema_has(schemas: type) -> None:
    plain = direct_world()
    made: set[str] = set()
    plain_api: Api = Schooled(plain.api, schemas())
    world = replace(plain, api=plain_api)
    await world.booted()
    hand = controls(world)
    await hand.usage(NODE, VMID)
    digest = (await world.config()).digest
    await hand.throttle(NODE, VMID, Throttle(1, 10, 1, 1, 1), "ours", digest)
    await commands(world).run(NODE, VMID, ["true"], 5)
    await commands(world).inside(NODE, VMID)
    await _by_hand(world, VMID, Kind.VM)
    plain.see(lambda cluster: cluster.add_storage("thin", "lvmthin"))
    root: dict[str, ParamValue] = {"vmid": VMID + 1, "rootfs": "thin:8"}
    root["ostemplate"] = plain.see(lambda cluster: cluster.add_os_template())
    await world.ok(str(await world.api.call("POST", f"/nodes/{NODE}/lxc", root)))
    await world.ok(await world.hypervisor.start(NODE, VMID + 1, kind=Kind.CONTAINER))
    await _by_hand(world, VMID + 1, Kind.CONTAINER)
    made.update(plain.see(lambda cluster: dict(cluster.inventory().calls)))
    assert set(BY_HAND) <= made | WRITTEN
    assert not set(BY_HAND) & set(CALLS), "the daemon has a way to do that"


async def _by_hand(world: World, vmid: int, kind: Kind) -> None:
    """Do everything to a running guest that Proxmox has for either kind."""
    hand = controls(world)
    await world.ok(await world.hypervisor.take_snapshot(NODE, vmid, "one", kind=kind))
    await world.ok(await hand.delete_snapshot(NODE, vmid, "one", kind=kind))
    world.advance(60)
    await world.ok(await hand.reboot(NODE, vmid, 30, kind=kind))


NET = "name=eth0,bridge=vmbr0,hwaddr=02:00:00:00:00:01,type=veth"


async def test_limits_of_a_container_are_written_beside_what_is_there_and_lifted() -> None:
    world = direct_world()
    world.see(lambda cluster: cluster.add_container(VMID, config={"net0": NET}))
    hand, kind = controls(world), Kind.CONTAINER

    def shown() -> dict[str, object]:
        return world.see(lambda cluster: dict(cluster.guest(VMID).config))

    async def limit(limits: Throttle) -> None:
        config = await world.hypervisor.config(NODE, VMID, kind=kind)
        assert config is not None
        await hand.throttle(NODE, VMID, limits, "ours", config.digest, kind=kind)

    before = shown()
    await limit(Throttle(100, 150, 8000))
    limited = shown()
    changed = {key for key in limited if limited[key] != before.get(key)} - {"description"}
    assert changed == {key for keys in CONTAINER_KEYS.values() for key in keys}
    with pytest.raises(Declined, match="no limits for the disk of a container"):
        await limit(Throttle(iops_read=5))
    await limit(Throttle(0, 0, 0, 0, 0))
    after = shown()
    assert {key: after.get(key) for key in changed} == {key: before.get(key) for key in changed}

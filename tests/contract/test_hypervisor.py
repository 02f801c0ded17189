"""What every hypervisor backend promises, on every transport there is."""

import asyncio
from dataclasses import replace

import pytest

from provisioner.errors import (
    HypervisorDown,
    Locked,
    Permanent,
    Transient,
    UnknownOutcome,
    Untrusted,
)
from provisioner.model import GuestSettings, PowerState
from provisioner.simulator.faults import Fault, FaultName
from provisioner.simulator.guests import ConfigValue
from tests.support.pve import ALICE, BOB, NODE, TEMPLATE, VMID, WANTED, World

GUEST = f"/nodes/{NODE}/qemu/{VMID}"


# ------------------------------------------------------------------------------------- snapshot


async def test_a_snapshot_shows_every_guest_and_every_node_that_is_online(world: World) -> None:
    world.hands.add_guest(10007)
    world.advance(30)
    snapshot = await world.hypervisor.snapshot()
    assert set(snapshot.guests) == {TEMPLATE, 10007}
    assert snapshot.guests[TEMPLATE].template
    assert snapshot.guests[10007].name == "guest-10007"
    assert not snapshot.guests[10007].template
    assert snapshot.nodes == (NODE,)


async def test_a_snapshot_that_does_not_show_the_template_is_not_evidence(world: World) -> None:
    world.hands.remove_guest(TEMPLATE)
    with pytest.raises(Untrusted, match="template 9000"):
        await world.hypervisor.snapshot()


async def test_a_list_that_comes_back_empty_is_not_evidence(world: World) -> None:
    world.arm(Fault(FaultName.EMPTY, "GET", "/cluster/resources"))
    with pytest.raises(Untrusted):
        await world.hypervisor.snapshot()
    assert TEMPLATE in (await world.hypervisor.snapshot()).guests


async def test_a_cluster_without_quorum_shows_nothing_that_counts(world: World) -> None:
    world.hands.lose_quorum()
    with pytest.raises(HypervisorDown):
        await world.hypervisor.snapshot()


async def test_a_token_without_permissions_is_the_whole_hypervisors_trouble(world: World) -> None:
    world.hands.take_privileges(world.token)
    with pytest.raises(HypervisorDown):
        await world.hypervisor.snapshot()


# ------------------------------------------------------------------------------ clone and VMIDs


async def test_a_clone_reserves_its_vmid_and_carries_its_name_and_description(
    world: World,
) -> None:
    assert await world.hypervisor.vmid_is_free(VMID)
    clone = await world.cloned(description="whose it is\n")
    assert not await world.hypervisor.vmid_is_free(VMID)
    assert clone.settings.name == f"lease-{VMID}"
    assert clone.description == "whose it is"
    assert clone.lock is None
    assert not clone.template
    assert clone.disk == "scsi0"
    assert clone.disk_gib == 4


async def test_a_clone_under_way_carries_a_lock_and_is_not_a_machine_yet(world: World) -> None:
    upid = await world.hypervisor.clone(NODE, TEMPLATE, VMID, "lease-1", "d")
    assert (await world.task(upid)).running
    unfinished = await world.config()
    assert unfinished.lock == "clone"
    with pytest.raises(Transient):
        await world.hypervisor.configure(NODE, VMID, WANTED, "d", unfinished.digest)
    assert (await world.done(upid)).error is None
    assert (await world.config()).lock is None


async def test_a_clone_under_way_shows_no_disk_that_it_does_not_have_yet(world: World) -> None:
    upid = await world.hypervisor.clone(NODE, TEMPLATE, VMID, "lease-1", "d")
    shown = await world.shown()
    assert shown["lock"] == "clone"
    assert "scsi0" not in shown
    await world.ok(upid)
    assert "scsi0" in await world.shown()


async def test_a_vmid_in_use_has_to_be_looked_at_before_anything_else(world: World) -> None:
    world.hands.add_guest(VMID)
    with pytest.raises(UnknownOutcome, match="whose it is"):
        await world.hypervisor.clone(NODE, TEMPLATE, VMID, "lease-1", "d")


@pytest.mark.rude_requests
async def test_a_vmid_that_proxmox_cannot_judge_is_not_free(world: World) -> None:
    with pytest.raises(Permanent, match="vmid"):
        await world.hypervisor.vmid_is_free(99)


async def test_a_machine_that_is_not_there_has_no_configuration(world: World) -> None:
    assert await world.hypervisor.config(NODE, VMID) is None


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultName.REFUSE, text="cluster not ready - no quorum?"),
        Fault(FaultName.REFUSE, text="something never heard of"),
        Fault(FaultName.REFUSE, status=403, text="Permission check failed (/vms/1, VM.Audit)"),
        Fault(FaultName.UNREACHABLE),
        Fault(FaultName.LOSE_REPLY),
        Fault(FaultName.PROXY_DOWN),
        Fault(FaultName.PROXY_BROKEN),
        Fault(FaultName.HTML),
    ],
    ids=lambda fault: f"{fault.name.value} {fault.text}",
)
async def test_a_configuration_that_cannot_be_read_is_not_a_missing_machine(
    world: World, fault: Fault
) -> None:
    path = replace(fault, method="GET", path=f"{GUEST}/config")
    world.arm(path, path)
    with pytest.raises((Transient, HypervisorDown)):
        await world.hypervisor.config(NODE, VMID)


# ------------------------------------------------------------------------------------ configure


@pytest.mark.parametrize(
    "wanted",
    [
        WANTED,
        replace(WANTED, link_up=False, onboot=False),
        replace(WANTED, protection=True),
        replace(WANTED, ssh_keys=""),
        replace(WANTED, ssh_keys=f"{ALICE}\n{BOB}"),
        replace(WANTED, ssh_keys=f"{ALICE} + 100% ü"),
        replace(WANTED, tags=frozenset(), nameserver="", ipconfig="ip6=auto"),
        replace(WANTED, agent=False, cores=1, memory_mib=512),
    ],
    ids=range(8),
)
async def test_what_was_configured_is_what_is_read_back(
    world: World, wanted: GuestSettings
) -> None:
    clone = await world.cloned()
    await world.hypervisor.configure(NODE, VMID, wanted, "ours \n\n", clone.digest)
    config = await world.config()
    assert config.settings == wanted
    assert config.description == "ours"
    calls = world.calls()
    await world.hypervisor.configure(NODE, VMID, wanted, "ours", config.digest)
    assert world.calls() == calls, "nothing differed, so nothing had to be called"


async def test_what_is_configured_while_it_runs_is_told_apart_from_what_it_runs_with(
    world: World,
) -> None:
    clone = await world.cloned()
    await world.ok(await world.hypervisor.start(NODE, VMID))
    await world.hypervisor.configure(NODE, VMID, WANTED, "ours", (await world.config()).digest)
    runs_with = await world.hypervisor.config(NODE, VMID, running=True)
    assert runs_with is not None
    assert runs_with.settings.uuid == clone.settings.uuid
    assert (await world.config()).settings.uuid == WANTED.uuid


async def test_nothing_that_a_template_passes_on_stays_on_a_machine(world: World) -> None:
    foreign: dict[str, ConfigValue] = {
        "net1": "virtio=BC:24:11:AA:AA:AB,bridge=vmbr0",
        "ipconfig1": "ip=192.0.2.78/24",
        "searchdomain": "seller.example",
        "cicustom": "user=local:snippets/seller.yml",
        "startup": "order=3",
        "sockets": 2,
        "smbios1": "uuid=11111111-2222-3333-4444-555555555555,base64=1,serial=UzE=",
    }
    world.hands.edit_guest(TEMPLATE, **foreign)
    clone = await world.cloned()
    assert clone.settings.leftovers >= {"cipassword", *foreign} - {"ipconfig0", "cicustom"}
    await world.hypervisor.configure(NODE, VMID, WANTED, "ours", clone.digest)
    config = await world.shown()
    assert (set(foreign) | {"cipassword"}) & set(config) == {"smbios1"}
    assert config["smbios1"] == f"uuid={WANTED.uuid}"
    assert (await world.config()).settings == WANTED


async def test_a_network_gets_the_vlan_and_limits_that_are_wanted_and_no_others(
    world: World,
) -> None:
    net = "e1000=BC:24:11:AA:AA:AB,bridge=vmbr9,tag=7,trunks=8;9,rate=10,queues=2,firewall=0"
    world.hands.edit_guest(TEMPLATE, net0=net)
    clone = await world.cloned()
    assert "net0" in clone.settings.leftovers
    assert (clone.settings.vlan, clone.settings.trunks, clone.settings.rate) == (7, "8;9", 10)
    wanted = replace(WANTED, vlan=42, rate=12.5, cpu_limit=1.5)
    await world.hypervisor.configure(NODE, VMID, wanted, "ours", clone.digest)
    assert (await world.config()).settings == wanted
    parts = str((await world.shown())["net0"]).split(",")
    assert set(parts) == {
        f"virtio={WANTED.mac}",
        "bridge=vmbr0",
        "firewall=1",
        "tag=42",
        "rate=12.5",
        "queues=2",
    }


async def test_a_change_by_somebody_else_meanwhile_is_never_written_over(world: World) -> None:
    clone = await world.cloned()
    world.hands.edit_guest(VMID, description="mine now")
    with pytest.raises(Transient):
        await world.hypervisor.configure(NODE, VMID, WANTED, "ours", clone.digest)
    with pytest.raises(Transient):
        await world.hypervisor.configure(NODE, VMID, WANTED, "ours", clone.digest)
    assert (await world.config()).description == "mine now"


async def test_a_machine_that_somebody_locked_is_left_alone(world: World) -> None:
    await world.cloned()
    world.hands.edit_guest(VMID, lock="backup")
    config = await world.config()
    assert config.lock == "backup"
    with pytest.raises(Locked, match="backup"):
        await world.hypervisor.configure(NODE, VMID, WANTED, "ours", config.digest)


async def test_a_disk_grows_to_a_size_and_never_shrinks(world: World) -> None:
    clone = await world.cloned()
    assert clone.disk == "scsi0"
    for _ in range(2):
        await world.ok(await world.hypervisor.resize(NODE, VMID, clone.disk, 10))
        assert (await world.config()).disk_gib == 10
    shrink = await world.done(await world.hypervisor.resize(NODE, VMID, clone.disk, 5))
    assert type(shrink.error) is Transient
    assert (await world.config()).disk_gib == 10


# ---------------------------------------------------------------------------------------- power


async def test_a_machine_starts_and_shuts_down_as_it_is_told(world: World) -> None:
    await world.configured()
    assert (await world.hypervisor.power(NODE, VMID)).state is PowerState.STOPPED
    await world.ok(await world.hypervisor.start(NODE, VMID))
    world.advance(100)
    power = await world.hypervisor.power(NODE, VMID)
    assert power.state is PowerState.RUNNING
    assert 90 < power.uptime < 200
    await world.ok(await world.hypervisor.shutdown(NODE, VMID, 30))
    assert (await world.hypervisor.power(NODE, VMID)).state is PowerState.STOPPED


async def test_a_machine_that_ignores_the_button_is_stopped_all_the_same(world: World) -> None:
    await world.booted()
    world.hands.ignore_the_button(VMID)
    await world.done(await world.hypervisor.shutdown(NODE, VMID, 30))
    assert (await world.hypervisor.power(NODE, VMID)).state is PowerState.STOPPED


async def test_a_stop_does_not_wait_for_a_shutdown_that_nobody_listens_to(world: World) -> None:
    await world.booted()
    world.hands.ignore_the_button(VMID)
    waiting = await world.hypervisor.shutdown(NODE, VMID, 600)
    world.advance(1)
    await world.ok(await world.hypervisor.stop(NODE, VMID))
    assert (await world.hypervisor.power(NODE, VMID)).state is PowerState.STOPPED
    assert (await world.task(waiting)).error is not None


async def test_a_snapshot_is_listed_with_its_time_and_brings_its_settings_back(
    world: World,
) -> None:
    await world.configured()
    await world.ok(await world.hypervisor.take_snapshot(NODE, VMID, "one"))
    world.hands.edit_guest(VMID, cores=7)
    world.advance(60)
    await world.ok(await world.hypervisor.take_snapshot(NODE, VMID, "two"))
    one, two = await world.hypervisor.snapshots(NODE, VMID)
    assert (one.name, two.name) == ("one", "two")
    assert two.taken_at - one.taken_at >= 60
    await world.ok(await world.hypervisor.roll_back(NODE, VMID, "one"))
    assert (await world.config()).settings.cores == WANTED.cores


async def test_a_paused_machine_can_be_stopped(world: World) -> None:
    await world.booted()
    world.hands.pause(VMID)
    assert (await world.hypervisor.power(NODE, VMID)).state is PowerState.PAUSED
    await world.ok(await world.hypervisor.shutdown(NODE, VMID, 30))
    assert (await world.hypervisor.power(NODE, VMID)).state is PowerState.STOPPED


async def test_a_second_start_fails_in_its_task_and_harms_nothing(world: World) -> None:
    await world.booted()
    again = await world.done(await world.hypervisor.start(NODE, VMID))
    assert isinstance(again.error, Transient)
    assert (await world.hypervisor.power(NODE, VMID)).state is PowerState.RUNNING


# -------------------------------------------------------------------------------------- destroy


async def test_a_destroyed_machine_leaves_nothing_and_frees_its_vmid(world: World) -> None:
    await world.configured()
    assert len(await world.hypervisor.volumes(NODE, VMID)) == 2
    await world.ok(await world.hypervisor.destroy(NODE, VMID))
    assert await world.hypervisor.config(NODE, VMID) is None
    assert await world.hypervisor.vmid_is_free(VMID)
    assert await world.hypervisor.volumes(NODE, VMID) == []
    assert not world.hands.leaked_volumes()


async def test_a_volume_that_the_machine_does_not_name_is_not_destroyed_with_it(
    world: World,
) -> None:
    await world.configured()
    world.hands.edit_guest(VMID, scsi0=None)
    await world.ok(await world.hypervisor.destroy(NODE, VMID))
    (left,) = await world.hypervisor.volumes(NODE, VMID)
    assert f"vm-{VMID}-disk-0" in left


async def test_a_volume_that_stays_on_a_disabled_storage_is_told_by_the_task(world: World) -> None:
    await world.configured()
    world.hands.enable_storage(enabled=False)
    upid = await world.hypervisor.destroy(NODE, VMID)
    await world.ok(upid)
    assert await world.hypervisor.volumes(NODE, VMID) == []
    left = await world.hypervisor.volumes(NODE, VMID, destroyed_by=upid)
    assert sorted(left) == sorted(world.hands.leaked_volumes())
    world.hands.enable_storage(enabled=True)
    assert await world.hypervisor.volumes(NODE, VMID, destroyed_by=upid) == left


async def test_what_runs_or_is_protected_is_not_destroyed(world: World) -> None:
    await world.booted()
    with pytest.raises(Transient, match="is running"):
        await world.hypervisor.destroy(NODE, VMID)
    await world.ok(await world.hypervisor.shutdown(NODE, VMID, 30))
    world.hands.edit_guest(VMID, protection=1)
    with pytest.raises(Transient, match="protection"):
        await world.hypervisor.destroy(NODE, VMID)
    assert (await world.config()).settings.protection


# ---------------------------------------------------------------------------------- lost replies


@pytest.mark.parametrize("name", [FaultName.LOSE_REPLY, FaultName.PROXY_BROKEN])
async def test_a_clone_whose_reply_was_lost_may_have_happened(
    world: World, name: FaultName
) -> None:
    world.arm(Fault(name, "POST", "*/clone"))
    with pytest.raises(UnknownOutcome):
        await world.hypervisor.clone(NODE, TEMPLATE, VMID, "lease-1", "d")
    world.hands.settle()
    assert (await world.config()).settings.name == "lease-1"


async def test_a_write_is_never_sent_twice(world: World) -> None:
    await world.configured()
    calls = world.calls()
    world.arm(Fault(FaultName.LOSE_REPLY, "POST", "*/start"))
    with pytest.raises(UnknownOutcome):
        await world.hypervisor.start(NODE, VMID)
    assert world.calls() == calls + 1


async def test_a_refused_token_is_the_whole_hypervisors_trouble_until_it_is_good_again(
    world: World,
) -> None:
    give_back = world.hands.revoke(world.token)
    with pytest.raises(HypervisorDown, match="token"):
        await world.hypervisor.power(NODE, TEMPLATE)
    give_back()
    assert (await world.hypervisor.power(NODE, TEMPLATE)).state is PowerState.STOPPED


async def test_calls_at_once_do_not_disturb_one_another(world: World) -> None:
    readings = await asyncio.gather(*(world.hypervisor.power(NODE, TEMPLATE) for _ in range(20)))
    assert {reading.state for reading in readings} == {PowerState.STOPPED}

"""What every hypervisor backend promises, on every transport there is."""

from collections.abc import Iterator
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
from provisioner.model import Power, PowerState
from provisioner.simulator.faults import Fault, FaultName
from tests.support.pve import (
    ALICE,
    BOB,
    NODE,
    TEMPLATE,
    VMID,
    WANTED,
    World,
    direct_world,
    stopped_for,
)


@pytest.fixture(params=["direct"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    yield direct_world()


# ------------------------------------------------------------------------------------- snapshot


async def test_a_snapshot_shows_every_guest_and_every_node_that_is_online(world: World) -> None:
    world.see(lambda cluster: cluster.add_guest(10007))
    world.advance(30)
    snapshot = await world.hypervisor.snapshot()
    assert set(snapshot.guests) == {TEMPLATE, 10007}
    assert snapshot.guests[TEMPLATE].template
    assert snapshot.guests[10007].name == "guest-10007"
    assert not snapshot.guests[10007].template
    assert snapshot.nodes == (NODE,)


async def test_a_snapshot_that_does_not_show_the_template_is_not_evidence(world: World) -> None:
    world.see(lambda cluster: cluster.remove_guest(TEMPLATE))
    with pytest.raises(Untrusted, match="template 9000"):
        await world.hypervisor.snapshot()


async def test_a_list_that_comes_back_empty_is_not_evidence(world: World) -> None:
    world.see(lambda cluster: cluster.arm(Fault(FaultName.EMPTY, "GET", "/cluster/resources")))
    with pytest.raises(Untrusted):
        await world.hypervisor.snapshot()
    assert TEMPLATE in (await world.hypervisor.snapshot()).guests


async def test_a_cluster_without_quorum_shows_nothing_that_counts(world: World) -> None:
    world.see(lambda cluster: cluster.set_quorum(quorate=False))
    with pytest.raises(HypervisorDown):
        await world.hypervisor.snapshot()


async def test_a_token_without_permissions_is_the_whole_hypervisors_trouble(world: World) -> None:
    world.see(lambda cluster: cluster.set_grants(_token(world), everything=False))
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
    assert (await world.hypervisor.task(upid)).running
    unfinished = await world.config()
    assert unfinished.lock == "clone"
    with pytest.raises(Transient):
        await world.hypervisor.configure(NODE, VMID, WANTED, "d", unfinished.digest)
    assert (await world.done(upid)).error is None
    assert (await world.config()).lock is None


async def test_a_vmid_in_use_has_to_be_looked_at_before_anything_else(world: World) -> None:
    world.see(lambda cluster: cluster.add_guest(VMID))
    with pytest.raises(UnknownOutcome, match="whose it is"):
        await world.hypervisor.clone(NODE, TEMPLATE, VMID, "lease-1", "d")


async def test_a_vmid_that_proxmox_cannot_judge_is_not_free(world: World) -> None:
    with pytest.raises(Permanent, match="vmid"):
        await world.hypervisor.vmid_is_free(99)


async def test_a_machine_that_is_not_there_has_no_configuration(world: World) -> None:
    assert await world.hypervisor.config(NODE, VMID) is None


async def test_a_configuration_that_cannot_be_read_is_not_a_missing_machine(world: World) -> None:
    await world.cloned()
    path = f"/nodes/{NODE}/qemu/{VMID}/config"
    for fault, error in (
        (Fault(FaultName.REFUSE, "GET", path, text="cluster not ready - no quorum?"), Untrusted),
        (Fault(FaultName.REFUSE, "GET", path, text="something never heard of"), Transient),
        (Fault(FaultName.UNREACHABLE, "GET", path), HypervisorDown),
        (Fault(FaultName.LOSE_REPLY, "GET", path), Transient),
    ):
        world.see(lambda cluster, fault=fault: cluster.arm(fault))
        with pytest.raises(HypervisorDown if error is Untrusted else error):
            await world.hypervisor.config(NODE, VMID)


# ------------------------------------------------------------------------------------ configure


async def test_what_was_configured_is_what_is_read_back(world: World) -> None:
    clone = await world.cloned()
    assert clone.settings.leftovers >= {"cipassword"}
    await world.hypervisor.configure(NODE, VMID, WANTED, "ours\n\n", clone.digest)
    config = await world.config()
    assert config.settings == WANTED
    assert config.description == "ours"


@pytest.mark.parametrize(
    "wanted",
    [
        replace(WANTED, link_up=False),
        replace(WANTED, onboot=False, protection=True),
        replace(WANTED, ssh_keys=""),
        replace(WANTED, ssh_keys=f"{ALICE}\n{BOB}"),
        replace(WANTED, ssh_keys=f"{ALICE} + 100% ü"),
        replace(WANTED, tags=frozenset(), nameserver="", ipconfig="ip6=auto"),
        replace(WANTED, agent=False, cores=1, memory_mib=512),
        stopped_for(WANTED),
    ],

)
async def test_every_setting_survives_the_way_there_and_back(
    world: World, wanted: object
) -> None:
    clone = await world.cloned()
    await world.hypervisor.configure(NODE, VMID, WANTED, "ours", clone.digest)
    before = await world.config()
    await world.hypervisor.configure(NODE, VMID, wanted, "ours", before.digest)  # type: ignore[arg-type]
    assert (await world.config()).settings == wanted

"""What every hypervisor backend promises of containers, on every transport there is."""

from dataclasses import dataclass, replace

import pytest

from provisioner.backends.proxmox.hypervisor import ProxmoxHypervisor
from provisioner.backends.proxmox.settings import ProxmoxSettings
from provisioner.errors import Transient, UnknownOutcome
from provisioner.model import GuestConfig, Kind, PowerState
from provisioner.simulator.cluster import OS_TEMPLATE
from tests.support.hands import ROOTS
from tests.support.pve import BOB, FIREWALLS, NODE, TEMPLATE, VMID, WANTED, World

CT = Kind.CONTAINER
#: A container has no cloud-init, no firmware and no agent.
SETTLED = replace(WANTED, user="", ssh_keys="", uuid="", agent=False)


@dataclass(frozen=True, slots=True)
class Yard:
    """A world in which containers can be made."""

    world: World
    hypervisor: ProxmoxHypervisor

    async def make(self) -> None:
        """Make one, and let it be made."""
        await self.world.ok(await self.order())

    async def order(self) -> str:
        """Order one."""
        return await self.hypervisor.create_container(
            NODE, VMID, SETTLED, "ours", disk_gib=4, keys=BOB
        )

    async def config(self) -> GuestConfig:
        """Read its configuration."""
        config = await self.hypervisor.config(NODE, VMID, kind=CT)
        assert config is not None
        return config

    async def state(self) -> PowerState:
        """Read whether it runs."""
        return (await self.hypervisor.power(NODE, VMID, kind=CT)).state


@pytest.fixture
def yard(world: World) -> Yard:
    world.hands.offer_containers()
    settings = ProxmoxSettings(
        (TEMPLATE,), os_template=f"local:vztmpl/{OS_TEMPLATE}", container_storage=ROOTS
    )
    return Yard(world, ProxmoxHypervisor(world.api, settings, world.hands.now))


async def test_a_container_is_made_as_it_is_wanted(yard: Yard) -> None:
    await yard.make()
    config = await yard.config()
    assert (config.settings, config.description) == (SETTLED, "ours")
    assert (config.disk, config.disk_gib, config.storage) == ("rootfs", 4, ROOTS)
    assert (config.kind, config.lock, config.template) == (CT, None, False)
    assert await yard.state() is PowerState.STOPPED
    snapshot = await yard.hypervisor.snapshot()
    assert snapshot.guests[VMID].kind is CT


async def test_a_container_onto_a_vmid_in_use_is_no_container(yard: Yard) -> None:
    await yard.make()
    with pytest.raises(UnknownOutcome, match="whose it is"):
        await yard.order()


async def test_what_was_configured_of_a_container_is_what_is_read_back(yard: Yard) -> None:
    await yard.make()
    wanted = replace(SETTLED, cores=1, memory_mib=1024, vlan=42, rate=12.5, link_up=False)
    before = await yard.config()
    await yard.hypervisor.configure(NODE, VMID, wanted, "theirs\n", before.digest, kind=CT)
    config = await yard.config()
    assert (config.settings, config.description) == (wanted, "theirs")
    calls = yard.world.calls()
    await yard.hypervisor.configure(NODE, VMID, wanted, "theirs", config.digest, kind=CT)
    assert yard.world.calls() == calls
    with pytest.raises(Transient):
        await yard.hypervisor.configure(NODE, VMID, SETTLED, "ours", before.digest, kind=CT)


@pytest.mark.parametrize("by_force", [False, True], ids=["shutdown", "stop"])
async def test_a_container_starts_and_is_turned_off_as_it_is_told(
    yard: Yard, *, by_force: bool
) -> None:
    await yard.make()
    await yard.world.ok(await yard.hypervisor.start(NODE, VMID, kind=CT))
    yard.world.advance(60)
    assert await yard.state() is PowerState.RUNNING
    with pytest.raises(Transient):
        await yard.hypervisor.start(NODE, VMID, kind=CT)
    with pytest.raises(Transient, match="is running"):
        await yard.hypervisor.destroy(NODE, VMID, kind=CT)
    if by_force:
        await yard.world.ok(await yard.hypervisor.stop(NODE, VMID, kind=CT))
    else:
        await yard.world.ok(await yard.hypervisor.shutdown(NODE, VMID, 30, kind=CT))
    assert await yard.state() is PowerState.STOPPED


async def test_a_containers_disk_grows_to_a_size(yard: Yard) -> None:
    await yard.make()
    await yard.world.ok(await yard.hypervisor.resize(NODE, VMID, "rootfs", 10, kind=CT))
    assert (await yard.config()).disk_gib == 10


async def test_a_containers_snapshot_brings_its_settings_back(yard: Yard) -> None:
    await yard.make()
    config = await yard.config()
    await yard.world.ok(await yard.hypervisor.take_snapshot(NODE, VMID, "one", kind=CT))
    assert [row.name for row in await yard.hypervisor.snapshots(NODE, VMID, kind=CT)] == ["one"]
    fewer = replace(SETTLED, cores=1)
    digest = (await yard.config()).digest
    await yard.hypervisor.configure(NODE, VMID, fewer, "ours", digest, kind=CT)
    await yard.world.ok(await yard.hypervisor.roll_back(NODE, VMID, "one", kind=CT))
    assert (await yard.config()).settings == config.settings


async def test_a_containers_firewall_is_made_what_it_should_be(yard: Yard) -> None:
    await yard.make()
    for own in FIREWALLS:
        await yard.hypervisor.isolate(NODE, VMID, own, kind=CT)
        assert await yard.hypervisor.isolation(NODE, VMID, kind=CT) == own


async def test_a_destroyed_container_leaves_nothing_and_frees_its_vmid(yard: Yard) -> None:
    await yard.make()
    assert len(await yard.hypervisor.volumes(NODE, VMID)) == 1
    await yard.world.ok(await yard.hypervisor.destroy(NODE, VMID, kind=CT))
    assert await yard.hypervisor.config(NODE, VMID, kind=CT) is None
    assert await yard.hypervisor.vmid_is_free(VMID)
    assert await yard.hypervisor.volumes(NODE, VMID) == []

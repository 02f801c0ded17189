"""A container's life, told by what the chain says and judged by what the cluster has."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from chainwatch.config import Config
from chainwatch.domain.events import KeysChanged
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.faults import Fault, FaultName
from provisioner.simulator.lxc.container import Container
from provisioner.simulator.settings import Settings
from tests.support.amnesia import forget, rebuild
from tests.support.chain_model import plan_events
from tests.support.realm import ALICES_KEY, BOBS_KEY, FIRST, GRACE, HOUR, Realm, realm


@asynccontextmanager
async def selling(folder: Path) -> AsyncIterator[Realm]:
    """A realm whose plan 1 is a container of 2 cores, 2048 MiB and 20 GiB."""
    async with realm(folder, plan=plan_events(kind=1)) as world:
        yield world


async def bought(world: Realm, *, lasts: int = HOUR) -> Container:
    world.buy(lasts=lasts)
    await world.settle()
    guest = world.guest()
    assert isinstance(guest, Container)
    return guest


async def test_a_paid_lease_becomes_one_running_container(tmp_path: Path) -> None:
    async with selling(tmp_path) as world:
        guest = await bought(world)
        assert world.running() == [FIRST]
        assert guest.unprivileged
        assert guest.config["features"] == "nesting=1"
        assert (guest.config["cores"], guest.config["memory"]) == (2, 2048)
        assert guest.boot_disk_size() == 20 * 2**30
        assert int(guest.config["onboot"]) == 1
        assert "ip=203.0.113.10/24" in str(guest.config["net0"])
        assert "firewall=1" in str(guest.config["net0"])
        assert world.cluster.admits(FIRST, ALICES_KEY)
        assert await world.alarms() == {}
        assert (await world.sentences())[str(world.lease())].endswith("running, as desired")


async def test_an_expired_container_is_suspended_and_a_late_renewal_gives_it_back(
    tmp_path: Path,
) -> None:
    async with selling(tmp_path) as world:
        guest = await bought(world)
        world.pass_time(2 * HOUR)
        await world.settle()
        assert world.running() == []
        assert int(guest.config["onboot"]) == 0
        world.renew()
        world.confirm()
        await world.settle()
        assert world.running() == [FIRST]
        assert world.cluster.admits(FIRST, ALICES_KEY)


async def test_a_container_is_destroyed_when_its_grace_is_final(tmp_path: Path) -> None:
    async with selling(tmp_path) as world:
        await bought(world)
        world.pass_time(2 * HOUR)
        world.finalize()
        await world.settle()
        world.pass_time(GRACE + 1)
        await world.settle()
        assert len(world.guests()) == 1, "the grace is over by the confirmed head only"
        world.finalize()
        await world.settle()
        assert world.guests() == {}
        assert world.leaked() == ()


async def test_a_seller_is_cut_off_from_a_container_that_nobody_can_change(tmp_path: Path) -> None:
    async with selling(tmp_path) as world:
        guest = await bought(world, lasts=100 * GRACE)
        world.transfer()
        world.mine(KeysChanged(1, BOBS_KEY, "0x"))
        world.confirm()
        world.finalize()
        await world.settle()
        assert not guest.link_up
        assert not world.cluster.admits(FIRST, ALICES_KEY)
        assert "configure [nodes_ssh]" in (await world.alarms())["parked"]


async def test_a_container_whose_network_card_is_another_is_not_touched(tmp_path: Path) -> None:
    async with selling(tmp_path) as world:
        guest = await bought(world)
        other = str(guest.config["net0"]).replace("hwaddr=02", "hwaddr=06")
        world.cluster.edit_guest(FIRST, net0=other)
        world.pass_time(2 * HOUR)
        await world.settle()
        assert world.running() == [FIRST]
        assert "instead of 02:00:00:00:00:00" in (await world.alarms())["parked"]


async def test_what_somebody_adds_to_a_container_is_taken_away(tmp_path: Path) -> None:
    async with selling(tmp_path) as world:
        guest = await bought(world)
        world.cluster.edit_guest(
            FIRST, net1="name=eth1,bridge=vmbr9,hwaddr=02:AA:00:00:00:01,type=veth", cores=7
        )
        await world.daemon.supervisor.resync.enqueue_all("periodic resync")
        await world.settle()
        assert "net1" not in guest.config
        assert int(guest.config["cores"]) == 2


async def test_a_container_that_vanished_is_made_again(tmp_path: Path) -> None:
    async with selling(tmp_path) as world:
        await bought(world, lasts=100 * GRACE)
        world.cluster.stop_guest(FIRST)
        world.cluster.remove_guest(FIRST)
        await world.daemon.supervisor.resync.enqueue_all("periodic resync")
        await world.settle()
        assert len(world.running()) == 1


async def test_a_creation_whose_reply_is_lost_is_not_done_twice(tmp_path: Path) -> None:
    async with selling(tmp_path) as world:
        world.cluster.arm(Fault(FaultName.LOSE_REPLY, "POST", "*/lxc"))
        await bought(world)
        assert world.running() == [FIRST]
        made = [task for task in world.cluster.inventory().tasks if task.kind == "vzcreate"]
        assert len(made) == 1


async def test_where_no_archive_is_named_a_buyer_waits_and_the_operator_is_told(
    tmp_path: Path,
) -> None:
    def without(config: Config) -> Config:
        machines = replace(config.machines, os_template=None, container_storage=None)
        return replace(config, machines=machines)

    async with realm(tmp_path, plan=plan_events(kind=1), adjust=without) as world:
        world.buy()
        await world.settle()
        assert world.guests() == {}
        assert "set machines.os_template" in (await world.alarms())["parked"]


async def test_a_lost_database_is_made_again_from_containers_too(tmp_path: Path) -> None:
    async with selling(tmp_path) as world:
        await bought(world, lasts=100 * GRACE)
        await forget(world)
        await rebuild(world)
        await world.settle()
        assert world.running() == [FIRST]
        assert list(world.guests()) == [FIRST]
        assert world.daemon.supervisor.resync.orphans == ()


async def test_containers_wait_for_the_archive_and_are_made_where_it_appears(
    tmp_path: Path,
) -> None:
    cluster = Cluster(Settings(nodes=("pve", "pve2", "pve3")))
    async with realm(tmp_path, plan=plan_events(kind=1), cluster=cluster) as world:
        world.cluster.state.files.clear()
        for token in (1, 2, 3):
            world.buy(token)
        await world.turns(40)
        assert world.guests() == {}
        alarms = await world.alarms()
        assert set(alarms) == {"no-room"}
        assert "is missing on pve, pve2, pve3: there, pveam download local" in alarms["no-room"]
        world.cluster.add_os_template(nodes=("pve2",))
        before = len(world.cluster.inventory().call_log)
        await world.settle()
        assert {guest.node for guest in world.guests().values()} == {"pve2"}
        assert len(world.running()) == 3
        assert await world.alarms() == {}
        log = world.cluster.inventory().call_log[before:]
        lists = [call for call in log if call.path.endswith("/storage/local/content")]
        assert len(lists) == 2 * 3, "of each node for the archive, and for what is sold there"

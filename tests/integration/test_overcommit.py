"""A storage is sold as often as its limit says and no more, however little is written to it yet."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from chainwatch.config import Config
from provisioner.model import Verb
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.faults import Fault, FaultName
from provisioner.simulator.settings import Durations, Settings
from provisioner.terms import LINKED, Cloning
from tests.support.chain_model import plan_events
from tests.support.office import desk_of
from tests.support.realm import FIRST, GRACE, HOUR, Realm, realm

GIB: Final = 2**30
#: A storage that may be sold twice: 200 GiB, of which the template has 4.
SIZE: Final = 100 * GIB
AWAY: Final = "storage 'local' is not online"
#: How many machines of 20 GiB that is.
FIT: Final = 9


def pool(*, clone: float = 0.65) -> Cluster:
    return Cluster(Settings(storage_size=SIZE, durations=Durations(linked_clone=clone)))


def sold_at(ratio: float, cloning: Cloning = LINKED) -> Callable[[Config], Config]:
    """Return a change of the configuration: how often storages may be sold."""

    def adjust(config: Config) -> Config:
        table = replace(config.proxmox, storage_overcommit=ratio, storage_reserve_gib=0)
        machines = replace(config.machines, cloning=cloning)
        return replace(config, proxmox=table, machines=machines)

    return adjust


def sold(cluster: Cluster) -> int:
    """Add up the disks there are, as large as they are."""
    return sum(volume.size for volume in cluster.state.volumes.values())


def lists(world: Realm) -> int:
    """Count how often a storage's list was read."""
    log = world.cluster.inventory().call_log
    return sum(call.method == "GET" and call.path.endswith("/content") for call in log)


async def test_a_burst_takes_what_the_limit_allows_and_the_next_is_made_when_one_is_gone(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path, cluster=pool(), adjust=sold_at(2.0)) as world:
        for token in range(1, FIT + 4):
            world.buy(token, lasts=100 * HOUR)
        await world.turns(120)
        assert len(world.running()) == len(world.guests()) == FIT
        assert sold(world.cluster) <= 2 * SIZE
        said = (await world.alarms())["no-room"]
        assert (
            "pve: storage local has 185 GiB sold of 200 that may be (storage_overcommit), and 20 "
            "more are wanted: add storage, raise the limit, or wait until a machine there is "
            "destroyed"
        ) in said
        assert lists(world) <= 5, "it is not read once for each machine"
        room = world.daemon.supervisor.worker.reconciler.executor.rooms.fullness()
        assert room is not None
        local = room.seen.storages["local", "pve"]
        assert (local.limit, local.sold and local.sold.gib) == (2 * SIZE, 185)


@pytest.mark.parametrize("ratio", [2.0, 1.0])
async def test_who_is_made_anew_has_the_room_that_he_had(tmp_path: Path, ratio: float) -> None:
    """Also where more was sold than may be by now."""
    async with realm(tmp_path, cluster=pool(), adjust=sold_at(2.0)) as world:
        for token in range(1, FIT + 1):
            world.buy(token, lasts=100 * HOUR)
        await world.turns(120)
        assert len(world.running()) == FIT
        world.config = sold_at(ratio)(world.config)
        await world.restart()
        world.finalize()
        await desk_of(world).order("1", (Verb.REINSTALL, ""), "a test", 0)
        await world.settle(3000)
        assert len(world.running()) == FIT
        assert await world.alarms() == {}


async def test_nobody_s_own_lost_clone_is_held_against_him(tmp_path: Path) -> None:
    async with realm(tmp_path, cluster=pool(), adjust=sold_at(2.0)) as world:
        for token in range(1, FIT):
            world.buy(token, lasts=100 * HOUR)
        await world.turns(60)
        world.cluster.arm(Fault(FaultName.HTML, "POST", "*/clone"))
        world.buy(FIT, lasts=100 * HOUR)
        await world.turns(60, 3)
        assert len(world.running()) == FIT


async def test_where_there_is_no_limit_nothing_is_read_and_anything_sold(tmp_path: Path) -> None:
    async with realm(tmp_path, cluster=pool(), adjust=sold_at(0.0)) as world:
        for token in range(1, FIT + 4):
            world.buy(token, lasts=100 * HOUR)
        await world.turns(120)
        assert len(world.running()) == FIT + 3
        assert lists(world) == 0


async def test_who_waits_goes_on_by_himself_when_a_machine_is_destroyed(tmp_path: Path) -> None:
    async with realm(tmp_path, cluster=pool(), adjust=sold_at(2.0)) as world:
        world.buy(1, lasts=HOUR)
        for token in range(2, FIT + 2):
            world.buy(token, lasts=200 * HOUR)
        await world.turns(80)
        first = set(world.running())
        assert len(first) == FIT
        for over in (2 * HOUR, 2 * GRACE):
            world.pass_time(over)
            world.finalize()
            await world.turns(60)
        assert "no-room" in await world.alarms() or len(world.running()) == FIT
        await world.turns(120)
        assert len(world.running()) == FIT
        assert set(world.running()) != first
        assert sold(world.cluster) <= 2 * SIZE
        assert "no-room" not in await world.alarms()


async def test_a_restart_in_a_burst_forgets_nothing_that_was_promised(tmp_path: Path) -> None:
    cluster = pool(clone=5.0)
    async with realm(tmp_path, cluster=cluster, adjust=sold_at(2.0)) as world:
        for token in range(1, FIT + 4):
            world.buy(token, lasts=100 * HOUR)
        for _ in range(8):
            await world.turns(4)
            await world.restart()
        await world.turns(60)
        assert len(world.running()) == FIT
        assert sold(world.cluster) <= 2 * SIZE


@pytest.mark.parametrize(
    ("kind", "cloning", "fit"), [(1, LINKED, FIT), (0, Cloning(full=True), FIT)]
)
async def test_containers_and_whole_copies_are_sold_as_often_and_no_more(
    tmp_path: Path, kind: int, cloning: Cloning, fit: int
) -> None:
    adjust, plan = sold_at(2.0, cloning), plan_events(kind=kind)
    async with realm(tmp_path, cluster=pool(), adjust=adjust, plan=plan) as world:
        for token in range(1, fit + 3):
            world.buy(token, lasts=100 * HOUR)
        await world.turns(80)
        assert len(world.guests()) == fit
        assert "storage_overcommit" in (await world.alarms())["no-room"]
        assert sold(world.cluster) <= 2 * SIZE


async def test_a_storage_whose_list_cannot_be_read_takes_nobody_until_it_can(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path, cluster=pool(), adjust=sold_at(2.0)) as world:
        world.buy(lasts=100 * HOUR)
        world.cluster.arm(Fault(FaultName.REFUSE, "GET", "*/storage/local/content", text=AWAY))
        await world.turns(20)
        assert world.guests() == {}
        assert "what is sold of storage local is not known" in (await world.alarms())["no-room"]
        await world.settle()
        assert world.running() == [FIRST]
        assert "no-room" not in await world.alarms()

"""Machines that are whole copies of their template, on a storage that can have no others."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from chainwatch.config import Config
from chainwatch.domain.events import PlanDefined
from chainwatch.domain.plans import PlanRule, PlanRules
from provisioner.model import Verb
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.faults import Fault, FaultName
from provisioner.simulator.settings import Durations, Settings
from provisioner.simulator.wire import ApiRequest
from provisioner.terms import Cloning, Terms
from tests.support.backing import BACKUPS, backing_up
from tests.support.chain_model import plan_events
from tests.support.judge import Judge
from tests.support.ordering import ordering
from tests.support.realm import FIRST, GRACE, HOUR, Crash, Realm, crash_at, realm

SAN: Final = "san"
GIB: Final = 2**30
COPIED: Final = Cloning(full=True, storage=SAN)


def cluster(*nodes: str, size: int = 2**40, rate: float = 1e9) -> Cluster:
    """Return nodes with a thick storage that they share; copying `rate` bytes takes a second."""
    made = Cluster(Settings(nodes=nodes or ("pve",), durations=Durations(full_clone_rate=rate)))
    made.add_storage(SAN, "lvm", size=size)
    return made


def copying(config: Config) -> Config:
    """Have all virtual machines copied whole to the thick storage."""
    return replace(config, machines=replace(config.machines, cloning=COPIED))


def planned(terms: Terms) -> Callable[[Config], Config]:
    """Have the plan decide `terms`, and nobody else."""
    return lambda config: replace(config, plans=PlanRules((PlanRule(terms, name="small"),)))


def disks(world: Realm, vmid: int = FIRST) -> list[tuple[str, int, str | None]]:
    """Return the disks of a machine but for its cloud-init drive: id, GiB, base."""
    volumes = world.cluster.state.volumes_of(vmid)
    return [(v.volid, v.size // GIB, v.parent) for v in volumes if "cloudinit" not in v.volid]


def looks(world: Realm) -> int:
    """Count the looks at tasks so far."""
    calls = world.cluster.inventory().calls
    return sum(count for call, count in calls.items() if "/tasks" in call)


async def test_a_machine_is_a_whole_copy_on_the_storage_that_is_named(tmp_path: Path) -> None:
    async with realm(tmp_path, cluster=cluster(), adjust=copying) as world:
        world.buy()
        await world.settle()
        assert world.running() == [FIRST]
        ((volume, gib, parent),) = disks(world)
        assert (volume, parent) == (f"{SAN}:vm-{FIRST}-disk-0", None)
        assert gib >= 10
        Judge(world).look()


async def test_a_plan_decides_for_its_machines_alone(tmp_path: Path) -> None:
    adjust = planned(Terms(cloning=COPIED))
    async with realm(tmp_path, cluster=cluster(), adjust=adjust) as world:
        world.buy()
        await world.settle()
        assert disks(world)[0][0].startswith(f"{SAN}:")
    (tmp_path / "linked").mkdir()
    linked = planned(Terms(cloning=Cloning()))
    async with realm(
        tmp_path / "linked", cluster=cluster(), adjust=lambda c: linked(copying(c))
    ) as world:
        world.buy()
        await world.settle()
        assert disks(world)[0][2] is not None


async def test_a_template_on_a_storage_without_linked_clones_parks_with_what_to_write(
    tmp_path: Path,
) -> None:
    made = Cluster()
    made.state.storages["local"].kind = "lvm"
    async with realm(tmp_path, cluster=made) as world:
        world.buy()
        await world.turns(20)
        assert world.guests() == {}
        said = (await world.alarms())["parked"]
        assert "Linked clone feature is not supported for 'local:vm-9000-disk-1' (scsi0)" in said
        assert 'write clone = "full"' in said


async def test_a_template_on_such_a_storage_is_copied_there(tmp_path: Path) -> None:
    made = Cluster()
    made.state.storages["local"].kind = "lvm"
    adjust = planned(Terms(cloning=Cloning(full=True)))
    async with realm(tmp_path, cluster=made, adjust=adjust) as world:
        world.buy()
        await world.settle()
        assert disks(world)[0][0] == f"local:vm-{FIRST}-disk-0"


async def test_who_finds_no_room_on_the_storage_to_copy_to_waits_and_is_told_its_name(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path, cluster=cluster(size=45 * GIB), adjust=copying) as world:
        for token in (1, 2, 3):
            world.buy(token)
        await world.turns(60)
        fit = len(world.running())
        assert 0 < fit < 3
        assert f"storage {SAN} has" in (await world.alarms())["no-room"]
        assert "failing" not in await world.alarms()
        world.cluster.state.storages[SAN].size = 2**40
        await world.settle()
        assert len(world.running()) == 3


async def test_a_whole_copy_counts_until_it_has_all_of_its_size(tmp_path: Path) -> None:
    """The disk is grown after it was copied; meanwhile nobody else may be given that room."""
    async with realm(tmp_path, cluster=cluster(size=35 * GIB), adjust=copying) as world:
        world.buy(1)
        world.buy(2)
        for _ in range(60):
            await world.turns(1)
            assert "failing" not in await world.alarms()
        assert len(world.guests()) == 1


async def test_a_long_copy_raises_no_alarm_and_is_asked_for_seldom(tmp_path: Path) -> None:
    async with realm(tmp_path, cluster=cluster(rate=4 * GIB / 900), adjust=copying) as world:
        costs = []
        for token in (1, 2, 3):
            world.buy(token, lasts=100 * HOUR)
            before = looks(world)
            await world.settle(HOUR)
            costs.append(looks(world) - before)
            assert len(world.running()) == token
            assert not {"stuck", "failing", "parked"} & set(await world.alarms())
        assert costs[-1] <= 12, costs


async def test_others_are_made_while_a_copy_goes_on(tmp_path: Path) -> None:
    slow = cluster(rate=4 * GIB / 3600)
    adjust = planned(Terms(cloning=COPIED))
    plan = [*plan_events(), PlanDefined(2, "large", 0, 2, 2048, 20, GRACE)]
    async with realm(tmp_path, cluster=slow, adjust=adjust, plan=plan) as world:
        world.buy(1)
        await world.turns(30)
        world.buy(2, plan=2)
        await world.turns(60)
        assert len(world.running()) == 1


async def test_resize_reinstall_and_restore_stay_on_that_storage(tmp_path: Path) -> None:
    made = cluster()
    made.add_storage(BACKUPS.storage, "nfs")
    async with realm(tmp_path, cluster=made, adjust=lambda c: backing_up(copying(c))) as world:
        world.buy()
        await world.settle()
        world.finalize()
        await ordering(Verb.REINSTALL)(world)
        await world.settle()
        ((volume, gib, _),) = disks(world)
        assert volume == f"{SAN}:vm-{FIRST}-disk-0"
        world.pass_time(HOUR + 1)
        await world.settle()
        world.finalize()
        world.pass_time(GRACE + 1)
        world.finalize()
        await world.settle()
        assert world.guests() == {}
        assert world.leaked() == ()
        world.renew(lasts=3 * HOUR)
        world.confirm()
        await world.settle()
        assert [(v[0].partition(":")[0], v[1]) for v in disks(world, *world.guests())] == [
            (SAN, gib)
        ]


async def test_a_copy_that_fails_leaves_nothing_and_is_made_again(tmp_path: Path) -> None:
    made = cluster()
    made.arm(Fault(FaultName.TASK_FAILS, "POST", "*/clone", text="mirroring error: Input/output"))
    async with realm(tmp_path, cluster=made, adjust=copying) as world:
        world.buy()
        await world.settle()
        assert len(world.running()) == 1
        assert world.leaked() == ()


@pytest.mark.parametrize("back", [False, True], ids=["still-away", "back-again"])
async def test_what_a_broken_copy_left_on_its_storage_is_told(back: bool, tmp_path: Path) -> None:
    """Proxmox frees what it made, but not on a storage that is away just then."""
    made = cluster(rate=4 * GIB / 100)
    async with realm(tmp_path, cluster=made, adjust=copying) as world:
        world.buy()
        await world.turns(40)
        ((left, *_),) = disks(world)
        made.state.storages[SAN].active = False
        break_off(made)
        made.state.storages[SAN].active = back
        await world.turns(20)
        said = (await world.daemon.stores.operations.recent(20))[-1].error or ""
        assert (f", {left}: remove by hand" if back else f"storage {SAN} is away") in said
        assert back or f"look for VM {FIRST} there" in said
        made.state.storages[SAN].active = True
        await world.settle()
        assert world.running() == [FIRST + 1]  # where nothing lies in its way


def break_off(made: Cluster) -> None:
    """Stop the clone that is under way, as somebody may who looks on."""
    (task,) = (each for each in made.state.tasks.values() if each.status is None)
    path = f"/nodes/{task.node}/tasks/{task.upid}"
    assert made.handle(ApiRequest("DELETE", path, {}, made.default_token())).status == 200


async def test_the_root_of_a_plans_containers_lies_where_the_plan_says(tmp_path: Path) -> None:
    made = cluster()
    made.add_os_template()
    adjust = planned(Terms(container_storage=SAN))
    plan = plan_events(kind=1)
    async with realm(tmp_path, cluster=made, adjust=adjust, plan=plan) as world:
        world.buy()
        await world.settle()
        assert world.guest().kind == "lxc"
        assert disks(world)[0][0].startswith(f"{SAN}:")


async def test_a_copy_goes_to_another_node_only_if_both_storages_are_shared(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path, cluster=cluster("pve", "pve2"), adjust=copying) as world:
        for token in (1, 2, 3, 4):
            world.buy(token)
        await world.settle()
        assert {guest.node for guest in world.guests().values()} == {"pve"}


@pytest.mark.parametrize("point", ["before", "after"])
@pytest.mark.parametrize(
    "call", ["hypervisor.clone", "hypervisor.task_states", "hypervisor.resize"]
)
async def test_a_daemon_that_is_killed_while_it_copies_makes_one_machine(
    call: str, point: str, tmp_path: Path
) -> None:
    async with realm(tmp_path, cluster=cluster(rate=4 * GIB / 60), adjust=copying) as world:
        world.buy()
        crash_at(f"{call}.{point}")
        with pytest.raises(Crash):
            await world.settle()
        await world.restart()
        await world.settle()
        assert world.running() == [FIRST]
        assert world.leaked() == ()
        Judge(world).rest()


async def test_after_a_restart_a_copy_that_goes_on_still_keeps_its_place(tmp_path: Path) -> None:
    def adjust(config: Config) -> Config:
        table = replace(config.proxmox, clones_per_storage=1)
        return replace(copying(config), proxmox=table)

    async with realm(tmp_path, cluster=cluster(rate=4 * GIB / 1200), adjust=adjust) as world:
        world.buy(1, lasts=100 * HOUR)
        await world.turns(10)
        await world.restart()
        world.cluster.advance(700)  # longer than a linked clone is waited for
        world.buy(2, lasts=100 * HOUR)
        await world.turns(20)
        assert len(world.guests()) == 1
        await world.settle(2 * HOUR)
        assert len(world.running()) == 2

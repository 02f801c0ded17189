"""What the poller saw of tasks is what the passes read."""

import pytest

from provisioner.ports import TaskState
from provisioner.simulator.faults import Fault, FaultName
from provisioner.simulator.settings import Durations, Settings
from provisioner.taskboard import COMPANY, LONGEST, TaskBoard
from provisioner.terms import Cloning
from tests.support.pve import NODE, TEMPLATE, VMID, World, direct_world

#: Seconds that a clone takes in this world.
CLONE = 8


@pytest.fixture
def world() -> World:
    return direct_world()


async def clone(world: World) -> str:
    return await world.hypervisor.clone(NODE, TEMPLATE, VMID, "lease-1", "d")


def watched(world: World) -> TaskBoard:
    return TaskBoard(world.hypervisor, lambda: world.see(lambda cluster: cluster.now))


async def ended(world: World, board: TaskBoard, upid: str, most: int = 100) -> int:
    """Look whenever the board says that it is worth it, until the task has ended; how often."""
    for looks in range(1, most):
        world.advance(board.due_in([upid]))
        while board.due_in([upid]) > 0:
            world.advance(board.due_in([upid]))
        if await board.look([upid]):
            return looks
    raise AssertionError("it never ended")


async def test_a_task_that_nobody_looked_at_counts_as_running(world: World) -> None:
    board, upid = watched(world), await clone(world)
    world.advance(60)
    calls = world.calls()
    assert board.state(upid) == TaskState(running=True)
    assert world.calls() == calls


async def test_an_end_is_told_once_and_never_asked_for_again(world: World) -> None:
    board, upid = watched(world), await clone(world)
    assert await board.look([upid]) == frozenset()
    world.advance(60)
    assert await board.look([upid]) == {upid}
    calls = world.calls()
    world.advance(3600)
    assert board.state(upid) == TaskState(running=False, freed=frozenset())
    assert await board.look([upid]) == frozenset()
    assert world.calls() == calls


async def test_a_task_like_the_last_ones_is_looked_at_about_when_it_ends() -> None:
    world = direct_world()
    board, looks, late = watched(world), 0, 0.0
    for vmid in range(VMID, VMID + 8):
        began = world.see(lambda cluster: cluster.now)
        upid = await world.hypervisor.clone(NODE, TEMPLATE, vmid, f"lease-{vmid}", "d")
        looks = await ended(world, board, upid)
        late = world.see(lambda cluster: cluster.now) - began - CLONE
    assert looks <= 2
    assert late < 0.05


async def test_a_task_that_takes_longer_than_the_last_ones_is_looked_at_more_and_more_seldom() -> (
    None
):
    world = direct_world()
    board = watched(world)
    for vmid in range(VMID, VMID + 4):
        upid = await world.hypervisor.clone(NODE, TEMPLATE, vmid, f"lease-{vmid}", "d")
        await ended(world, board, upid)
    world.arm(Fault(FaultName.TASK_ENDLESS, method="POST"))
    upid = await world.hypervisor.clone(NODE, TEMPLATE, VMID + 9, "lease", "d")
    pauses = []
    for _ in range(20):
        while (pause := board.due_in([upid])) > 0:
            world.advance(pause)
        before = world.see(lambda cluster: cluster.now)
        assert not await board.look([upid])
        pauses.append(before)
    assert 1 < pauses[-1] - pauses[-2] <= LONGEST + 1


async def test_a_look_for_one_task_does_not_put_off_another_whose_end_is_known() -> None:
    world = direct_world()
    board = watched(world)
    for vmid in range(VMID, VMID + 6):
        upid = await world.hypervisor.clone(NODE, TEMPLATE, vmid, f"lease-{vmid}", "d")
        await ended(world, board, upid)
    upid = await world.hypervisor.clone(NODE, TEMPLATE, VMID + 9, "lease", "d")
    board.due_in([upid])
    world.advance(CLONE - 0.5)
    due = board.due_in([upid])
    world.advance(0.1)
    await board.look([upid])
    assert board.due_in([upid]) == pytest.approx(due - 0.1)


async def test_a_task_that_ran_before_we_looked_teaches_nothing_and_is_looked_at_at_once() -> None:
    world = direct_world()
    board, upid = watched(world), await clone(world)
    board.inherit([upid])
    assert board.due_in([upid]) == 0
    world.advance(60)
    assert await board.look([upid]) == {upid}
    assert board.ended_for(upid) is None


async def test_how_long_a_task_has_ended_is_counted_from_when_that_was_seen() -> None:
    world = direct_world()
    board, upid = watched(world), await clone(world)
    board.due_in([upid])
    world.advance(CLONE - 0.25)
    await board.look([upid])
    world.advance(0.5)
    await board.look([upid])
    world.advance(3)
    assert board.ended_for(upid) == pytest.approx(3)


async def test_many_tasks_that_may_end_soon_wait_for_one_look() -> None:
    world = direct_world()
    board = watched(world)
    upids = [
        await world.hypervisor.clone(NODE, TEMPLATE, VMID + each, f"lease-{each}", "d")
        for each in range(COMPANY)
    ]
    world.advance(board.due_in(upids))
    await board.look(upids)
    assert board.due_in(upids) == pytest.approx(1.0)
    assert board.due_in(upids[:1]) < 0.5


async def paced(world: World, board: TaskBoard, vmid: int, rate: float) -> tuple[int, float]:
    """Copy the template at a pace; returns how often that was looked at, and how late it was seen.

    A rate of 0 is a linked clone.
    """
    cloning = Cloning(full=rate > 0)
    durations = Durations(linked_clone=CLONE, full_clone_rate=rate or 1)
    world.see(lambda cluster: setattr(cluster.state, "settings", Settings(durations=durations)))
    began = world.see(lambda cluster: cluster.now)
    upid = await world.hypervisor.clone(NODE, TEMPLATE, vmid, "lease", "d", cloning=cloning)
    looks = await ended(world, board, upid, most=400)
    lasts = CLONE + (4 * 2**30 + 4 * 2**20) / rate if rate else CLONE
    return looks, world.see(lambda cluster: cluster.now) - began - lasts


async def test_a_copy_of_an_hour_is_looked_at_a_dozen_times_once_it_is_known() -> None:
    world = direct_world()
    board = watched(world)
    told = [await paced(world, board, VMID + each, 4 * 2**30 / 3600) for each in range(4)]
    looks, late = zip(*told, strict=True)
    assert looks[0] < 180
    assert max(looks[2:]) <= 12
    assert max(late) < 3600 * 0.06


async def test_copies_and_linked_clones_do_not_put_each_other_off() -> None:
    world = direct_world()
    board = watched(world)
    for each in range(0, 8, 2):
        await paced(world, board, VMID + each, 0)
        await paced(world, board, VMID + each + 1, 4 * 2**30 / 900)
    looks, late = await paced(world, board, VMID + 20, 0)
    assert (looks <= 2, late < 0.2) == (True, True)
    looks, late = await paced(world, board, VMID + 21, 4 * 2**30 / 900)
    assert looks <= 20
    assert late < 900 * 0.06


async def test_a_linked_clone_after_nothing_but_copies_is_seen_soon() -> None:
    world = direct_world()
    board = watched(world)
    for each in range(3):
        await paced(world, board, VMID + each, 4 * 2**30 / 3600)
    _, late = await paced(world, board, VMID + 20, 0)
    assert late <= 16

"""What the poller saw of tasks is what the passes read."""

import pytest

from provisioner.ports import TaskState
from provisioner.taskboard import TaskBoard
from tests.support.pve import NODE, TEMPLATE, VMID, World, direct_world

TICK = 1.0


@pytest.fixture
def world() -> World:
    return direct_world()


def board_of(world: World) -> TaskBoard:
    return TaskBoard(world.hypervisor, lambda: world.see(lambda cluster: cluster.now), TICK)


async def clone(world: World) -> str:
    return await world.hypervisor.clone(NODE, TEMPLATE, VMID, "lease-1", "d")


async def test_a_task_that_was_just_seen_to_run_is_not_asked_for_again(world: World) -> None:
    board, upid = board_of(world), await clone(world)
    assert await board.look([upid]) == frozenset()
    calls = world.calls()
    assert await board.state(upid) == TaskState(running=True)
    assert world.calls() == calls


async def test_a_task_that_was_seen_to_run_a_tick_ago_is_asked_for_again(world: World) -> None:
    board, upid = board_of(world), await clone(world)
    await board.look([upid])
    world.advance(60)
    assert await board.state(upid) == TaskState(running=False)


async def test_a_task_that_ended_is_never_asked_for_again(world: World) -> None:
    board, upid = board_of(world), await clone(world)
    await board.look([upid])
    world.advance(60)
    assert await board.look([upid]) == {upid}
    calls = world.calls()
    world.advance(3600)
    assert await board.state(upid) == TaskState(running=False)
    assert await board.look([upid]) == frozenset()
    assert world.calls() == calls

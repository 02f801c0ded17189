"""What the poller saw of tasks is what the passes read."""

import pytest

from provisioner.ports import TaskState
from provisioner.taskboard import TaskBoard
from tests.support.pve import NODE, TEMPLATE, VMID, World, direct_world


@pytest.fixture
def world() -> World:
    return direct_world()


async def clone(world: World) -> str:
    return await world.hypervisor.clone(NODE, TEMPLATE, VMID, "lease-1", "d")


async def test_a_task_that_nobody_looked_at_counts_as_running(world: World) -> None:
    board, upid = TaskBoard(world.hypervisor), await clone(world)
    world.advance(60)
    calls = world.calls()
    assert board.state(upid) == TaskState(running=True)
    assert world.calls() == calls


async def test_an_end_is_told_once_and_never_asked_for_again(world: World) -> None:
    board, upid = TaskBoard(world.hypervisor), await clone(world)
    assert await board.look([upid]) == frozenset()
    world.advance(60)
    assert await board.look([upid]) == {upid}
    calls = world.calls()
    world.advance(3600)
    assert board.state(upid) == TaskState(running=False)
    assert await board.look([upid]) == frozenset()
    assert world.calls() == calls

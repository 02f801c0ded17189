"""One list of a node's tasks serves all who ask within a moment, and nobody after it."""

import asyncio

import pytest

from provisioner.errors import ProvisionError
from provisioner.ports import TaskRow
from provisioner.simulator.faults import Fault, FaultName
from provisioner.tasklists import MOMENT, SPAN, TaskLists
from provisioner.taskwords import LONGEST_LIST
from tests.support.pve import NODE, TEMPLATE, VMID, World, direct_world


@pytest.fixture
def world() -> World:
    return direct_world()


def lists_of(world: World) -> TaskLists:
    return TaskLists(world.hypervisor, lambda: now(world))


def now(world: World) -> float:
    return float(world.see(lambda cluster: cluster.now))


async def clone(world: World, vmid: int) -> str:
    return await world.hypervisor.clone(NODE, TEMPLATE, vmid, f"lease-{vmid}", "d")


async def test_those_who_ask_within_a_moment_share_one_call(world: World) -> None:
    lists, began = lists_of(world), int(now(world))
    await world.ok(await clone(world, VMID))
    middle = int(now(world))
    await world.ok(await clone(world, VMID + 1))
    expected = [await world.hypervisor.tasks(NODE, since) for since in (began, middle)]
    assert [len(rows) for rows in expected] == [2, 1]
    before = world.calls()
    told = await asyncio.gather(*(lists.since(NODE, since) for since in (began, middle) * 4))
    assert told == expected * 4
    world.advance(MOMENT)
    assert await lists.since(NODE, began) == expected[0]
    assert world.calls() == before + 1


async def test_what_began_meanwhile_is_seen_after_a_moment(world: World) -> None:
    lists, began = lists_of(world), int(now(world))
    assert await lists.since(NODE, began) == []
    upid = await clone(world, VMID)
    world.advance(MOMENT + 0.01)
    rows = await lists.since(NODE, began)
    assert rows is not None
    assert [row.upid for row in rows] == [upid]


async def test_who_asks_for_much_more_is_told_all_of_it(world: World) -> None:
    lists, began = lists_of(world), int(now(world))
    upid = await clone(world, VMID)
    await world.ok(upid)
    world.advance(2 * SPAN)
    assert await lists.since(NODE, int(now(world))) == []
    rows = await lists.since(NODE, began)
    assert rows is not None
    assert [row.upid for row in rows] == [upid]


async def test_an_error_is_told_to_who_asked_and_to_nobody_after_him(world: World) -> None:
    lists, began = lists_of(world), int(now(world))
    world.arm(Fault(FaultName.LOSE_REPLY, "GET", f"/nodes/{NODE}/tasks"))
    with pytest.raises(ProvisionError, match="could not be read"):
        await lists.since(NODE, began)
    assert await lists.since(NODE, began) == []


async def test_a_list_that_is_cut_off_is_no_list_but_serves_who_asks_for_less(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = int(now(world)) // SPAN * SPAN + SPAN - 1
    many = [
        TaskRow(f"UPID:{place}", "qmstart", 1, "u", began - place // 2000, began, "OK")
        for place in range(LONGEST_LIST + 2)
    ]

    async def tasks(node: str, since: int) -> list[TaskRow]:
        asked.append(since)
        return [row for row in many if row.started >= since][:LONGEST_LIST]

    asked: list[int] = []
    monkeypatch.setattr(world.hypervisor, "tasks", tasks)
    lists = lists_of(world)
    assert await lists.since(NODE, began - 1) == many[:4000]
    assert asked == [began - SPAN + 1, began - 1], "a bit more was too much"
    assert await lists.since(NODE, began - 2) is None
    assert await lists.since(NODE, began) == many[:2000]
    assert asked[2:] == [began - SPAN + 1, began - 2]

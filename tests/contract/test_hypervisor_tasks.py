"""What every hypervisor backend tells of its tasks, on every transport there is."""

import pytest

from provisioner.errors import (
    HypervisorDown,
    Locked,
    NoRoom,
    ProvisionError,
    Transient,
    UnknownOutcome,
)
from provisioner.simulator.faults import Fault, FaultName
from tests.support.pve import NODE, TEMPLATE, VMID, World


async def test_the_task_list_shows_who_did_what_to_whom_and_how_it_ended(world: World) -> None:
    since = int(world.hands.now())
    upid = await world.hypervisor.clone(NODE, TEMPLATE, VMID, "lease-1", "d")
    (running,) = await world.hypervisor.tasks(NODE, since)
    assert (running.upid, running.kind, running.vmid) == (upid, "qmclone", TEMPLATE)
    assert (running.user, running.status, running.ended) == (world.token, None, None)
    await world.ok(upid)
    await world.ok(await world.hypervisor.destroy(NODE, VMID))
    rows = await world.hypervisor.tasks(NODE, since)
    assert [row.started for row in rows] == sorted((row.started for row in rows), reverse=True)
    destroyed, cloned = sorted(rows, key=lambda row: row.kind, reverse=True)
    assert (cloned.upid, cloned.user, cloned.status) == (upid, world.token, "OK")
    assert (destroyed.kind, destroyed.vmid) == ("qmdestroy", VMID)
    assert destroyed.ended is not None
    assert destroyed.ended >= destroyed.started >= since
    assert await world.hypervisor.tasks(NODE, destroyed.ended + 1) == []


async def test_a_node_dates_its_tasks_by_the_clock_that_it_tells(world: World) -> None:
    before = await world.hypervisor.clock(NODE)
    upid = await world.hypervisor.clone(NODE, TEMPLATE, VMID, "lease-1", "d")
    (task,) = [row for row in await world.hypervisor.tasks(NODE, before) if row.upid == upid]
    assert before <= task.started <= await world.hypervisor.clock(NODE)


async def test_a_vmid_that_anybody_freed_is_known_for_as_long_as_it_must_rest(
    world: World,
) -> None:
    since = int(world.hands.now())
    assert await world.hypervisor.freed(since) == frozenset()
    await world.cloned()
    await world.ok(await world.hypervisor.destroy(NODE, VMID))
    world.advance(90)
    assert await world.hypervisor.freed(since) == {VMID}
    calls = world.calls()
    assert await world.hypervisor.freed(since) == {VMID}
    assert await world.hypervisor.freed(int(world.hands.now()) - 1) == frozenset()
    assert world.calls() == calls, "what was read serves for a minute"
    world.advance(90)
    now = int(world.hands.now())
    assert await world.hypervisor.freed(now) == frozenset()


async def test_many_tasks_are_watched_with_one_call(world: World) -> None:
    names = range(VMID, VMID + 4)
    upids = [
        await world.hypervisor.clone(NODE, TEMPLATE, vmid, f"lease-{vmid}", "d") for vmid in names
    ]
    calls = world.calls()
    states = await world.hypervisor.task_states(upids)
    assert world.calls() == calls + 1
    assert set(states) == set(upids)
    assert all(state.running for state in states.values())
    world.hands.settle()
    forgotten = "UPID:pve:00000001:00000001:60000000:qmstart:100:root@pam:"
    states = dict(await world.hypervisor.task_states([*upids, forgotten]))
    assert isinstance(states.pop(forgotten).error, UnknownOutcome)
    assert all(not state.running and state.error is None for state in states.values())


async def test_warnings_are_success_and_a_forgotten_task_proves_nothing(world: World) -> None:
    world.arm(Fault(FaultName.TASK_WARNS, "POST", "*/clone"))
    await world.cloned()
    for upid in (
        "UPID:pve:00000001:00000001:60000000:qmstart:100:root@pam:",
        "UPID:pve:0000FFFF:00000001:60000001:qmclone:9000:root@pam!t1:",
    ):
        state = await world.task(upid)
        assert not state.running
        assert isinstance(state.error, UnknownOutcome)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("cfs-lock 'storage-local' error: got lock request timeout", Locked),
        ("interrupted by signal", Transient),
        ("cfs-lock 'file-user_cfg' error: no quorum!", HypervisorDown),
        ("lvcreate 'vm' error: not enough free space (1 < 2)", NoRoom),
        ("a sentence that nobody wrote down", Transient),
    ],
)
async def test_a_failed_task_says_what_its_words_mean(
    world: World, words: str, error: type[ProvisionError]
) -> None:
    world.arm(Fault(FaultName.TASK_FAILS, "POST", "*/clone", text=words))
    upid = await world.hypervisor.clone(NODE, TEMPLATE, VMID, "lease-1", "d")
    assert isinstance((await world.done(upid)).error, error)
    assert await world.hypervisor.vmid_is_free(VMID)


async def test_a_node_that_lost_power_proves_nothing_about_its_tasks(world: World) -> None:
    upid = await world.hypervisor.clone(NODE, TEMPLATE, VMID, "lease-1", "d")
    world.hands.power_cycle(NODE)
    world.advance(120)
    assert isinstance((await world.task(upid)).error, UnknownOutcome)

"""Ways in which somebody could stay in, stay free or stay without, each of them closed."""

from pathlib import Path

import pytest

from chainwatch.domain.desired import Hold
from chainwatch.domain.events import KeysChanged
from provisioner.simulator.faults import Fault, FaultName
from tests.support.amnesia import forget, rebuild
from tests.support.realm import (
    ALICES_KEY,
    BOB,
    BOBS_KEY,
    FIRST,
    GRACE,
    HOUR,
    LAST,
    realm,
)


async def test_an_agent_that_refuses_to_change_keys_does_not_keep_the_seller_in(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        world.buy()
        await world.settle()
        (vmid,) = world.running()
        world.transfer()
        world.confirm()
        for _ in range(5):
            world.cluster.arm(
                Fault(FaultName.REFUSE, "POST", "*/agent/file-write", text="Agent error: disabled")
            )
            await world.turns(2)
            world.cluster.state.faults.clear()
        assert not world.cluster.admits(vmid, ALICES_KEY)


async def test_a_key_that_is_none_neither_parks_a_lease_nor_keeps_it_alive(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        world.buy(key="garbage")
        await world.settle()
        (vmid,) = world.running()
        world.mine(KeysChanged(1, ALICES_KEY, "0x"))
        world.confirm()
        await world.settle()
        assert world.cluster.admits(vmid, ALICES_KEY)
        world.mine(KeysChanged(1, "garbage", "0x"))
        world.confirm()
        await world.settle()
        assert not world.cluster.admits(vmid, ALICES_KEY)
        world.pass_time(2 * HOUR)
        await world.settle()
        assert world.running() == []


async def test_the_owner_of_a_silent_machine_may_change_his_key_and_stays_connected(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        world.buy()
        await world.settle()
        (vmid,) = world.running()
        world.cluster.guest(vmid).has_agent = False
        world.mine(KeysChanged(1, BOBS_KEY, "0x"))
        world.confirm()
        await world.turns(5)
        assert world.cluster.inventory().guests[vmid].link_up


async def test_one_machine_that_cannot_be_read_does_not_stop_the_others(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        world.buy(1)
        await world.settle()
        await world.restart()
        world.cluster.arm(Fault(FaultName.PROXY_DOWN, "GET", f"*/qemu/{FIRST}/config"))
        world.buy(2)
        await world.settle()
        assert len(world.running()) == 2


@pytest.mark.parametrize("word", Hold)
async def test_a_rebuild_keeps_the_word_of_an_operator_that_the_machines_remember(
    tmp_path: Path, word: Hold
) -> None:
    async with realm(tmp_path) as world:
        lease = world.buy(lasts=100 * GRACE)
        await world.settle()
        await world.daemon.stores.holds.hold(str(lease), word, "a court asks", 0, now=1)
        await world.settle()
        before = world.running()
        await forget(world)
        await rebuild(world)
        await world.settle()
        assert [hold.kind for hold in await world.daemon.stores.holds.of(str(lease))] == [word]
        assert world.running() == before


async def test_asking_why_records_nothing(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        lease = world.buy()
        await world.settle()
        world.pass_time(2 * HOUR)
        await world.settle()
        (vmid,) = world.guests()
        world.cluster.remove_guest(vmid)
        operations = world.daemon.stores.operations
        before = await operations.recent(100)
        await world.daemon.reconciler.explain(str(lease))
        assert await operations.recent(100) == before


async def test_a_full_pool_does_not_keep_the_former_mints_machine_alive(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        for vmid in range(FIRST, LAST):
            world.cluster.add_guest(vmid, running=False)
        world.finalize()
        world.buy()
        await world.settle()
        assert world.running() == [LAST]
        world.chain.drop(2)
        world.buy(owner=BOB, key=BOBS_KEY, lasts=10 * GRACE)
        world.confirm()
        await world.turns(200)
        assert world.running() == []
        assert "no-room" in await world.alarms()


async def test_endless_clones_do_not_keep_others_waiting_for_ever(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        for token in range(1, 5):
            world.cluster.arm(Fault(FaultName.TASK_ENDLESS, "POST", "*/clone"))
            world.buy(token)
            await world.turns(3)
        world.cluster.state.faults.clear()
        world.buy(5)
        await world.turns(20)
        assert world.running() == []
        await world.turns(100, 10)
        assert len(world.running()) == 1
        assert "stuck" in await world.alarms()


async def test_an_order_to_suspend_is_followed_while_the_chain_is_away(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        lease = world.buy()
        await world.settle()
        await world.restart()
        holds = world.daemon.stores.holds
        await holds.hold(str(lease), Hold.SUSPEND, "spam", 0, now=1)
        supervisor = world.daemon.supervisor
        assert await supervisor.first_survey()
        for _ in range(60):
            await supervisor.poller.poll()
            await world.pass_all()
            world.cluster.advance(1)
        assert world.running() == []


async def test_a_machine_removed_by_hand_after_its_lease_gives_its_vmid_back(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        world.buy()
        await world.settle()
        world.pass_time(2 * HOUR)
        await world.settle()
        (vmid,) = world.guests()
        world.cluster.remove_guest(vmid)
        await world.daemon.supervisor.resync.enqueue_all("periodic resync")
        await world.settle()
        assert await world.daemon.stores.operations.reserved() == frozenset()

"""A machine's life, told by what the chain says and judged by what the cluster has."""

from pathlib import Path

from chainwatch.domain.desired import Hold
from chainwatch.domain.events import ZERO_ADDRESS, KeysChanged
from provisioner.simulator.faults import Fault, FaultName
from tests.support.realm import (
    ALICES_KEY,
    BOB,
    BOBS_KEY,
    GRACE,
    HOUR,
    LAST,
    Realm,
    realm,
)


async def suspended(world: Realm) -> None:
    """Buy a lease of an hour, let it run and run out."""
    world.buy()
    await world.settle()
    world.pass_time(2 * HOUR)
    await world.settle()
    assert world.running() == []


async def test_a_paid_lease_becomes_one_running_machine(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        world.buy()
        await world.settle()
        (vmid,) = world.running()
        config = world.guest().config
        assert world.cluster.admits(vmid, ALICES_KEY)
        assert (config["cores"], config["memory"], config["onboot"]) == (2, "2048", 1)
        assert "cipassword" not in config
        firewall = world.cluster.state.firewalls[vmid]
        assert firewall.ipsets == {"ipfilter-net0": {"203.0.113.10": ""}}
        assert (firewall.options["enable"], firewall.aliases) == (1, {})
        assert await world.alarms() == {}


async def test_nothing_is_made_before_the_mint_is_confirmed(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        world.buy()
        world.chain.drop(1)
        await world.settle()
        assert world.guests() == {}


async def test_an_expired_lease_is_suspended_and_not_destroyed_before_its_grace(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        await suspended(world)
        assert world.guest().config["onboot"] == 0
        world.finalize()
        world.pass_time(GRACE // 2)
        world.finalize()
        await world.settle()
        assert len(world.guests()) == 1


async def test_a_machine_is_destroyed_when_its_grace_is_final(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await suspended(world)
        world.finalize()
        await world.settle()
        world.pass_time(GRACE + 1)
        await world.settle()
        assert len(world.guests()) == 1, "the grace is over by the confirmed head only"
        world.finalize()
        await world.settle()
        assert world.guests() == {}
        assert world.leaked() == ()


async def test_a_late_renewal_gives_the_machine_back(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await suspended(world)
        world.renew()
        world.confirm()
        await world.settle()
        (vmid,) = world.running()
        assert world.guest().config["onboot"] == 1
        assert world.cluster.admits(vmid, ALICES_KEY)


async def test_the_next_suspension_has_a_grace_of_its_own(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await suspended(world)
        world.renew()
        world.confirm()
        await world.settle()
        world.pass_time(GRACE)
        await world.settle()
        world.finalize()
        await world.settle()
        assert len(world.guests()) == 1
        assert world.running() == []


async def test_a_renewal_seen_only_at_latest_stops_the_destroy(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await suspended(world)
        world.finalize()
        await world.settle()
        world.pass_time(GRACE + 1)
        world.finalize()
        world.renew()  # in the head's block, which nothing confirms yet
        await world.turn()
        await world.turn()
        assert len(world.guests()) == 1
        assert "not yet confirmed" in str(await world.sentences())
        world.confirm()
        await world.settle()
        assert len(world.running()) == 1


async def test_a_former_owner_is_locked_out_at_the_confirmed_head(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        world.buy()
        await world.settle()
        (vmid,) = world.running()
        world.cluster.log_in(vmid, ALICES_KEY)
        world.transfer()
        world.confirm()
        await world.settle()
        assert not world.cluster.admits(vmid, ALICES_KEY)
        assert world.cluster.inventory().guests[vmid].sessions == ()
        assert world.cluster.inventory().guests[vmid].link_up, "what he sold still runs"


async def test_a_new_owner_is_let_in_when_the_transfer_is_final(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        world.buy()
        await world.settle()
        (vmid,) = world.running()
        world.transfer()
        world.mine(KeysChanged(1, BOBS_KEY, "0x"))
        world.confirm()
        await world.settle()
        assert not world.cluster.admits(vmid, BOBS_KEY), "the transfer can still be taken back"
        world.finalize()
        await world.settle()
        assert world.cluster.admits(vmid, BOBS_KEY)
        assert not world.cluster.admits(vmid, ALICES_KEY)


async def test_a_machine_whose_agent_is_silent_is_cut_off_at_a_handover(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        world.buy()
        await world.settle()
        (vmid,) = world.running()
        world.cluster.guest(vmid).has_agent = False
        world.transfer()
        world.confirm()
        await world.turn()
        await world.turn()
        assert not world.cluster.inventory().guests[vmid].link_up
        assert not world.cluster.admits(vmid, ALICES_KEY)
        assert "stuck" in await world.alarms()


async def test_a_machine_suspended_during_a_handover_never_lets_the_seller_in(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        await suspended(world)
        (vmid,) = world.guests()
        world.transfer()
        world.mine(KeysChanged(1, BOBS_KEY, "0x"))
        world.renew()
        world.confirm()
        for _ in range(120):
            await world.turn()
            assert not world.cluster.admits(vmid, ALICES_KEY)
            world.cluster.advance(1)
        world.finalize()
        await world.settle()
        assert world.cluster.admits(vmid, BOBS_KEY)


async def test_a_suspended_machine_that_somebody_starts_is_stopped_again(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await suspended(world)
        (vmid,) = world.guests()
        world.cluster.start_guest(vmid)
        await world.daemon.supervisor.resync.enqueue_all("periodic resync")
        await world.settle()
        assert world.running() == []


async def test_a_machine_that_its_owner_powered_off_is_left_off(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        world.buy()
        await world.settle()
        (vmid,) = world.running()
        world.cluster.stop_guest(vmid)
        await world.daemon.supervisor.resync.enqueue_all("periodic resync")
        await world.settle()
        assert world.running() == []
        assert "as its owner left it" in str(await world.sentences())


async def test_a_paid_lease_whose_machine_is_gone_gets_a_new_one_and_an_alarm(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        world.buy()
        await world.settle()
        (vmid,) = world.running()
        world.cluster.stop_guest(vmid)
        world.cluster.remove_guest(vmid)
        await world.daemon.supervisor.resync.enqueue_all("periodic resync")
        await world.turns(3)
        said = (await world.alarms())["machine-gone"]
        assert said == f"VM {vmid} vanished; a new one is made"
        await world.settle()
        assert len(world.running()) == 1
        assert await world.alarms() == {}


async def test_the_alarm_of_a_machine_that_gave_its_number_back_does_not_call_it_none(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        lease = world.buy()
        await world.settle()
        (vmid,) = world.running()
        row = await world.daemon.stores.leases.get(str(lease))
        assert row is not None
        world.cluster.stop_guest(vmid)
        world.cluster.remove_guest(vmid)
        await world.daemon.stores.operations.gone(str(lease), row.nonce, vmid, "pve")
        await world.daemon.supervisor.resync.enqueue_all("periodic resync")
        await world.turns(3)
        said = (await world.alarms())["machine-gone"]
        assert said == "its machine vanished; a new one is made"
        await world.settle()
        assert await world.alarms() == {}


async def test_a_mint_that_a_reorg_takes_back_is_suspended_and_destroyed_after_grace(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        world.finalize()
        world.buy()
        await world.settle()
        assert len(world.running()) == 1
        world.chain.reorg(2)
        world.confirm()
        await world.settle()
        assert world.running() == []
        world.finalize()
        world.pass_time(GRACE + 1)
        world.finalize()
        await world.settle()
        assert world.guests() == {}


async def test_a_token_minted_again_to_somebody_else_is_another_machine(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        world.finalize()
        world.buy()
        await world.settle()
        (first,) = world.running()
        world.chain.drop(2)
        world.buy(owner=BOB, key=BOBS_KEY, lasts=10 * GRACE)
        world.confirm()
        world.confirm()
        await world.settle()
        (second,) = world.running()
        assert second != first
        assert world.cluster.admits(second, BOBS_KEY)
        assert not world.cluster.admits(second, ALICES_KEY)
        world.finalize()
        world.pass_time(GRACE + 1)
        world.finalize()
        await world.settle()
        assert list(world.guests()) == [second]


async def test_a_mint_that_moved_to_another_block_keeps_its_machine(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        world.finalize()
        world.buy(tx="0x" + "77" * 32)
        await world.settle()
        before = world.running()
        world.chain.drop(2)
        world.mine()
        world.buy(tx="0x" + "77" * 32)
        world.confirm()
        await world.settle()
        assert world.running() == before


async def test_a_held_lease_is_neither_suspended_nor_destroyed(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        lease = world.buy()
        await world.settle()
        await world.daemon.stores.holds.hold(str(lease), Hold.HOLD, "a court asks", 0, now=1)
        await world.settle()
        assert world.guest().config["protection"] == 1
        world.pass_time(GRACE * 3)
        world.finalize()
        await world.settle()
        assert len(world.running()) == 1


async def test_an_order_to_suspend_is_followed_while_the_lease_is_paid(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        lease = world.buy()
        await world.settle()
        holds = world.daemon.stores.holds
        await holds.hold(str(lease), Hold.SUSPEND, "spam", 0, now=1)
        await world.settle()
        assert world.running() == []
        await holds.release(str(lease), Hold.SUSPEND, "cleaned", 0, now=2)
        await world.settle()
        assert len(world.running()) == 1


async def test_a_pause_stops_every_effect_and_nothing_else(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await world.daemon.stores.holds.pause("effects", "maintenance", 0, now=1)
        lease = world.buy()
        await world.settle()
        assert world.guests() == {}
        assert (await world.daemon.stores.leases.get(str(lease))) is not None
        await world.daemon.stores.holds.resume("done", 0, now=2)
        await world.daemon.supervisor.resync.enqueue_all("resumed")
        await world.settle()
        assert len(world.running()) == 1


async def test_the_destroy_budget_makes_the_excess_wait_with_an_alarm(tmp_path: Path) -> None:
    async with realm(tmp_path, destroys_per_hour=2) as world:
        for token in (1, 2, 3):
            world.buy(token)
        await world.settle()
        world.pass_time(2 * HOUR)
        await world.settle()
        world.pass_time(GRACE + HOUR)
        world.finalize()
        for _ in range(30):
            await world.turn()
            world.cluster.advance(1)
        assert len(world.guests()) == 1
        assert "over-budget" in await world.alarms()
        world.cluster.advance(HOUR)
        await world.settle()
        assert world.guests() == {}


async def test_no_quorum_causes_neither_a_create_nor_a_destroy(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        world.buy()
        world.cluster.arm(Fault(FaultName.EMPTY, path="/cluster/resources"))
        await world.turn()
        assert world.guests() == {}
        assert "hypervisor-down" in await world.alarms()
        await world.settle()
        assert len(world.running()) == 1
        assert "hypervisor-down" not in await world.alarms()


async def test_one_failing_lease_does_not_delay_another(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        world.cluster.add_guest(LAST, running=False)
        world.buy(1)
        world.buy(2)
        for _ in range(60):
            if not world.cluster.state.faults.unused():
                world.cluster.arm(Fault(FaultName.REFUSE, "POST", "*/qemu/20000/status/start"))
            await world.turn()
            world.cluster.advance(1)
        assert world.running() == [20001]
        assert world.touched_foreign() == ()


async def test_after_a_sale_the_account_says_whose_it_is_once_that_is_final(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        world.buy(lasts=100 * GRACE)
        world.finalize()
        await world.settle()
        world.transfer()  # without a key: only a wallet's signature could let the buyer in
        world.confirm()
        await world.settle()
        assert world.guest().os.comments == {"debian": f"wallet={ZERO_ADDRESS},nft=1"}
        world.finalize()
        await world.settle()
        assert world.guest().os.comments == {"debian": f"wallet={BOB},nft=1"}

"""What stands in our range and is not ours, and what becomes of places that are taken or freed."""

from pathlib import Path

from provisioner.simulator.faults import Fault, FaultName
from provisioner.simulator.guests import ConfigValue
from tests.support.judge import Judge
from tests.support.realm import FIRST, GRACE, HOUR, LAST, realm


async def test_a_stranger_on_the_next_vmid_is_passed_over(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        world.cluster.add_guest(FIRST, running=True)
        world.buy()
        await world.settle()
        assert world.running() == [FIRST + 1]
        assert world.touched_foreign() == ()


async def test_a_full_range_raises_an_alarm_and_a_freed_place_is_taken(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        for vmid in range(FIRST, LAST + 1):
            world.cluster.add_guest(vmid)
        world.buy()
        await world.turns(40)
        assert world.guests() == {}
        assert "widen the range" in (await world.alarms())["no-room"]
        world.cluster.remove_guest(LAST)
        await world.settle()
        assert world.running() == [LAST]
        assert "no-room" not in await world.alarms()


async def test_a_freed_vmid_rests_before_somebody_else_gets_it(tmp_path: Path) -> None:
    async with realm(tmp_path, quarantine=3600) as world:
        world.buy(1, lasts=HOUR)
        await world.settle()
        world.pass_time(2 * HOUR)
        world.finalize()
        await world.settle()
        world.pass_time(GRACE + 1)
        world.finalize()
        await world.settle()
        assert world.guests() == {}
        world.buy(2)
        await world.settle()
        assert world.running() == [FIRST + 1]
        world.cluster.advance(3601)
        world.buy(3)
        await world.settle()
        assert world.running() == [FIRST, FIRST + 1]


async def test_a_clone_that_comes_late_for_a_machine_that_vanished_is_not_a_second_one(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        world.buy(lasts=100 * GRACE)
        await world.settle()
        world.cluster.stop_guest(FIRST)
        world.cluster.remove_guest(FIRST)
        late = Fault(FaultName.HANG, "POST", "*/clone", seconds=40.0)  # we wait for 35
        world.cluster.arm(late)
        await world.daemon.supervisor.resync.enqueue_all("periodic resync")
        await world.turns(60)
        assert world.cluster.state.faults.struck == [late]
        assert len(world.guests()) == 1
        assert len(world.running()) == 1


# ------------------------------------------------------------------------------- hands in the way


async def test_a_copy_of_our_machine_made_by_hand_is_an_orphan_and_never_touched(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        world.buy(lasts=HOUR)
        await world.settle()
        copied: dict[str, ConfigValue] = dict(world.guest().config)
        copy = world.cluster.add_guest(LAST, running=True)
        world.cluster.edit_guest(LAST, **{k: copied[k] for k in ("name", "description", "smbios1")})
        judge = Judge(world, strangers={LAST: dict(copy.config)})
        judge.look()
        await world.daemon.supervisor.resync.survey()
        assert str(LAST) in (await world.alarms())["orphans"]
        world.pass_time(2 * HOUR)
        world.finalize()
        await world.settle()
        judge.look()
        world.pass_time(GRACE + 1)
        world.finalize()
        await world.daemon.supervisor.resync.survey()
        await world.settle()
        judge.look()
        assert world.guests() == {}
        assert world.cluster.guest(LAST).running


async def test_a_machine_that_lost_its_description_is_given_up_and_not_touched(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        lease = world.buy(lasts=HOUR)
        await world.settle()
        word = str(world.guest().config["description"])
        world.cluster.edit_guest(FIRST, description="mine now")
        config = dict(world.guest().config)
        world.pass_time(2 * HOUR)
        await world.settle()
        assert world.guest().config == config
        assert world.running() == [FIRST]
        assert "put the description back" in (await world.alarms())["parked"]
        world.cluster.edit_guest(FIRST, description=word)
        await world.daemon.stores.work.unpark(str(lease))
        await world.settle()
        assert world.running() == []

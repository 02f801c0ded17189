"""What operators order is done once, seen to be done, and told; judged by what the cluster has."""

from pathlib import Path

import pytest

from chainwatch.domain.desired import Hold
from chainwatch.errors import OperatorError
from chainwatch.store.wishes import MOST, Wish
from provisioner.machines import Machines
from provisioner.model import DesiredMachine, Observed, Verb
from provisioner.simulator.faults import Fault, FaultName
from tests.support.office import desk_of
from tests.support.realm import ALICES_KEY, BOBS_KEY, FIRST, GRACE, HOUR, Realm, realm

UID = 1000


async def order(world: Realm, verb: Verb, name: str = "") -> int:
    """Have something done to the machine of lease 1; returns the order's number."""
    wish = await desk_of(world).order("1", (verb, name), "a test", UID)
    return wish.number


async def last(world: Realm) -> Wish:
    """Return the last order of lease 1 as `show` tells it."""
    return (await desk_of(world).show("1")).orders[0]


async def how(world: Realm) -> tuple[str | None, str | None]:
    wish = await last(world)
    return wish.outcome, wish.said


async def bought(world: Realm) -> None:
    world.buy(lasts=100 * GRACE)
    world.finalize()
    await world.settle()


def boots(world: Realm) -> int:
    return world.cluster.inventory().guests[FIRST].boots


async def test_a_reboot_boots_the_guest_once_more_and_says_so(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await bought(world)
        before = boots(world)
        await order(world, Verb.REBOOT)
        assert await how(world) == (None, None)
        await world.settle()
        assert (boots(world), world.running()) == (before + 1, [FIRST])
        assert await how(world) == ("done", "it was shut down and started again")
        assert (await last(world)).uid == UID


@pytest.mark.parametrize("verb", [Verb.STOP, Verb.KILL])
async def test_a_machine_that_was_switched_off_stays_off_until_it_is_started(
    verb: Verb, tmp_path: Path
) -> None:
    async with realm(tmp_path) as world:
        await bought(world)
        await order(world, verb)
        await world.settle()
        assert world.running() == []
        await world.daemon.supervisor.resync.enqueue_all("periodic resync")
        await world.settle()
        assert world.running() == []
        await order(world, Verb.START)
        await world.settle()
        assert world.running() == [FIRST]
        assert await how(world) == ("done", "it was started")


async def test_a_start_brings_back_what_its_owner_powered_off(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await bought(world)
        world.cluster.stop_guest(FIRST)
        await order(world, Verb.START)
        await world.settle()
        assert world.running() == [FIRST]


async def test_a_snapshot_is_taken_once_and_rolled_back_to(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await bought(world)
        number = await order(world, Verb.SNAPSHOT)
        await world.settle()
        assert list(world.guest().snapshots) == [f"order-{number}"]
        assert await how(world) == ("done", f"snapshot order-{number} was taken")
        world.guest().os.files["/home/debian/diary"] = "dear diary"
        await order(world, Verb.ROLLBACK, f"order-{number}")
        await world.settle()
        assert "/home/debian/diary" not in world.guest().os.files
        assert world.running() == [FIRST]
        assert world.cluster.admits(FIRST, ALICES_KEY)
        assert await how(world) == ("done", "it was rolled back and started")


async def test_a_rollback_does_not_let_a_former_owner_in_again(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await bought(world)
        number = await order(world, Verb.SNAPSHOT)
        await world.settle()
        world.transfer()
        world.mine(*[])
        world.finalize()
        await world.settle()
        assert not world.cluster.admits(FIRST, ALICES_KEY)
        await order(world, Verb.ROLLBACK, f"order-{number}")

        def watch() -> None:
            assert not (
                world.guests() and world.running() and world.cluster.admits(FIRST, ALICES_KEY)
            )

        await world.settle(watch=watch)
        assert (await how(world))[0] == "done"
        assert not world.cluster.admits(FIRST, ALICES_KEY)
        assert BOBS_KEY not in str(world.guest().os.files)


async def test_a_rollback_whose_reply_is_lost_is_done_once(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await bought(world)
        number = await order(world, Verb.SNAPSHOT)
        await world.settle()
        world.cluster.arm(Fault(FaultName.LOSE_REPLY, "POST", "*/rollback"))
        await order(world, Verb.ROLLBACK, f"order-{number}")
        await world.settle()
        tasks = [task for task in world.cluster.inventory().tasks if task.kind == "qmrollback"]
        assert len(tasks) == 1
        assert (await how(world))[0] == "done"


async def test_a_rollback_to_what_is_not_there_is_refused_and_changes_nothing(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        await bought(world)
        await order(world, Verb.ROLLBACK, "nothing-like-it")
        await world.settle()
        outcome, said = await how(world)
        assert outcome == "refused"
        assert said == "it has no snapshot nothing-like-it; there are: none"
        assert world.running() == [FIRST]


async def test_an_order_that_can_never_be_done_ends_and_parks_nobody(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await bought(world)
        text = "snapshot feature is not available"
        world.cluster.arm(Fault(FaultName.TASK_FAILS, "POST", "*/snapshot", text=text))
        await order(world, Verb.SNAPSHOT)
        await world.settle()
        outcome, said = await how(world)
        assert (outcome, text in (said or "")) == ("refused", True)
        assert (await desk_of(world).show("1")).waits is None
        assert await world.alarms() == {}


async def test_an_order_to_a_machine_that_nobody_pays_for_is_refused(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        world.buy()
        await world.settle()
        world.pass_time(2 * HOUR)
        await world.settle()
        await order(world, Verb.START)
        await world.settle()
        assert (await how(world))[0] == "refused"
        assert world.running() == []


async def test_an_order_to_a_machine_of_a_mint_that_is_gone_is_refused(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await bought(world)
        await world.daemon.stores.holds.pause("effects", "a look", 0, now=1)
        await order(world, Verb.KILL)
        world.burn()
        world.confirm()
        world.buy(tx="0x" + "77" * 32)
        await world.daemon.stores.holds.resume("", 0, now=2)
        await world.settle()
        outcome, said = await how(world)
        assert outcome == "refused"
        assert "another machine" in (said or "")


async def test_orders_are_done_in_the_order_in_which_they_were_given(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await bought(world)
        await order(world, Verb.STOP)
        await order(world, Verb.SNAPSHOT)
        await order(world, Verb.START)
        await world.settle()
        story = await desk_of(world).show("1")
        assert [each.outcome for each in story.orders] == ["done"] * 3
        steps = [each.step for each in story.operations][::-1]
        assert steps.index("switch-off") < steps.index("snapshot")
        assert world.running() == [FIRST]


async def test_nobody_orders_without_end_or_without_a_reason(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await bought(world)
        desk = desk_of(world)
        with pytest.raises(OperatorError, match="say why"):
            await desk.order("1", (Verb.KILL, ""), " ", UID)
        with pytest.raises(OperatorError, match="takes the name of a snapshot"):
            await desk.order("1", (Verb.KILL, "x"), "why", UID)
        for name in ("", "a", "a/../b", "current config", "x" * 41, "a\n"):
            with pytest.raises(OperatorError, match="snapshot"):
                await desk.order("1", (Verb.ROLLBACK, name), "why", UID)
        for _ in range(MOST):
            await order(world, Verb.START)
        with pytest.raises(OperatorError, match="not done yet"):
            await order(world, Verb.START)
        told = [entry.what for entry in await desk.audit(50)]
        assert told == ["start"] * MOST


# ------------------------------------------------------------------------------------- taking back


async def withdraw(world: Realm, number: int) -> Wish:
    return await desk_of(world).withdraw("1", number, "it cleaned up", UID)


async def test_an_order_that_waits_is_taken_back_and_nothing_is_done_for_it(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await bought(world)
        before = boots(world)
        await desk_of(world).pause("effects", "a look", UID)
        number = await order(world, Verb.REBOOT)
        await world.turns(3)
        await withdraw(world, number)
        await desk_of(world).resume_all("", UID)
        await world.settle()
        assert (boots(world), world.running()) == (before, [FIRST])
        assert await how(world) == ("withdrawn", f"withdrawn by user {UID}: it cleaned up")
        told = [entry.what for entry in await desk_of(world).audit(9)]
        assert told == ["resume", f"withdraw reboot {number}", "reboot", "pause"]
        assert (await desk_of(world).show("1")).waits is None


async def test_an_order_that_has_begun_is_not_taken_back_and_is_done(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await bought(world)
        number = await order(world, Verb.STOP)
        while not await world.daemon.stores.operations.open_all():
            await world.turn()
        with pytest.raises(OperatorError, match=r"has begun \(switch-off\)"):
            await withdraw(world, number)
        await world.settle()
        assert world.running() == []
        assert (await how(world))[0] == "done"
        with pytest.raises(OperatorError, match=r"has ended already \(done\)"):
            await withdraw(world, number)


async def test_the_order_behind_one_that_was_taken_back_has_its_turn(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await bought(world)
        await desk_of(world).pause("effects", "a look", UID)
        first = await order(world, Verb.REINSTALL)
        await order(world, Verb.SNAPSHOT)
        made = world.guest().created_at
        await withdraw(world, first)
        await desk_of(world).resume_all("", UID)
        await world.settle()
        story = await desk_of(world).show("1")
        assert [each.outcome for each in story.orders] == ["done", "withdrawn"]
        assert world.guest().created_at == made


async def test_a_pass_that_knew_of_an_order_before_it_was_taken_back_does_nothing_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with realm(tmp_path) as world:
        await bought(world)
        number = await order(world, Verb.KILL)
        key, observe = str(world.lease()), Machines.observe

        async def late(self: Machines, want: DesiredMachine, *, settle: bool = True) -> Observed:
            seen = await observe(self, want, settle=settle)
            await withdraw(world, number)  # between the pass's look and its step
            return seen

        with monkeypatch.context() as patched:
            patched.setattr(Machines, "observe", late)
            outcome = await world.daemon.reconciler.reconcile(key)
        assert f"order {number} was withdrawn meanwhile" in outcome.sentence
        await world.settle()
        assert world.running() == [FIRST]
        assert (await how(world))[0] == "withdrawn"
        assert await world.alarms() == {}


# --------------------------------------------------------------------------------------- reinstall


async def test_a_reinstall_makes_the_machine_anew_where_it_stood(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await bought(world)
        world.guest().os.files["/root/backdoor"] = "mine"
        made = world.guest().created_at
        await order(world, Verb.REINSTALL)
        await world.settle()
        assert world.running() == [FIRST]
        assert "/root/backdoor" not in world.guest().os.files
        assert world.guest().created_at > made
        assert world.cluster.admits(FIRST, ALICES_KEY)
        assert await how(world) == ("done", "it was destroyed and made anew")
        assert (await desk_of(world).status()).destroys.spent == 1
        assert await world.alarms() == {}
        assert world.leaked() == ()


async def test_a_reinstall_waits_for_a_hold_a_pause_and_the_budget(tmp_path: Path) -> None:
    async with realm(tmp_path, destroys_per_hour=0) as world:
        await bought(world)
        holds, key = world.daemon.stores.holds, str(world.lease())
        await holds.hold(key, Hold.HOLD, "a court asks", 0, now=1)
        await holds.pause("destroys", "a look", 0, now=1)
        await order(world, Verb.REINSTALL)
        await world.settle()
        for word in ("destroys are paused", "is held", "are allowed"):
            assert word in (await world.sentences())[key]
            assert world.running() == [FIRST]
            if "paused" in word:
                await holds.resume("", 0, now=2)
            elif "held" in word:
                await holds.release(key, Hold.HOLD, "", 0, now=2)
            await world.turns(5)
        assert await how(world) == (None, None)


async def test_a_reinstall_does_not_wipe_what_was_sold_a_moment_ago(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await bought(world)
        await order(world, Verb.REINSTALL)
        world.transfer()
        await world.turns(30)
        assert world.running() == [FIRST]
        assert "another owner, not yet confirmed" in str(await world.sentences())
        world.finalize()
        await world.settle()
        assert (await how(world))[0] == "done"

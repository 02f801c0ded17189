"""A reinstall that waits for its guards waits with the machine running."""

from pathlib import Path

from provisioner.model import Verb
from provisioner.simulator.faults import Fault, FaultName
from tests.support.office import desk_of
from tests.support.realm import FIRST, GRACE, Realm, realm


async def reinstall(world: Realm, lease: str) -> None:
    await desk_of(world).order(lease, (Verb.REINSTALL, ""), "a test", 1000)


async def test_a_reinstall_waits_for_who_owns_the_machine_with_the_machine_on(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        world.buy(lasts=100 * GRACE)
        await world.settle()
        begun = len(world.cluster.inventory().call_log)
        await reinstall(world, "1")
        await world.turns(30)
        said = "switch-off is due (it is to be made anew by order), but who owns the lease is not"
        assert said in str(await world.sentences())
        assert world.running() == [FIRST]
        since = world.cluster.inventory().call_log[begun:]
        assert not [call for call in since if call.path.endswith(("/shutdown", "/stop"))]
        world.finalize()
        await world.settle()
        assert world.running() == [FIRST]
        wish = (await desk_of(world).show("1")).orders[0]
        assert wish.said == "it was destroyed and made anew"


async def test_an_alarm_of_what_failed_ends_once_it_goes_well_though_the_order_waits(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        world.buy(lasts=100 * GRACE)
        await world.settle()
        refusal = "got timeout"
        world.cluster.arm(Fault(FaultName.REFUSE, "GET", "*/status/current", text=refusal))
        await reinstall(world, "1")
        await world.turn()
        assert refusal in (await world.alarms())["failing"]
        await world.turns(10)
        assert "not final yet" in str(await world.sentences())
        assert await world.alarms() == {}


async def test_no_reinstall_is_begun_that_the_budget_would_leave_switched_off(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path, destroys_per_hour=1) as world:
        for token in (1, 2):
            world.buy(token, lasts=100 * GRACE)
        world.finalize()
        await world.settle()
        for lease in ("1", "2"):
            await reinstall(world, lease)
        for _ in range(60):
            await world.turn()
            world.cluster.advance(1)
            assert len(world.running()) >= 1
        assert len(world.running()) == 2
        assert "are allowed; this one waits" in str(await world.sentences())

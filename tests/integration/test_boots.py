"""A node boots and does not bring a paid machine back: somebody has to. Who meant it stays off."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Final, cast

import pytest

from provisioner.model import Kind, Verb
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.faults import Struck
from provisioner.simulator.modes import world as behind
from provisioner.simulator.settings import Durations, Settings
from provisioner.simulator.state import Token
from provisioner.simulator.wire import ApiRequest
from tests.support.amnesia import forget, rebuild
from tests.support.chain_model import plan_events
from tests.support.lives import booted_in_vain, reboot, storage_away
from tests.support.office import desk_of
from tests.support.realm import FIRST, GRACE, Realm, realm
from tests.support.verbs import VERBS

KINDS: Final = pytest.mark.parametrize("kind", [Kind.VM, Kind.CONTAINER])
NODE: Final = "pve"
THEIRS: Final = "operator@pve!web"
WORDS: Final = {Kind.VM: "qemu", Kind.CONTAINER: "lxc"}
LEFT: Final = "is stopped, as its owner left it"


@asynccontextmanager
async def bought(
    folder: Path, kind: Kind = Kind.VM, *, start: float = 1.0, ahead: float = 0.0
) -> AsyncIterator[Realm]:
    """A realm with one machine that is paid for long; a start takes `start` seconds.

    Its node's clock is `ahead` seconds ahead of ours.
    """
    plan, cluster = (
        plan_events(kind=int(kind is Kind.CONTAINER)),
        Cluster(Settings(durations=Durations(start=start))),
    )
    cluster.state.nodes[NODE].clock_ahead = ahead
    async with realm(folder, plan=plan, cluster=cluster) as world:
        world.buy(lasts=100 * GRACE)
        world.finalize()
        await world.settle()
        assert world.running() == [FIRST]
        yield world


async def looked_at(world: Realm) -> None:
    """Have the daemon look, as it does in time."""
    await world.daemon.supervisor.resync.enqueue_all("periodic resync")
    await world.settle()


async def because(world: Realm) -> str:
    return (await world.sentences())[str(world.lease())]


def asked_for_tasks(world: Realm) -> int:
    """Return how often tasks of one guest were asked for."""
    calls = world.cluster.inventory().call_log
    return sum(call.path == f"/nodes/{NODE}/tasks" for call in calls)


async def order(world: Realm, verb: Verb) -> None:
    await desk_of(world).order("1", (verb, ""), "a test", 0)


# ------------------------------------------------------------------------------ it comes back


@KINDS
async def test_who_could_not_be_started_by_his_node_is_started(kind: Kind, tmp_path: Path) -> None:
    async with bought(tmp_path, kind) as world:
        booted_in_vain(world)
        await looked_at(world)
        assert world.running() == [FIRST]
        assert await because(world) == f"VM {FIRST} is running, as desired"
        assert await world.alarms() == {}


@KINDS
async def test_while_that_fails_an_alarm_says_why_and_then_it_ends(
    kind: Kind, tmp_path: Path
) -> None:
    async with bought(tmp_path, kind) as world:
        with storage_away(world):
            reboot(world)
            await world.daemon.supervisor.resync.enqueue_all("periodic resync")
            await world.turns(30)
            assert "storage 'local' is disabled" in (await world.alarms())["failing"]
            await world.turns(5, seconds=400)
            assert "storage 'local' is disabled" in (await world.alarms())["failing"]
        await world.settle(seconds=1200)
        assert world.running() == [FIRST]
        assert await world.alarms() == {}


@KINDS
@pytest.mark.parametrize("ahead", [240.0, -240.0])
async def test_a_node_whose_clock_is_wrong_knows_no_less(
    kind: Kind, ahead: float, tmp_path: Path
) -> None:
    async with bought(tmp_path, kind, ahead=ahead) as world:
        booted_in_vain(world)
        await looked_at(world)
        assert world.running() == [FIRST]


@KINDS
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("ahead", [240.0, -240.0])
async def test_a_node_whose_clock_was_set_since_knows_no_less(
    kind: Kind, ahead: float, again: bool, tmp_path: Path
) -> None:
    async with bought(tmp_path, kind, ahead=ahead) as world:
        booted_in_vain(world)
        world.cluster.state.nodes[NODE].clock_ahead = 0.0
        if again:
            await world.restart()
        await looked_at(world)
        assert world.running() == [FIRST]


@KINDS
async def test_a_new_database_knows_no_less(kind: Kind, tmp_path: Path) -> None:
    async with bought(tmp_path, kind) as world:
        await forget(world)
        booted_in_vain(world)
        await rebuild(world)
        await world.settle()
        assert world.running() == [FIRST]


@KINDS
async def test_a_daemon_that_was_started_with_the_node_knows_no_less(
    kind: Kind, tmp_path: Path
) -> None:
    async with bought(tmp_path, kind) as world:
        booted_in_vain(world)
        await world.restart()
        await looked_at(world)
        assert world.running() == [FIRST]


async def test_a_machine_whose_snippet_is_on_another_node_is_started_with_it(
    tmp_path: Path,
) -> None:
    verb = next(verb for verb in VERBS if verb.name == "provision")
    async with verb.realm(tmp_path, over_ssh=True) as world:
        world.buy(1, lasts=100 * GRACE)
        world.finalize()
        await world.settle()
        guest = world.guest()
        place = SimpleNamespace(vmid=guest.vmid, target=guest.node, node=guest.node)
        behind.migrated(world.cluster, cast("Struck", place))
        await looked_at(world)
        world.cluster.power_cycle(world.guest().node)
        world.cluster.advance(200)
        assert world.running() == []
        await looked_at(world)
        assert world.running() == [guest.vmid]
        assert await world.alarms() == {}


@KINDS
async def test_who_was_not_started_at_all_is_started_once_he_was_seen_running(
    kind: Kind, tmp_path: Path
) -> None:
    async with bought(tmp_path, kind) as world:
        world.cluster.edit_guest(FIRST, onboot=0)
        reboot(world)
        world.cluster.edit_guest(FIRST, onboot=1)
        await looked_at(world)
        assert world.running() == [FIRST]


async def test_a_node_that_is_still_starting_its_machines_is_waited_for(tmp_path: Path) -> None:
    async with bought(tmp_path, start=40.0) as world:
        world.cluster.power_cycle(NODE)
        world.cluster.advance(70)
        await world.daemon.supervisor.resync.enqueue_all("periodic resync")
        await world.turn()
        assert "its node has booted and is still starting its machines" in await because(world)
        assert world.running() == []
        before = world.guest().boots
        await world.settle()
        assert (world.running(), world.guest().boots) == ([FIRST], before + 1)


# ------------------------------------------------------------------------------- it stays off


@KINDS
async def test_who_was_powered_off_from_inside_stays_off_and_costs_no_call(
    kind: Kind, tmp_path: Path
) -> None:
    async with bought(tmp_path, kind) as world:
        before = asked_for_tasks(world)
        world.cluster.stop_guest(FIRST)
        for _ in range(3):
            await looked_at(world)
            world.cluster.advance(7200)
        assert world.running() == []
        assert LEFT in await because(world)
        assert asked_for_tasks(world) == before


@KINDS
async def test_after_a_restart_who_is_left_off_costs_one_call(kind: Kind, tmp_path: Path) -> None:
    async with bought(tmp_path, kind) as world:
        reboot(world)
        await looked_at(world)
        world.cluster.stop_guest(FIRST)
        await world.restart()
        before = asked_for_tasks(world)
        for _ in range(3):
            await looked_at(world)
            world.cluster.advance(7200)
        assert world.running() == []
        assert LEFT in await because(world)
        assert asked_for_tasks(world) == before + 1


async def test_who_runs_costs_no_call(tmp_path: Path) -> None:
    async with bought(tmp_path) as world:
        reboot(world)
        await looked_at(world)
        before = asked_for_tasks(world)
        await looked_at(world)
        assert world.running() == [FIRST]
        assert asked_for_tasks(world) == before


@KINDS
@pytest.mark.parametrize("forgetful", [False, True])
async def test_who_was_stopped_by_an_operator_stays_off(
    kind: Kind, forgetful: bool, tmp_path: Path
) -> None:
    async with bought(tmp_path, kind) as world:
        world.cluster.add_token(Token(THEIRS, "secret"))
        path = f"/nodes/{NODE}/{WORDS[kind]}/{FIRST}/status/stop"
        world.cluster.handle(ApiRequest("POST", path, {}, f"{THEIRS}=secret"))
        world.cluster.advance(30)
        assert world.running() == []
        if not forgetful:
            await looked_at(world)
        booted_in_vain(world)
        if forgetful:
            await forget(world)
            await rebuild(world)
        await looked_at(world)
        assert world.running() == []
        assert LEFT in await because(world)


@KINDS
async def test_who_was_off_before_the_boot_stays_off_when_his_start_fails(
    kind: Kind, tmp_path: Path
) -> None:
    async with bought(tmp_path, kind) as world:
        world.cluster.stop_guest(FIRST)
        await looked_at(world)
        booted_in_vain(world)
        await looked_at(world)
        assert world.running() == []
        assert LEFT in await because(world)


@KINDS
@pytest.mark.parametrize("again", [False, True])
async def test_who_is_switched_off_by_order_meanwhile_stays_off(
    kind: Kind, again: bool, tmp_path: Path
) -> None:
    async with bought(tmp_path, kind) as world:
        with storage_away(world):
            reboot(world)
            await world.daemon.supervisor.resync.enqueue_all("periodic resync")
            await world.turns(10)
            await order(world, Verb.STOP)
            await world.settle()
        if again:
            await world.restart()
        await looked_at(world)
        assert world.running() == []
        assert LEFT in await because(world)
        booted_in_vain(world)
        await looked_at(world)
        assert world.running() == []
        await order(world, Verb.START)
        await world.settle()
        assert world.running() == [FIRST]


async def test_who_was_switched_off_by_order_and_runs_again_is_brought_back(
    tmp_path: Path,
) -> None:
    async with bought(tmp_path) as world:
        await order(world, Verb.STOP)
        await world.settle()
        reboot(world)  # which starts it, as ever
        assert world.running() == [FIRST]
        booted_in_vain(world)
        await looked_at(world)
        assert world.running() == [FIRST]


@KINDS
@pytest.mark.parametrize("forgetful", [False, True])
async def test_who_was_ordered_to_start_while_he_ran_is_brought_back(
    kind: Kind, forgetful: bool, tmp_path: Path
) -> None:
    async with bought(tmp_path, kind) as world:
        await order(world, Verb.START)
        await world.settle()
        if forgetful:
            await world.restart()
            await world.settle()
        booted_in_vain(world)
        await looked_at(world)
        assert world.running() == [FIRST]


async def test_who_is_suspended_stays_off(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        world.buy(lasts=600)
        await world.settle()
        world.pass_time(1200)
        await world.settle()
        booted_in_vain(world)
        await looked_at(world)
        assert world.running() == []

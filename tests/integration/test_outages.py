"""What we rely on goes away (a chain, a database, a node, room) and nobody loses a paid machine."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from chainwatch.errors import Fatal, OperatorError, RpcUnavailable
from provisioner.machines import EVIDENCE
from provisioner.simulator.faults import Struck
from provisioner.simulator.modes.mode import Remedy
from provisioner.simulator.modes.rights import sight_gone
from tests.support.amnesia import forget, rebuild, reopen
from tests.support.blindness import destroys, makes
from tests.support.chain_model import ModelEndpoint
from tests.support.lives import FOREIGN, scene
from tests.support.realm import FIRST, GRACE, HOUR, TOKEN, Realm, realm

STALE: Final = 7200


class Line:
    """The line to the chain's node, which can be cut."""

    def __init__(self, world: Realm) -> None:
        self.cut = False
        endpoint = world.chain.rpc.endpoints[0]
        assert isinstance(endpoint, ModelEndpoint)
        endpoint.tamper = self._answered

    def _answered(self, _method: str, _params: object, result: object) -> object:
        if self.cut:
            raise RpcUnavailable("no route to the node")
        return result


def took_away(world: Realm) -> list[str]:
    """Return the calls that took something from somebody."""
    return [
        f"{call.method} {call.path}"
        for call in world.cluster.inventory().call_log
        if call.token == TOKEN and (call.path.endswith(("/shutdown", "/stop")) or destroys(call))
    ]


# -------------------------------------------------------------------------------------- the chain


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_renewal_during_an_outage_longer_than_grace_loses_nobody_anything(
    tmp_path: Path, *, restarted: bool
) -> None:
    async with realm(tmp_path) as world:
        line = Line(world)
        world.buy(lasts=HOUR)
        await world.settle()
        line.cut = True
        for _ in range(150):
            world.mine(seconds=600)
        world.renew(lasts=100 * GRACE)
        for _ in range(450):
            world.mine(seconds=600)
        for _ in range(3):
            world.cluster.advance(GRACE)
            await world.turns(3)
        if restarted:
            await world.restart()
        line.cut = False
        for ingest in world.daemon.supervisor.ingests:
            while await ingest.attempt():  # one batch of many, with a turn after each
                await world.pass_all()
                assert len(world.running()) == 1
        await world.settle()
        assert len(world.running()) == 1
        assert took_away(world) == []


async def test_a_source_that_stands_still_takes_nothing_away_and_says_so(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        line = Line(world)
        world.buy(lasts=HOUR)
        await world.settle()
        world.pass_time(2 * HOUR)
        await world.read()  # the daemon knows that it is over, and the chain then stands still
        line.cut = True
        world.cluster.advance(STALE + 1)
        await world.turns(20)
        assert len(world.running()) == 1
        assert took_away(world) == []
        line.cut = False
        world.confirm()
        await world.settle()
        assert world.running() == []


async def test_a_grace_that_ends_while_the_node_cannot_be_asked_destroys_nothing(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        line = Line(world)
        world.buy(lasts=HOUR)
        await world.settle()
        world.pass_time(2 * HOUR)
        world.finalize()
        await world.settle()
        world.pass_time(GRACE + 1)
        world.finalize()
        await world.read()
        line.cut = True
        await world.turns(30)
        assert len(world.guests()) == 1
        line.cut = False
        await world.settle()
        assert world.guests() == {}


async def test_a_reorg_below_finality_halts_the_source_and_takes_nothing_away(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        world.buy(lasts=HOUR)
        world.finalize()
        world.finalize()
        await world.settle()
        depth = len(world.chain.blocks) - 2
        world.chain.reorg(depth)
        for _ in range(5):
            world.pass_time(GRACE)
        world.finalize()
        await world.turns(60)
        assert len(world.running()) == 1
        assert took_away(world) == []
        assert "compare both" in (await world.alarms())["source-halted"]
        await world.restart()
        await world.turns(60)
        assert took_away(world) == []
        assert len(world.running()) == 1


async def test_a_node_that_goes_back_is_behind_and_takes_nothing_away(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        world.buy(lasts=HOUR)
        await world.settle()
        world.renew(lasts=100 * GRACE)
        world.confirm()
        world.finalize()
        await world.settle()
        whole = world.chain.fork()
        world.chain.drop(4)
        world.cluster.advance(STALE + 1)
        await world.turns(20)
        assert len(world.running()) == 1
        world.chain.blocks = whole
        world.confirm()
        await world.settle()
        assert len(world.running()) == 1
        assert took_away(world) == []


@pytest.mark.parametrize("already_off", [False, True])
async def test_a_renewal_while_a_machine_is_being_shut_down_gives_it_back(
    tmp_path: Path, *, already_off: bool
) -> None:
    async with realm(tmp_path) as world:
        world.buy(lasts=HOUR)
        await world.settle()
        world.guest().ignores_acpi = True
        if already_off:
            world.cluster.edit_guest(FIRST, onboot=0)
        world.pass_time(2 * HOUR)
        await world.turns(5)
        assert [call for call in took_away(world) if call.endswith("/shutdown")]
        world.renew()
        world.confirm()
        await world.turns(90)
        await world.settle()
        assert world.running() == [FIRST]
        assert world.guest().config["onboot"] == 1


# ----------------------------------------------------------------------------------- the database


async def several(world: Realm) -> None:
    """One machine that runs, one that is suspended, one whose grace is over, and a stranger."""
    world.cluster.add_guest(FOREIGN, running=True)
    world.buy(3, lasts=HOUR)
    await world.settle()
    world.pass_time(2 * HOUR)
    world.finalize()
    await world.settle()
    world.buy(2, lasts=HOUR)
    world.buy(1, lasts=100 * GRACE)
    await world.settle()
    world.pass_time(GRACE - HOUR)
    await world.settle()


async def test_a_rebuilt_database_makes_no_machine_and_destroys_none_until_resumed(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        await several(world)
        before = scene(world)
        world.pass_time(HOUR)
        world.finalize()  # the third one's grace is over now
        await forget(world)
        report = await rebuild(world)
        assert (report.leases, report.machines, report.orphans) == (3, 3, (FOREIGN,))
        await world.settle()
        assert scene(world) == before
        assert "destroys are paused" in str(await world.sentences())
        await world.daemon.stores.holds.resume("looked", 0, now=2)
        await world.daemon.supervisor.resync.enqueue_all("resumed")
        await world.settle()
        assert set(before.machines) - set(scene(world).machines) == {FIRST}
        assert world.touched_foreign() == ()


async def test_a_lost_database_is_not_taken_for_a_new_installation(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await several(world)
        before = scene(world)
        await forget(world)
        await reopen(world)
        with pytest.raises(Fatal, match="`chainwatch rebuild`"):
            await world.turn()
        assert scene(world) == before


async def test_a_database_is_not_rebuilt_while_a_machine_does_not_say_whose_it_is(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        world.buy()
        await world.turn()
        assert world.guest().lock == "clone"
        await forget(world)
        with pytest.raises(OperatorError, match="VM 20000 does not say yet whose it is"):
            await rebuild(world)
        await forget(world)
        world.cluster.settle()
        await rebuild(world)
        await world.settle()
        assert world.running() == [FIRST]


async def test_an_empty_database_is_refused_while_a_clone_is_under_way(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        world.buy()
        await world.turn()
        await forget(world)
        await reopen(world)
        with pytest.raises(Fatal, match="VM 20000 does not say yet whose it is"):
            await world.turn()


# -------------------------------------------------------------------------------------- the nodes


async def test_a_node_that_reboots_brings_back_who_pays_and_nobody_else(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        world.buy(2, lasts=HOUR)
        await world.settle()
        world.pass_time(2 * HOUR)
        world.buy(1, lasts=100 * GRACE)
        await world.settle()
        (paid,) = world.running()
        world.cluster.power_cycle("pve")
        await world.daemon.supervisor.resync.enqueue_all("periodic resync")
        await world.turns(10)
        assert "hypervisor-down" in await world.alarms()
        world.cluster.advance(120)
        await world.settle()
        assert world.running() == [paid]
        assert "hypervisor-down" not in await world.alarms()


def without_quorum(world: Realm) -> Remedy:
    world.cluster.set_quorum(quorate=False)
    return partial(world.cluster.set_quorum, quorate=True)


def without_rights(world: Realm) -> Remedy:
    world.cluster.set_grants(TOKEN, everything=False)
    return partial(world.cluster.set_grants, TOKEN, everything=True)


def without_sight(world: Realm) -> Remedy:
    """Take away what lists are shown by, and nothing of what it takes to change things."""
    remedy = sight_gone(of_templates=True)(world.cluster, Struck("", "", "", 0, 0, "", ""))
    assert remedy is not None
    return remedy


@pytest.mark.parametrize("waits", [0.0, 0.5, 1.5, 4.0, 6.0])
@pytest.mark.parametrize("loses", [without_quorum, without_rights, without_sight])
async def test_whoever_sees_nothing_any_more_makes_and_destroys_nothing(
    tmp_path: Path, loses: Callable[[Realm], Remedy], waits: float
) -> None:
    async with realm(tmp_path) as world:
        await several(world)
        before = scene(world)
        given_back = loses(world)
        since, lost = len(world.cluster.inventory().call_log), world.cluster.now
        world.cluster.advance(waits)
        world.pass_time(HOUR)
        world.buy(4)
        world.finalize()
        await world.turns(30)
        asked = world.cluster.inventory().call_log[since:]
        assert not [call for call in asked if destroys(call)]
        assert not [call for call in asked if makes(call) and call.at > lost + EVIDENCE]
        if waits > EVIDENCE:
            assert scene(world) == before
        assert "hypervisor-down" in await world.alarms()
        given_back()
        await world.settle()
        assert len(world.running()) == 2

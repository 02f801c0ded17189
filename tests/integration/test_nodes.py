"""One node of several goes away: what stands there waits, and everybody else goes on."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from chainwatch.config import Config
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.faults import Fault, FaultName
from provisioner.simulator.settings import Durations, Settings
from tests.support.judge import Judge
from tests.support.realm import GRACE, HOUR, TEMPLATE, Realm, realm

SECOND: Final = 9001
AWAY: Final = "pve2"


def with_both(config: Config) -> Config:
    """Clone from a template on each node."""
    return replace(config, machines=replace(config.machines, template_vms=(TEMPLATE, SECOND)))


@asynccontextmanager
async def three_nodes(folder: Path, *, boot: float = 900.0) -> AsyncIterator[Realm]:
    """Three nodes, two with a template; one that loses power leaves a quorum, and is away long."""
    cluster = Cluster(
        Settings(nodes=("pve", AWAY, "pve3"), durations=Durations(node_boot=boot, linked_clone=4.0))
    )
    cluster.add_template(SECOND, node=AWAY)
    async with realm(folder, cluster=cluster, adjust=with_both) as world:
        yield world


def by_node(world: Realm) -> Counter[str]:
    return Counter(guest.node for guest in world.guests().values())


async def looked(world: Realm) -> None:
    """Have the daemon look at the nodes, as it does every few seconds."""
    world.cluster.advance(15)
    await world.daemon.supervisor.nodes.look()


async def test_a_node_that_is_away_stops_neither_the_others_nor_new_machines(
    tmp_path: Path,
) -> None:
    async with three_nodes(tmp_path) as world:
        for token in range(1, 5):
            world.buy(token, lasts=HOUR)
        await world.settle()
        assert by_node(world) == {"pve": 2, AWAY: 2}
        judge = Judge(world)
        judge.look()
        world.cluster.power_cycle(AWAY)
        await looked(world)
        alarms = await world.alarms()
        assert "node pve2 is away (offline)" in alarms["node-down"]
        world.pass_time(2 * HOUR)  # the first four are to be suspended
        world.buy(5)
        world.buy(6)
        await world.daemon.supervisor.resync.survey()
        await world.turns(200)
        assert by_node(world) == {"pve": 4, AWAY: 2}
        alarms = await world.alarms()
        assert "hypervisor-down" not in alarms
        assert not alarms.keys() & {"failing", "stuck", "parked"}
        assert [world.guests()[vmid].node for vmid in world.running()] == ["pve", "pve"]
        judge.look()


async def test_what_stands_on_a_node_that_is_away_is_made_nowhere_else(tmp_path: Path) -> None:
    async with three_nodes(tmp_path) as world:
        for token in range(1, 5):
            world.buy(token, lasts=100 * GRACE)
        await world.settle()
        before = set(world.guests())
        world.cluster.power_cycle(AWAY)
        await world.daemon.supervisor.resync.survey()
        await world.daemon.supervisor.resync.enqueue_all("periodic resync")
        await world.turns(120)
        assert set(world.guests()) == before
        assert len(world.running()) == 2
        sentences = (await world.sentences()).values()
        assert sum("node pve2 is away" in sentence for sentence in sentences) == 2


async def test_a_node_that_is_back_is_worked_on_again_and_its_alarm_ends(tmp_path: Path) -> None:
    async with three_nodes(tmp_path, boot=120.0) as world:
        for token in range(1, 5):
            world.buy(token, lasts=HOUR)
        await world.settle()
        world.cluster.power_cycle(AWAY)
        await looked(world)
        world.pass_time(2 * HOUR)
        await world.turns(40)
        assert "node-down" in await world.alarms()
        world.cluster.advance(120)
        await looked(world)
        assert "node-down" not in await world.alarms()
        await world.settle()
        assert world.running() == []
        assert by_node(world) == {"pve": 2, AWAY: 2}


async def test_a_clone_under_way_on_a_node_that_dies_is_awaited_and_not_doubled(
    tmp_path: Path,
) -> None:
    async with three_nodes(tmp_path, boot=120.0) as world:
        for token in range(1, 5):
            world.buy(token)
        await world.turns(2)
        assert by_node(world) == {"pve": 2, AWAY: 2}
        world.cluster.power_cycle(AWAY)
        await looked(world)
        await world.turns(60)
        assert by_node(world) == {"pve": 2, AWAY: 2}
        assert len(world.running()) == 2
        assert "hypervisor-down" not in await world.alarms()


async def test_a_node_that_is_online_and_cannot_be_reached_is_told_and_others_go_on(
    tmp_path: Path,
) -> None:
    async with three_nodes(tmp_path) as world:
        for token in range(1, 5):
            world.buy(token, lasts=HOUR)
        await world.settle()
        for _ in range(1000):
            world.cluster.arm(Fault(FaultName.PROXY_DOWN, path=f"/nodes/{AWAY}/*"))
        world.pass_time(2 * HOUR)
        await world.turns(120)
        alarms = await world.alarms()
        assert "node pve2 is away" in alarms["node-down"]
        assert not alarms.keys() & {"failing", "stuck", "hypervisor-down"}
        assert {world.guests()[vmid].node for vmid in world.running()} == {AWAY}
        world.cluster.state.faults.clear()
        await looked(world)
        await world.settle()
        assert world.running() == []
        assert "node-down" not in await world.alarms()


@pytest.mark.parametrize("before", [0, 1])
async def test_a_machine_is_made_elsewhere_when_the_best_node_cannot_be_reached(
    tmp_path: Path, before: int
) -> None:
    async with three_nodes(tmp_path) as world:
        for token in range(1, before + 1):
            world.buy(token)  # stands on pve, so that the other node has more room
        await world.settle()
        for _ in range(1000):
            world.cluster.arm(Fault(FaultName.PROXY_DOWN, path=f"/nodes/{AWAY}/*"))
        world.buy(9)
        await world.turns(120)
        assert by_node(world) == {"pve": before + 1}
        assert len(world.running()) == before + 1
        assert "hypervisor-down" not in await world.alarms()


async def test_a_node_that_answers_again_is_given_new_machines_at_once(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        world.cluster.arm(Fault(FaultName.PROXY_DOWN, "POST", "*/clone"))
        world.buy()
        await world.turn()
        assert "node-down" in await world.alarms()
        await looked(world)
        assert "node-down" not in await world.alarms()
        await world.turns(60)
        assert len(world.running()) == 1

"""Several nodes: where machines go, who waits for room, and what a template serves."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from chainwatch.config import Config
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.faults import Fault, FaultName
from provisioner.simulator.settings import Durations, Settings
from tests.support.judge import Judge
from tests.support.realm import FIRST, HOUR, LAST, TEMPLATE, Realm, realm

SECOND: Final = 9001
GIB: Final = 2**30


def two_nodes(*, shared: bool = False, memory: int = 512 * GIB, clone: float = 0.65) -> Cluster:
    """Return two nodes, whose storage both share or each has its own template on."""
    cluster = Cluster(
        Settings(
            nodes=("pve", "pve2"),
            storage_shared=shared,
            node_memory=memory,
            durations=Durations(linked_clone=clone),
        )
    )
    if not shared:
        cluster.add_template(SECOND, node="pve2")
    return cluster


def adjusted(
    *,
    nodes: frozenset[str] = frozenset(),
    overcommit: float = 1.0,
    reserve: int = 10,
    clones: int = 4,
) -> Callable[[Config], Config]:
    """Return a change of the configuration: a template for each node, and these limits."""

    def adjust(config: Config) -> Config:
        table = replace(
            config.proxmox,
            nodes=nodes,
            memory_overcommit=overcommit,
            storage_reserve_gib=reserve,
            clones_per_storage=clones,
        )
        machines = replace(config.machines, template_vms=(TEMPLATE, SECOND))
        return replace(config, machines=machines, proxmox=table)

    return adjust


def by_node(world: Realm) -> Counter[str]:
    return Counter(guest.node for guest in world.guests().values())


async def test_machines_spread_over_nodes_that_have_a_template_each(tmp_path: Path) -> None:
    async with realm(tmp_path, cluster=two_nodes(), adjust=adjusted()) as world:
        for token in range(1, 7):
            world.buy(token)
        await world.settle()
        assert len(world.running()) == 6
        assert by_node(world) == {"pve": 3, "pve2": 3}
        Judge(world).look()


async def test_one_template_on_shared_storage_serves_every_node(tmp_path: Path) -> None:
    async with realm(tmp_path, cluster=two_nodes(shared=True)) as world:
        for token in range(1, 5):
            world.buy(token)
        await world.settle()
        assert len(world.running()) == 4
        assert by_node(world) == {"pve": 2, "pve2": 2}
        Judge(world).look()


async def test_a_clone_to_another_node_that_lost_its_reply_is_found_and_not_made_twice(
    tmp_path: Path,
) -> None:
    cluster = two_nodes(shared=True, clone=8.0)
    async with realm(tmp_path, cluster=cluster) as world:
        world.buy(1)
        await world.settle()
        world.cluster.arm(Fault(FaultName.LOSE_REPLY, "POST", "*/clone"))
        world.buy(2)
        await world.settle()
        assert by_node(world) == {"pve": 1, "pve2": 1}
        assert len(world.running()) == 2
        assert "parked" not in await world.alarms()


async def test_only_the_nodes_that_are_configured_get_machines(tmp_path: Path) -> None:
    only = adjusted(nodes=frozenset({"pve2"}))
    async with realm(tmp_path, cluster=two_nodes(), adjust=only) as world:
        for token in range(1, 4):
            world.buy(token)
        await world.settle()
        assert by_node(world) == {"pve2": 3}


async def test_who_finds_no_memory_waits_with_an_alarm_and_is_served_when_there_is_room(
    tmp_path: Path,
) -> None:
    cluster = Cluster(Settings(node_memory=5 * GIB))  # a machine has 2 GiB
    async with realm(tmp_path, cluster=cluster) as world:
        for token in range(1, 4):
            world.buy(token)
        await world.turns(120)
        assert len(world.running()) == 2
        said = (await world.alarms())["no-room"]
        assert "pve: 1024 MiB of memory left" in said
        assert len(world.cluster.inventory().guests) == 3  # the template, and not one too many
        (gone, _) = world.running()
        world.cluster.stop_guest(gone)
        world.cluster.remove_guest(gone)
        world.cluster.advance(30)
        await world.turns(60)
        assert len(world.running()) == 2
        await world.daemon.supervisor.resync.enqueue_all("periodic resync")
        await world.turns(10)
        assert "no-room" in await world.alarms()  # now for the one that was removed by hand


async def test_memory_may_be_sold_twice_where_the_configuration_says_so(tmp_path: Path) -> None:
    cluster = two_nodes(memory=5 * GIB)
    async with realm(tmp_path, cluster=cluster, adjust=adjusted(overcommit=2.0)) as world:
        for token in range(1, 11):
            world.buy(token)
        await world.settle()
        assert by_node(world) == {"pve": 5, "pve2": 5}
        assert "no-room" not in await world.alarms()


async def test_a_storage_keeps_its_reserve(tmp_path: Path) -> None:
    greedy = adjusted(reserve=250)
    async with realm(tmp_path, cluster=two_nodes(), adjust=greedy) as world:
        world.buy()
        await world.turns(40)
        assert world.guests() == {}
        said = (await world.alarms())["no-room"]
        assert "storage local has" in said
        assert "left beyond its reserve" in said


async def test_each_storage_has_its_own_number_of_clones_at_once(tmp_path: Path) -> None:
    cluster = two_nodes(clone=60.0)
    async with realm(tmp_path, cluster=cluster, adjust=adjusted(clones=2)) as world:
        for token in range(1, 8):
            world.buy(token)
        await world.turns(5)
        assert by_node(world) == {"pve": 2, "pve2": 2}
        await world.restart()
        await world.turns(5)
        assert by_node(world) == {"pve": 2, "pve2": 2}
        await world.settle()
        assert len(world.running()) == 7


async def test_who_waits_for_his_turn_is_not_stuck_however_long_it_takes(tmp_path: Path) -> None:
    cluster = two_nodes(clone=400.0)
    async with realm(tmp_path, cluster=cluster, adjust=adjusted(clones=1)) as world:
        for token in range(1, 7):
            world.buy(token, lasts=100 * HOUR)
        await world.turns(140, seconds=5)
        assert len(world.guests()) == 4, "two are made, and two being made"
        assert await world.alarms() == {}
        waiting = sorted(s for s in (await world.sentences()).values() if "its turn" in s)
        assert waiting == [
            f"waits for its turn, number {place} in line: as many machines are being cloned as may "
            "be at once (clones_per_storage)"
            for place in (1, 2)
        ]
        await world.settle(3600)
        assert len(world.running()) == 6


async def test_who_finds_no_room_for_long_has_the_alarm_that_says_so_and_no_other(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path, cluster=two_nodes(), adjust=adjusted(reserve=250)) as world:
        world.buy(lasts=100 * HOUR)
        await world.turns(140, seconds=5)
        assert set(await world.alarms()) == {"no-room"}


async def test_a_template_that_is_gone_is_no_reason_not_to_believe_the_cluster(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path, cluster=two_nodes(), adjust=adjusted()) as world:
        world.cluster.remove_guest(SECOND)
        world.buy()
        await world.settle()
        assert world.running() == [FIRST]
        assert LAST not in world.guests()
        assert by_node(world) == {"pve": 1}

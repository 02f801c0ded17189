"""Snippets lie where the machines stand that read them, and nowhere else, whoever moves or goes."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from chainwatch.control import snippet_care
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.faults import Fault, FaultName
from provisioner.simulator.inventory import GuestFacts
from provisioner.simulator.ssh.system import NodeSystem
from tests.support.realm import FIRST, GRACE, HOUR, Realm
from tests.support.verbs import NODES, VERBS

PROVISION: Final = next(verb for verb in VERBS if verb.name == "provision")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Realm]:
    async with PROVISION.realm(tmp_path, over_ssh=True) as made:
        yield made


async def tended(world: Realm, looks: int = 1) -> None:
    care = world.daemon.supervisor.care
    assert care is not None
    for _ in range(looks):
        world.cluster.advance(15)
        await care.look()


async def bought(world: Realm, *tokens: int) -> None:
    for token in tokens:
        world.buy(token, lasts=100 * GRACE)
    world.finalize()
    await world.settle()


async def ended(world: Realm) -> None:
    """Let what was bought last run out, and its machine be destroyed."""
    for seconds in (100 * GRACE, GRACE + HOUR):
        world.pass_time(seconds)
        world.finalize()
        await world.settle()
    assert world.guests() == {}


def lying(world: Realm) -> set[tuple[str, int]]:
    """Return on which nodes there are snippets of which VMIDs."""
    there = world.cluster.inventory().snippets
    return {(node, vmid) for (node, _), vmid in there.items()}


def move(cluster: Cluster, vmid: int) -> str:
    """Somebody moves a machine to another node, whose name is returned."""
    guest = cluster.guest(vmid)
    guest.node = next(node for node in NODES if node != guest.node)
    return guest.node


def reads(world: Realm) -> int:
    log = world.cluster.inventory().call_log
    return sum(call.method == "GET" and call.path.endswith("/config") for call in log)


def seen(world: Realm, vmid: int) -> GuestFacts:
    return world.cluster.inventory().guests[vmid]


async def test_a_machine_that_was_moved_has_its_snippet_where_it_stands_and_boots_there(
    world: Realm,
) -> None:
    await bought(world, 1)
    node = move(world.cluster, FIRST)
    await tended(world)
    assert lying(world) == {(node, FIRST)}
    world.cluster.power_cycle(node)
    world.cluster.advance(200)
    assert seen(world, FIRST).power == "running"


async def test_a_machine_that_is_moved_back_has_its_snippet_again(world: Realm) -> None:
    await bought(world, 1)
    for _ in range(2):
        node = move(world.cluster, FIRST)
        await tended(world)
        assert lying(world) == {(node, FIRST)}


async def test_whoever_takes_the_vmid_of_a_machine_that_is_gone_does_not_get_its_snippet(
    world: Realm,
) -> None:
    await bought(world, 1)
    await ended(world)
    assert lying(world)
    world.cluster.add_guest(FIRST)
    await tended(world)
    assert lying(world) == set()
    assert world.touched_foreign() == ()


async def test_who_takes_a_vmid_of_a_log_that_was_not_looked_at_since_does_not_get_it_either(
    world: Realm,
) -> None:
    await bought(world, 1)
    await world.restart()
    await tended(world)
    assert lying(world)
    world.cluster.remove_guest(FIRST)
    world.cluster.add_guest(FIRST)
    await tended(world)
    assert lying(world) == set()


async def test_a_stranger_at_another_node_keeps_no_snippet_of_ours_either(world: Realm) -> None:
    await bought(world, 1)
    here = seen(world, FIRST).node
    await ended(world)
    world.cluster.add_guest(FIRST, node=next(node for node in NODES if node != here))
    await tended(world)
    assert lying(world) == set()


async def test_in_a_folder_that_nodes_may_share_a_snippet_stays_for_the_machine_that_names_it(
    world: Realm,
) -> None:
    await bought(world, 1)
    systems = world.cluster.state.systems
    here = seen(world, FIRST).node
    for node in NODES:
        systems.setdefault(node, NodeSystem()).snippets = systems[here].snippets
    world.cluster.state.storages["local"].shared = True
    move(world.cluster, FIRST)
    await tended(world, looks=2)
    assert lying(world) == {(node, FIRST) for node in NODES}


async def test_a_machine_whose_settings_name_another_snippet_is_given_none(world: Realm) -> None:
    await bought(world, 1)
    world.cluster.edit_guest(FIRST, cicustom="user=local:snippets/theirs.yaml")
    move(world.cluster, FIRST)
    await tended(world)
    assert lying(world) == set()


async def test_a_machine_that_proves_nothing_any_more_is_given_none_and_keeps_what_it_names(
    world: Realm,
) -> None:
    await bought(world, 1, 2)
    for vmid in (FIRST, FIRST + 1):
        world.cluster.edit_guest(vmid, description="mine")
    node = move(world.cluster, FIRST)
    await tended(world)
    assert lying(world) == {(seen(world, FIRST + 1).node, FIRST + 1)}
    assert node not in {where for where, vmid in lying(world) if vmid == FIRST}


async def test_a_snippet_that_was_put_for_settings_which_never_came_goes(world: Realm) -> None:
    stale = Fault(FaultName.REFUSE, "PUT", "/nodes/*/qemu/*/config", status=500, text="no")
    world.cluster.arm(stale)
    world.buy(1, lasts=HOUR)
    world.confirm()
    while world.cluster.state.faults.unused():
        await world.turns(1)
    assert lying(world)
    assert "cicustom" not in seen(world, FIRST).config
    world.pass_time(2 * HOUR)
    world.finalize()
    await world.settle()
    await tended(world)
    assert (list(world.guests()), lying(world)) == ([FIRST], set())


async def test_what_is_right_costs_no_reading_however_often_it_is_looked_at(world: Realm) -> None:
    await bought(world, 1, 2)
    await tended(world)
    before = reads(world)
    await tended(world, looks=20)
    assert reads(world) == before


async def test_a_machine_that_needs_none_is_read_once_an_hour_at_most(world: Realm) -> None:
    await bought(world, 1)
    world.cluster.edit_guest(FIRST, cicustom="user=local:snippets/theirs.yaml")
    move(world.cluster, FIRST)
    await tended(world)
    before = reads(world)
    await tended(world, looks=20)
    assert reads(world) == before
    world.cluster.advance(HOUR)
    await tended(world)
    assert reads(world) == before + 1


async def test_many_that_were_moved_at_once_are_put_right_a_few_in_each_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snippet_care, "MOST", 1)
    async with PROVISION.realm(tmp_path, over_ssh=True) as world:
        await bought(world, 1, 2, 3)
        ours = set(world.guests())
        for vmid in ours:
            world.cluster.guest(vmid).node = "pve3"
        before = {vmid for node, vmid in lying(world) if node == "pve3"}
        for given in range(len(before) + 1, 4):
            await tended(world)
            assert len({vmid for node, vmid in lying(world) if node == "pve3"}) == given
        await tended(world, looks=3)
        assert lying(world) == {("pve3", vmid) for vmid in ours}

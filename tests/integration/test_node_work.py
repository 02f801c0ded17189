"""What the daemon does on nodes over SSH: cloud-init of our own, host routes, isolated ports."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from chainwatch.config import Config, NodesConfig
from chainwatch.control.checkup import checkup
from chainwatch.credentials import Secret
from chainwatch.domain.events import KeysChanged
from provisioner import faultpoints
from provisioner.allocate import AddressRange
from provisioner.render import names
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.faults import Fault, FaultName
from provisioner.simulator.outages import restart_network
from provisioner.simulator.ssh.system import NodeSystem
from tests.support.backing import BACKUPS, backing_up, keeping
from tests.support.realm import (
    ALICES_KEY,
    BOBS_KEY,
    FIRST,
    GRACE,
    HOUR,
    Crash,
    Realm,
    crash_at,
    realm,
)

NODE: Final = "pve"
NODES: Final = NodesConfig("root", 22, Secret(b"not used here"), (f"{NODE} 192.0.2.11 t k",))
#: What the daemon does on a node by itself; the other verbs are for containers and for `check`.
PASSED: Final = tuple(
    call
    for call in faultpoints.CALLS
    if call.startswith("node.") and call not in {"node.pct_exec", "node.version"}
)


def reaching(
    template: str | None = None, *, isolate: bool = False, routes: bool = False
) -> Callable[[Config], Config]:
    """Return the change that lets a configuration reach its nodes."""

    def adjust(config: Config) -> Config:
        six = AddressRange("2001:db8::10/64", "2001:db8::1") if routes else None
        machines = replace(
            config.machines,
            pool=replace(config.machines.pool, ipv6=six),
            cloud_init=template,
            host_routes=routes,
        )
        return replace(config, machines=machines, nodes=replace(NODES, isolate=isolate))

    return adjust


def system(world: Realm) -> NodeSystem:
    return world.cluster.state.systems.setdefault(NODE, NodeSystem())


async def tended(world: Realm) -> None:
    """Have the nodes looked at, by a snapshot of now."""
    care = world.daemon.supervisor.care
    assert care is not None
    world.cluster.advance(10)
    await care.look()


async def lived(world: Realm) -> None:
    """Have everything done that is to be done, on the cluster and on its nodes."""
    await world.settle()
    await tended(world)


@pytest.fixture
async def devbox(tmp_path: Path) -> AsyncIterator[Realm]:
    async with realm(tmp_path, adjust=reaching("devbox")) as world:
        yield world


async def test_a_machine_boots_with_user_data_of_our_own_and_admits_its_owner(
    devbox: Realm,
) -> None:
    devbox.buy()
    await devbox.settle()
    (name,) = system(devbox).snippets
    assert name.startswith(f"chainwatch-{FIRST}-")
    assert devbox.guest().config["cicustom"] == f"user=local:snippets/{name}"
    assert b"tmux" in system(devbox).snippets[name]
    assert devbox.cluster.admits(FIRST, ALICES_KEY)
    await tended(devbox)
    assert devbox.cluster.inventory().leaked_snippets() == ()


@pytest.mark.parametrize("template", names())
async def test_every_template_starts_a_machine(template: str, tmp_path: Path) -> None:
    async with realm(tmp_path, adjust=reaching(template)) as world:
        world.buy()
        await world.settle()
        assert world.running() == [FIRST]
        (text,) = system(world).snippets.values()
        assert b"wallet=0xa1" in text
        assert (b"pam_web3" in text) == (template == "nft-auth")


async def test_without_a_template_nothing_is_put_on_a_node(tmp_path: Path) -> None:
    async with realm(tmp_path, adjust=reaching()) as world:
        world.buy()
        await world.settle()
        assert system(world).snippets == {}
        assert "cicustom" not in world.guest().config


async def test_a_snippet_follows_its_owner_and_goes_with_its_machine(devbox: Realm) -> None:
    devbox.buy()
    await devbox.settle()
    (first,) = system(devbox).snippets
    devbox.transfer()
    devbox.mine(KeysChanged(1, BOBS_KEY, "0x"))
    devbox.confirm()
    devbox.finalize()
    await devbox.settle()
    assert len(system(devbox).snippets) >= 2
    await tended(devbox)
    (second,) = system(devbox).snippets
    assert second != first
    assert BOBS_KEY.encode() in system(devbox).snippets[second]
    devbox.pass_time(2 * HOUR)
    devbox.finalize()
    await devbox.settle()
    devbox.pass_time(GRACE + HOUR)
    devbox.finalize()
    await devbox.settle()
    assert devbox.guests() == {}
    await tended(devbox)
    assert system(devbox).snippets == {}


async def test_a_machine_that_comes_back_from_its_backup_has_its_snippet_again(
    tmp_path: Path,
) -> None:
    async with keeping(tmp_path, adjust=reaching("devbox")) as world:
        world.buy()
        await world.settle()
        for seconds in (2 * HOUR, GRACE + HOUR):
            world.pass_time(seconds)
            world.finalize()
            await world.settle()
        await tended(world)
        assert (world.guests(), system(world).snippets) == ({}, {})
        world.renew(lasts=100 * GRACE)
        world.finalize()
        await world.settle()
        (name,) = system(world).snippets
        assert world.guest().config["cicustom"] == f"user=local:snippets/{name}"
        assert world.running() == [FIRST]


async def test_a_node_that_cannot_be_written_to_leaves_the_machine_unconfigured_until_it_can(
    devbox: Realm,
) -> None:
    for name in (FaultName.CUT_SHORT, FaultName.DISK_FULL, FaultName.LOSE_REPLY):
        devbox.cluster.arm(Fault(name, "SSH", f"/{NODE}/put-snippet"))
    devbox.buy()
    await devbox.settle()
    assert devbox.cluster.state.faults.unused() == []
    assert devbox.running() == [FIRST]
    await tended(devbox)
    assert devbox.cluster.inventory().leaked_snippets() == ()


async def test_what_a_restart_of_its_network_took_from_a_node_is_put_back(tmp_path: Path) -> None:
    async with realm(tmp_path, adjust=reaching(isolate=True, routes=True)) as world:
        world.buy()
        await lived(world)
        before = dict(system(world).routes), dict(system(world).isolated)
        restart_network(world.cluster.state, NODE)
        assert (system(world).routes, system(world).isolated) == ({}, {})
        await tended(world)
        assert (system(world).routes, system(world).isolated) == before


@pytest.mark.parametrize("edge", ["before", "after"])
@pytest.mark.parametrize("call", PASSED)
async def test_a_crash_around_work_on_a_node_ends_in_one_machine_and_no_leftovers(
    call: str, edge: str, tmp_path: Path
) -> None:
    async with realm(tmp_path, adjust=reaching("base", isolate=True, routes=True)) as world:
        system(world).snippets[f"chainwatch-{FIRST + 1}-0123456789abcdef.yaml"] = b"left behind"
        crash_at(f"{call}.{edge}")
        world.buy()
        with pytest.raises(Crash):
            await lived(world)
        await world.restart()
        await world.settle()
        await tended(world)
        assert world.running() == [FIRST]
        assert len(system(world).snippets) == 1
        assert world.cluster.inventory().leaked_snippets() == ()
        assert set(system(world).routes) == {"2001:db8::10"}
        assert system(world).isolated == {FIRST: world.guest().boots}


async def test_a_machine_whose_node_lacks_its_snippet_gets_it_before_it_starts(
    devbox: Realm,
) -> None:
    devbox.buy()
    await devbox.settle()
    devbox.pass_time(2 * HOUR)
    await devbox.settle()
    kept = dict(system(devbox).snippets)
    system(devbox).snippets.clear()  # as on the node to which somebody moved it
    devbox.renew()
    devbox.confirm()
    await devbox.settle()
    assert devbox.running() == [FIRST]
    assert system(devbox).snippets == kept


async def test_a_machine_that_comes_back_from_a_backup_gets_its_snippet_anew(
    tmp_path: Path,
) -> None:
    cluster = Cluster()
    cluster.add_storage(BACKUPS.storage, "nfs")
    both = reaching("devbox")
    async with realm(
        tmp_path, cluster=cluster, adjust=lambda config: backing_up(both(config))
    ) as world:
        world.buy()
        await world.settle()
        for seconds in (2 * HOUR, GRACE + 1):
            world.pass_time(seconds)
            world.finalize()
            await lived(world)
        assert world.guests() == {}
        assert system(world).snippets == {}
        world.renew()
        world.confirm()
        await world.settle()
        assert world.running() == [FIRST]
        assert len(system(world).snippets) == 1


async def test_snippets_of_others_and_lists_that_prove_nothing_drop_nothing(
    devbox: Realm,
) -> None:
    devbox.buy()
    await devbox.settle()
    theirs = "chainwatch-999-0123456789abcdef.yaml"
    system(devbox).snippets[theirs] = b"another installation's"
    devbox.cluster.arm(Fault(FaultName.EMPTY, "GET", "/cluster/resources"))
    await tended(devbox)
    await tended(devbox)
    assert len(system(devbox).snippets) == 2


# ----------------------------------------------------------------------------- routes and ports


async def test_a_node_that_booted_anew_gets_its_routes_and_isolation_back(tmp_path: Path) -> None:
    async with realm(tmp_path, adjust=reaching(isolate=True, routes=True)) as world:
        world.buy()
        await world.settle()
        await tended(world)
        care = world.daemon.supervisor.care
        assert care is not None
        assert await care.shell.routes(NODE) == {"2001:db8::10": "vmbr0"}
        assert await care.shell.isolated(NODE) == {FIRST: True}
        world.cluster.power_cycle(NODE)
        world.cluster.advance(300)
        assert await care.shell.routes(NODE) == {}
        assert await care.shell.isolated(NODE) == {FIRST: False}
        await world.settle()
        await tended(world)
        assert await care.shell.routes(NODE) == {"2001:db8::10": "vmbr0"}
        assert await care.shell.isolated(NODE) == {FIRST: True}


async def test_a_stranger_in_our_range_gets_neither_route_nor_isolation(tmp_path: Path) -> None:
    async with realm(tmp_path, adjust=reaching(isolate=True, routes=True)) as world:
        world.cluster.add_guest(FIRST + 5, running=True)
        world.buy()
        await world.settle()
        await tended(world)
        care = world.daemon.supervisor.care
        assert care is not None
        assert await care.shell.routes(NODE) == {"2001:db8::10": "vmbr0"}
        assert await care.shell.isolated(NODE) == {FIRST: True, FIRST + 5: False}


async def test_what_is_right_is_left_alone(tmp_path: Path) -> None:
    async with realm(tmp_path, adjust=reaching(isolate=True, routes=True)) as world:
        world.buy()
        await world.settle()
        await tended(world)
        reached: list[str] = []
        faultpoints.arm(reached.append)
        await tended(world)
        calls = [point for point in reached if point.startswith("node.")]
        assert not [point for point in calls if "route.before" in point or "isolate." in point]
        assert calls


async def test_a_node_that_refuses_our_key_is_one_alarm_until_it_does_not(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path, adjust=reaching(isolate=True)) as world:
        world.buy()
        await world.settle()
        world.cluster.arm(Fault(FaultName.UNAUTHORIZED, "SSH", f"/{NODE}/login"))
        await tended(world)
        assert "refuses our key" in (await world.alarms())["node-ssh"]
        await tended(world)
        assert "node-ssh" not in await world.alarms()


async def test_check_tries_every_node(tmp_path: Path) -> None:
    async with realm(tmp_path, adjust=reaching()) as world:
        world.cluster.arm(Fault(FaultName.UNAUTHORIZED, "SSH", f"/{NODE}/login"))
        for ok, text in ((False, "refuses our key"), (True, "chainwatch-node 1")):
            found = await checkup(world.daemon.supervisor, world.db, deep=False)
            (node,) = [each for each in found if each.subject == f"node {NODE}"]
            assert node.ok is ok
            assert text in node.text

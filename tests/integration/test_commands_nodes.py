"""Commands tell a machine's node of its IPv6 route and its ports, and put back what it forgot."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

import pytest

from provisioner import faultpoints
from provisioner.allocate import AddressRange
from provisioner.errors import Declined
from provisioner.guest.node import HelperShell
from provisioner.model import Kind
from provisioner.simulator.faults import Fault, FaultName
from provisioner.verbs.create import create
from provisioner.verbs.destroy import destroy
from provisioner.verbs.gc import Phase, Round, collect
from provisioner.verbs.order import hardware
from provisioner.verbs.power import kill, reboot, start
from provisioner.verbs.resume import resume
from tests.support.cli import DAY, FIRST, Yard, container_yard, crashing, order, reached_yard
from tests.support.realm import Crash

BOTH: Final = frozenset(Phase)


def told(it: Yard, *, host_routes: bool = True, isolate: bool = True) -> Yard:
    """Have the commands tell nodes of the machines, which have IPv6 addresses."""
    addresses = AddressRange("2001:db8::1000/64", "2001:db8::1")
    pool = replace(it.settings.site.pool, ipv6=addresses)
    site = replace(it.settings.site, pool=pool)
    it.settings = replace(it.settings, site=site, host_routes=host_routes, isolate=isolate)
    return it


def address_of(vmid: int) -> str:
    return f"2001:db8::{0x1000 + vmid - FIRST:x}"


async def right(it: Yard, vmid: int) -> bool:
    """Say whether the node of a machine has its route, and its ports isolated."""
    node = it.cluster.guest(vmid).node
    assert isinstance(it.nodes, HelperShell)
    routes, isolated = await it.nodes.routes(node), await it.nodes.isolated(node)
    return routes.get(address_of(vmid)) == "vmbr0" and isolated.get(vmid) is True


async def sweep(it: Yard, *, execute: bool = True) -> Round:
    return await collect(it.shop(), execute=execute, phases=BOTH)


@pytest.fixture(autouse=True)
async def disarmed() -> AsyncIterator[None]:
    yield
    faultpoints.arm(None)


@pytest.mark.parametrize("kind", Kind)
async def test_a_machine_has_its_route_and_isolated_ports_when_it_is_made(kind: Kind) -> None:
    it = told(reached_yard() if kind is Kind.VM else container_yard())
    made = await create(it.shop(), order(spec=hardware(1, 1024, 10, kind)))
    assert await right(it, made.vmid)


async def test_nothing_is_told_unless_it_is_asked_for() -> None:
    it = told(reached_yard(), host_routes=False, isolate=False)
    made = await create(it.shop(), order())
    system = it.cluster.state.systems["pve"]
    assert (system.routes, system.isolated) == ({}, {})
    it = told(reached_yard(), host_routes=False)
    made = await create(it.shop(), order())
    system = it.cluster.state.systems["pve"]
    assert (system.routes, set(system.isolated)) == ({}, {made.vmid})


async def test_whatever_starts_a_machine_isolates_its_new_ports() -> None:
    it = told(reached_yard())
    made = await create(it.shop(), order())
    await kill(it.shop(), "web")
    await start(it.shop(), "web")
    assert await right(it, made.vmid)
    it.cluster.advance(30)  # it has booted, and listens
    await reboot(it.shop(), "web")
    assert await right(it, made.vmid)
    it.cluster.advance(31 * DAY)
    await sweep(it)
    await resume(it.shop(), "web", extend_days=10)
    assert await right(it, made.vmid)


async def test_a_collection_puts_back_what_a_node_forgot_and_says_so_before() -> None:
    it = told(reached_yard())
    made = await create(it.shop(), order())
    assert (await sweep(it)).errands == []
    it.cluster.state.systems["pve"].routes.clear()
    it.cluster.state.systems["pve"].isolated.clear()
    said = [str(errand) for errand in (await sweep(it, execute=False)).errands]
    assert said == [
        f"route {address_of(made.vmid)} of VM {made.vmid} to vmbr0 on pve",
        f"isolate the ports of VM {made.vmid} on pve",
    ]
    assert not await right(it, made.vmid)
    only = await collect(it.shop(), execute=True, phases=frozenset({Phase.SUSPEND}))
    assert only.errands == []
    came_to = await sweep(it)
    assert came_to.failures == []
    assert await right(it, made.vmid)
    await destroy(it.shop(), "web")
    assert (await sweep(it)).errands == []


async def test_a_node_that_does_not_answer_fails_the_collection_and_no_other_node() -> None:
    it = told(reached_yard(("pve", "pve2")))
    made = [await create(it.shop(), order(f"web{n}", node=n)) for n in ("pve", "pve2")]
    for system in it.cluster.state.systems.values():
        system.routes.clear()
    it.cluster.arm(Fault(FaultName.UNREACHABLE, "SSH", "/pve/*", lasting=True))
    came_to = await sweep(it)
    assert came_to.failures
    assert all("pve2" not in each for each in came_to.failures)
    assert await right(it, made[1].vmid)


async def test_a_machine_is_made_only_where_its_node_can_be_told() -> None:
    it = told(reached_yard(("pve", "pve2"), reached=("pve2",)))
    made = await create(it.shop(), order())
    assert it.cluster.guest(made.vmid).node == "pve2"
    with pytest.raises(Declined, match=r"no node of pve can be told of routes and ports"):
        await create(it.shop(), order("other", node="pve"))
    assert set(it.guests()) == {made.vmid}


async def test_in_a_daemons_file_without_the_nodes_key_machines_are_made_without() -> None:
    it = told(reached_yard())
    it.settings, it.nodes = replace(it.settings, nodes=None), None
    await create(it.shop(), order())
    assert (await sweep(it)).failures == []
    assert "nodes are not told of routes and ports: the key of [nodes_ssh] is not at hand" in (
        it.said
    )


@pytest.mark.parametrize("call", ["routes", "route", "isolated", "isolate"])
@pytest.mark.parametrize("edge", ["before", "after"])
async def test_a_command_that_died_telling_a_node_is_finished_by_the_same_command(
    call: str, edge: str
) -> None:
    it = told(reached_yard())
    faultpoints.arm(crashing(f"node.{call}.{edge}"))
    with pytest.raises(Crash):
        await create(it.shop(), order())
    faultpoints.arm(None)
    made = await create(it.shop(), order())
    assert await right(it, made.vmid)
    assert it.leaks() == []


async def test_a_node_that_stumbles_is_told_again() -> None:
    it = told(reached_yard())
    it.cluster.arm(Fault(FaultName.UNREACHABLE, "SSH", "*"))
    made = await create(it.shop(), order())
    assert await right(it, made.vmid)

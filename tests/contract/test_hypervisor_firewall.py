"""What every hypervisor backend promises of a guest's firewall, on every transport there is."""

import pytest

from provisioner.errors import Transient
from provisioner.isolation import Isolation, common
from provisioner.terms import CLOSED
from tests.support.pve import FIREWALL, NODE, TEMPLATE, VMID, World


async def test_a_clone_keeps_no_firewall_rule_ip_set_or_alias_of_its_template(
    world: World,
) -> None:
    await world.cloned()
    assert all(_firewall(world, VMID))
    await world.hypervisor.isolate(NODE, VMID, FIREWALL)
    assert await world.hypervisor.isolation(NODE, VMID) == FIREWALL
    assert _firewall(world, VMID) == (len(FIREWALL.rules), 1, 0)
    before = world.calls()
    await world.hypervisor.isolate(NODE, VMID, FIREWALL)
    assert world.calls() - before == 4, "what is right is read, and nothing written"
    assert all(_firewall(world, TEMPLATE))


async def test_a_known_firewall_is_made_another_without_being_read(world: World) -> None:
    shared = common(("203.0.113.10-203.0.113.209", "2001:db8::10-2001:db8::d7"), CLOSED, smtp=False)
    await world.hypervisor.isolate(NODE, TEMPLATE, shared)
    await world.cloned()
    before = world.calls()
    await world.hypervisor.isolate(NODE, VMID, FIREWALL, base=shared)
    assert world.calls() - before == 2, "an address of each version"
    assert await world.hypervisor.isolation(NODE, VMID) == FIREWALL


async def test_a_known_firewall_of_which_something_must_go_is_read_after_all(world: World) -> None:
    base = await world.hypervisor.isolation(NODE, TEMPLATE)
    assert base.leftovers
    await world.cloned()
    world.see(lambda cluster: cluster.state.firewalls[VMID].rules.clear())
    await world.hypervisor.isolate(NODE, VMID, FIREWALL, base=base)
    assert await world.hypervisor.isolation(NODE, VMID) == FIREWALL


async def test_a_firewall_that_is_not_what_it_was_taken_for_is_tried_again(world: World) -> None:
    await world.cloned()
    await world.hypervisor.isolate(NODE, VMID, FIREWALL)
    nothing = Isolation(frozenset(), None, ())
    with pytest.raises(Transient):
        await world.hypervisor.isolate(NODE, VMID, FIREWALL, base=nothing)
    await world.hypervisor.isolate(NODE, VMID, FIREWALL)
    assert await world.hypervisor.isolation(NODE, VMID) == FIREWALL


def _firewall(world: World, vmid: int) -> tuple[int, int, int]:
    """Count the rules, IP sets and aliases of a guest."""
    firewall = world.see(lambda cluster: cluster.state.firewalls[vmid])
    return len(firewall.rules), len(firewall.ipsets), len(firewall.aliases)

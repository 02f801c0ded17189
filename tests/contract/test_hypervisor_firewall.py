"""What every hypervisor backend promises of a guest's firewall, on every transport there is."""

import json
from collections.abc import Mapping

import pytest

from provisioner.backends.proxmox.api import ApiError, ParamValue
from provisioner.errors import Transient
from provisioner.isolation import Isolation, common
from provisioner.terms import CLOSED
from tests.support.pve import FIREWALL, NODE, TEMPLATE, VMID, World

GUEST = f"/nodes/{NODE}/qemu/{VMID}/firewall"


async def test_a_clone_keeps_no_firewall_rule_ip_set_or_alias_of_its_template(
    world: World,
) -> None:
    await world.cloned()
    assert all(await _firewall(world, VMID))
    await world.hypervisor.isolate(NODE, VMID, FIREWALL)
    assert await world.hypervisor.isolation(NODE, VMID) == FIREWALL
    assert await _firewall(world, VMID) == (len(FIREWALL.rules), 1, 0)
    before = world.calls()
    await world.hypervisor.isolate(NODE, VMID, FIREWALL)
    assert world.calls() - before == 4, "what is right is read, and nothing written"
    assert all(await _firewall(world, TEMPLATE))


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
    for _ in await world.rows(f"{GUEST}/rules"):
        await world.api.call("DELETE", f"{GUEST}/rules/0")
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


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ({"proto": "icmpv6", "dport": "130"}, {}),
        ({"proto": "icmp", "dport": "echo-request"}, {}),
        ({"proto": "ipv6-icmp", "icmp-type": "packet-too-big"}, {}),
        (
            {"proto": "ipv6-icmp", "icmp-type": "130"},
            {"icmp-type": "invalid icmp-type '130' for proto 'ipv6-icmp'"},
        ),
        (
            {"proto": "icmp", "icmp-type": "packet-too-big"},
            {"icmp-type": "invalid icmp-type 'packet-too-big' for proto 'icmp'"},
        ),
        (
            {"proto": "icmpv6", "icmp-type": "redirect", "dport": "130"},
            {"icmp-type": "'icmp-type' cannot be specified together with 'dport'"},
        ),
    ],
    ids=["number", "name", "type", "typed number", "other version", "both"],
)
async def test_a_kind_of_icmp_that_has_no_name_is_told_in_place_of_a_port(
    world: World, rule: Mapping[str, ParamValue], error: Mapping[str, str]
) -> None:
    await world.cloned()
    call = world.api.call(
        "POST", f"{GUEST}/rules", {"type": "in", "action": "ACCEPT", "enable": 1, **rule}
    )
    if not error:
        await call
        return
    with pytest.raises(ApiError) as raised:
        await call
    assert raised.value.status == 400
    assert json.loads(raised.value.body)["errors"] == error


async def _firewall(world: World, vmid: int) -> tuple[int, ...]:
    """Count the rules, IP sets and aliases of a guest."""
    where = f"/nodes/{NODE}/qemu/{vmid}/firewall"
    kinds = ("rules", "ipset", "aliases")
    return tuple([len(await world.rows(f"{where}/{kind}")) for kind in kinds])

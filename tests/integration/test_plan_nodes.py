"""What a plan has of its own on the nodes: its cloud-init, and the routes to its addresses."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from chainwatch.config import Config
from chainwatch.domain.events import PlanDefined, PlanTerms
from chainwatch.domain.plans import PlanRule, PlanRules
from provisioner.allocate import AddressRange
from provisioner.simulator.ssh.system import HelperRules, NodeSystem
from provisioner.terms import Terms
from tests.integration.test_node_work import NODE, reaching, system, tended
from tests.support.chain_model import minted
from tests.support.realm import ALICE, ALICES_KEY, FIRST, GRACE, Realm, realm


@pytest.fixture
async def devbox(tmp_path: Path) -> AsyncIterator[Realm]:
    async with realm(tmp_path, adjust=reaching("devbox")) as world:
        yield world


def planned(usual: str | None, terms: Terms) -> Callable[[Config], Config]:
    """Have the plan decide `terms`, besides the site-wide template."""
    rules = PlanRules((PlanRule(terms, name="small"),))
    return lambda config: replace(reaching(usual)(config), plans=rules)


@pytest.mark.parametrize("usual", [None, "base"])
async def test_a_plan_has_a_template_of_its_own(usual: str | None, tmp_path: Path) -> None:
    adjust = planned(usual, Terms(cloud_init="devbox"))
    async with realm(tmp_path, adjust=adjust) as world:
        world.buy()
        await world.settle()
        (text,) = system(world).snippets.values()
        assert b"tmux" in text
        assert world.cluster.admits(FIRST, ALICES_KEY)


@pytest.mark.parametrize("usual", [None, "devbox"])
async def test_a_plan_without_a_template_has_the_one_of_all_machines_or_none(
    usual: str | None, tmp_path: Path
) -> None:
    other = PlanRules((PlanRule(Terms(cloud_init="nft-auth"), name="another"),))
    adjust = reaching(usual)
    async with realm(tmp_path, adjust=lambda c: replace(adjust(c), plans=other)) as world:
        world.buy()
        await world.settle()
        assert world.running() == [FIRST]
        assert len(system(world).snippets) == (0 if usual is None else 1)
        assert ("cicustom" in world.guest().config) is (usual is not None)
        assert not any(b"pam_web3" in text for text in system(world).snippets.values())


async def test_another_template_reaches_a_machine_that_exists_and_the_old_one_goes(
    devbox: Realm,
) -> None:
    devbox.buy(lasts=100 * GRACE)
    await devbox.settle()
    (first,) = system(devbox).snippets
    devbox.config = planned("devbox", Terms(cloud_init="webserver"))(devbox.config)
    await devbox.restart()
    await devbox.settle()
    await tended(devbox)
    (second,) = system(devbox).snippets
    assert second != first
    config = devbox.guest().config | devbox.guest().pending
    assert config["cicustom"] == f"user=local:snippets/{second}"
    assert devbox.guest().boots == 1


# ------------------------------------------------------------------------------ routes of plans


BRIDGES: Final = HelperRules(bridges=("vmbr0", "vmbr1", "vmbr1.42"))
OWN: Final = AddressRange("2001:db8:7::10/64", "2001:db8:7::1")


async def routes(folder: Path, terms: Terms, *, common: bool = True) -> dict[str, str]:
    """Return the routes of the node on which a machine of a plan with `terms` stands."""
    rules = PlanRules((PlanRule(terms, name="small"),))
    adjust = reaching(routes=True)

    def with_plan(config: Config) -> Config:
        config = replace(adjust(config), plans=rules)
        return replace(config, machines=replace(config.machines, host_routes=common))

    async with realm(folder, adjust=with_plan) as world:
        world.cluster.state.systems[NODE] = NodeSystem(BRIDGES)
        world.buy()
        await world.settle()
        await tended(world)
        assert "node-ssh" not in await world.alarms()
        care = world.daemon.supervisor.care
        assert care is not None
        return dict(await care.shell.routes(NODE))


@pytest.mark.parametrize(
    ("terms", "common", "found"),
    [
        (Terms(bridge="vmbr1"), True, {"2001:db8::10": "vmbr1"}),
        (Terms(bridge="vmbr1", vlan=42), True, {"2001:db8::10": "vmbr1.42"}),
        (Terms(bridge="vmbr1"), False, {}),
        (Terms(bridge="vmbr1", ipv6=OWN), True, {}),
        (Terms(bridge="vmbr1", ipv6=OWN, host_routes=True), True, {"2001:db8:7::10": "vmbr1"}),
        (Terms(bridge="vmbr1", ipv6=OWN, host_routes=True), False, {"2001:db8:7::10": "vmbr1"}),
        (Terms(ipv6=OWN, host_routes=True), False, {"2001:db8:7::10": "vmbr0"}),
        (Terms(ipv4=AddressRange("10.7.0.10/24", "10.7.0.1")), True, {}),
        (Terms(rate=5), True, {"2001:db8::10": "vmbr0"}),
    ],
)
async def test_a_machine_s_own_address_is_routed_to_the_bridge_of_its_plan(
    terms: Terms, common: bool, found: dict[str, str], tmp_path: Path
) -> None:
    assert await routes(tmp_path, terms, common=common) == found


async def test_a_plan_whose_interface_is_missing_on_a_node_keeps_no_other_plan_waiting(
    tmp_path: Path,
) -> None:
    rules = PlanRules((PlanRule(Terms(vlan=7), name="small"),))
    adjust = reaching("base", routes=True)
    async with realm(tmp_path, adjust=lambda c: replace(adjust(c), plans=rules)) as world:
        world.mine(PlanDefined(2, "other", 0, 2, 2048, 20, GRACE), PlanTerms(2, ALICE, 1, 0, True))
        world.buy(1, lasts=100 * GRACE)
        ends = world.chain.head.timestamp + 100 * GRACE
        world.mine(*minted(2, ALICE, plan=2, expires_at=ends))
        world.confirm()
        await world.settle()
        left = f"chainwatch-{FIRST + 5}-0123456789abcdef.yaml"
        system(world).snippets[left] = b"left behind"
        await tended(world)
        assert len(system(world).routes) == 1
        assert {to for to, _ in system(world).routes.values()} == {"vmbr0"}
        assert "not an address or a bridge of ours" in (await world.alarms())["node-ssh"]
        assert left not in system(world).snippets


async def test_a_route_follows_its_machine_to_another_bridge(tmp_path: Path) -> None:
    async with realm(tmp_path, adjust=reaching(routes=True)) as world:
        world.cluster.state.systems[NODE] = NodeSystem(BRIDGES)
        world.buy(lasts=100 * GRACE)
        await world.settle()
        await tended(world)
        rules = PlanRules((PlanRule(Terms(bridge="vmbr1"), name="small"),))
        world.config = replace(world.config, plans=rules)
        await world.restart()
        await world.settle()
        await tended(world)
        care = world.daemon.supervisor.care
        assert care is not None
        assert await care.shell.routes(NODE) == {"2001:db8::10": "vmbr1"}


async def test_routes_of_a_plan_come_back_after_its_node_booted(tmp_path: Path) -> None:
    rules = PlanRules((PlanRule(Terms(bridge="vmbr1", ipv6=OWN, host_routes=True), name="small"),))
    async with realm(tmp_path, adjust=lambda c: replace(reaching()(c), plans=rules)) as world:
        world.cluster.state.systems[NODE] = NodeSystem(BRIDGES)
        world.buy(lasts=100 * GRACE)
        await world.settle()
        await tended(world)
        world.cluster.power_cycle(NODE)
        world.cluster.advance(300)
        care = world.daemon.supervisor.care
        assert care is not None
        assert await care.shell.routes(NODE) == {}
        await world.settle()
        await tended(world)
        assert await care.shell.routes(NODE) == {"2001:db8:7::10": "vmbr1"}

"""Tenants are kept apart, whatever is done to their firewalls; and a plan says how far."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from chainwatch.config import Config
from chainwatch.domain.plans import PlanRule, PlanRules
from provisioner.allocate import AddressRange, Pool
from provisioner.simulator.cluster import Cluster
from provisioner.terms import CLOSED, Inbound, Terms
from tests.support.firewalls import link_local, reachable
from tests.support.realm import FIRST, GRACE, LAST, TEMPLATE, Realm, realm

OUTSIDE: Final = "198.51.100.7"
GATEWAY: Final = "203.0.113.1"
OUTSIDE6: Final = "2001:db8:ffff::7"
GATEWAY6: Final = "2001:db8::1"
SECOND: Final = FIRST + 1


def both(config: Config) -> Config:
    """Give machines addresses of both versions."""
    pool = Pool(
        FIRST,
        LAST,
        "02:00:00",
        AddressRange("203.0.113.10/24", GATEWAY),
        AddressRange("2001:db8::10/64", GATEWAY6),
    )
    return replace(config, machines=replace(config.machines, pool=pool))


def sold(terms: Terms) -> Callable[[Config], Config]:
    """Have the plan decide `terms`."""
    return lambda config: replace(both(config), plans=PlanRules((PlanRule(terms, name="small"),)))


async def neighbours(world: Realm) -> Cluster:
    """Make machines for two buyers, in a cluster whose firewall is on."""
    world.cluster.state.firewall_options["enable"] = 1
    for token in (1, 2):
        world.buy(token, lasts=100 * GRACE)
    await world.settle()
    assert len(world.running()) == 2
    return world.cluster


def enclosed(cluster: Cluster) -> bool:
    """Say whether neither machine reaches the other, by any address."""
    macs = [str(cluster.guest(vmid).config["net0"])[7:24] for vmid in (FIRST, SECOND)]
    pairs = ((FIRST, SECOND, macs[0]), (SECOND, FIRST, macs[1]))
    return not any(
        reachable(cluster, one, other, port, proto, ipv6=ipv6)
        or reachable(cluster, one, other, port, proto, ipv6=True, source=link_local(mac))
        for one, other, mac in pairs
        for proto in ("tcp", "udp")
        for port in (22, 443)
        for ipv6 in (False, True)
    )


async def test_two_tenants_do_not_reach_each_other_and_the_rest_of_the_world_does(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path, adjust=both) as world:
        cluster = await neighbours(world)
        assert enclosed(cluster)
        for vmid in (FIRST, SECOND):
            for peer in (OUTSIDE, GATEWAY):
                assert reachable(cluster, peer, vmid, 22)
                assert reachable(cluster, vmid, peer, 443)
            for peer in (OUTSIDE6, GATEWAY6):
                assert reachable(cluster, peer, vmid, 22, ipv6=True)
                assert reachable(cluster, vmid, peer, 443, ipv6=True)


async def test_one_firewall_alone_keeps_two_tenants_apart(tmp_path: Path) -> None:
    async with realm(tmp_path, adjust=both) as world:
        cluster = await neighbours(world)
        cluster.state.firewalls[SECOND].options["enable"] = 0
        assert not reachable(cluster, FIRST, SECOND)
        assert not reachable(cluster, SECOND, FIRST)
        assert not reachable(cluster, SECOND, FIRST, ipv6=True)


async def test_nobody_sends_as_somebody_else(tmp_path: Path) -> None:
    async with realm(tmp_path, adjust=both) as world:
        cluster = await neighbours(world)
        assert not reachable(cluster, FIRST, OUTSIDE, 443, source="203.0.113.11")
        assert not reachable(cluster, FIRST, OUTSIDE, 443, source=GATEWAY)
        assert not reachable(cluster, FIRST, OUTSIDE, 443, mac="02:00:00:00:00:01")
        assert not reachable(cluster, FIRST, OUTSIDE6, 443, ipv6=True, source="2001:db8::11")
        lie = {"proto": "ipv6-icmp", "port": 0, "kind": 134, "ipv6": True}
        mine = link_local("02:00:00:00:00:00")
        assert not reachable(cluster, FIRST, "ff02::1", source=mine, **lie)  # type: ignore[arg-type]  # a mapping of several types
        assert reachable(cluster, FIRST, GATEWAY6, 0, "ipv6-icmp", kind=135, ipv6=True), (
            "neighbours have to be found"
        )


async def test_no_machine_sends_mail_unless_its_plan_allows_it(tmp_path: Path) -> None:
    async with realm(tmp_path, adjust=both) as world:
        cluster = await neighbours(world)
        assert not reachable(cluster, FIRST, OUTSIDE, 25)
        assert reachable(cluster, FIRST, OUTSIDE, 587)


async def test_a_plan_decides_who_connects(tmp_path: Path) -> None:
    some = Inbound(everything=False, tcp=("22", "8000:8010"), udp=("51820",))
    async with realm(tmp_path, adjust=sold(Terms(inbound=some, smtp=True))) as world:
        cluster = await neighbours(world)
        assert enclosed(cluster)
        reached = [
            port for port in (21, 22, 25, 8000, 8010) if reachable(cluster, OUTSIDE, FIRST, port)
        ]
        assert reached == [22, 8000, 8010]
        assert reachable(cluster, OUTSIDE, FIRST, 51820, "udp")
        assert reachable(cluster, FIRST, OUTSIDE, 25)


async def test_a_machine_never_starts_without_its_firewall(tmp_path: Path) -> None:
    async with realm(tmp_path, adjust=both) as world:
        await neighbours(world)
        log = [each for each in world.cluster.inventory().call_log if f"/{FIRST}/" in each.path]
        made = max(i for i, each in enumerate(log) if "/firewall/" in each.path)
        (started,) = [i for i, each in enumerate(log) if each.path.endswith("/status/start")]
        assert made < started


# ------------------------------------------------------------------------------- somebody's hand


def no_rules(cluster: Cluster) -> None:
    cluster.state.firewalls[FIRST].rules.clear()


def switched_off(cluster: Cluster) -> None:
    cluster.state.firewalls[FIRST].options["enable"] = 0


def everybody_first(cluster: Cluster) -> None:
    rule: dict[str, str | int] = {"type": "in", "action": "ACCEPT", "enable": 1}
    cluster.state.firewalls[FIRST].rules.insert(0, rule)


def muted(cluster: Cluster) -> None:
    for rule in cluster.state.firewalls[FIRST].rules:
        rule["enable"] = 0


def another_address(cluster: Cluster) -> None:
    cluster.state.firewalls[FIRST].ipsets["ipfilter-net0"]["203.0.113.11"] = ""


def no_filter(cluster: Cluster) -> None:
    del cluster.state.firewalls[FIRST].ipsets["ipfilter-net0"]


def any_mac(cluster: Cluster) -> None:
    cluster.state.firewalls[FIRST].options["macfilter"] = 0


def all_gone(cluster: Cluster) -> None:
    del cluster.state.firewalls[FIRST]


HANDS: Final = (
    no_rules,
    switched_off,
    everybody_first,
    muted,
    another_address,
    no_filter,
    any_mac,
    all_gone,
)


@pytest.mark.parametrize("hand", HANDS, ids=lambda hand: hand.__name__)
async def test_a_firewall_that_somebody_changed_is_made_again(
    hand: Callable[[Cluster], None], tmp_path: Path
) -> None:
    async with realm(tmp_path, adjust=both) as world:
        cluster = await neighbours(world)
        await world.daemon.supervisor.resync.survey()
        before = cluster.state.firewalls[FIRST].copy()
        hand(cluster)
        watch = world.daemon.supervisor.firewalls
        for _ in range(2):
            await watch.look()
        told = (await world.alarms())["firewall-changed"]
        assert (
            told == f"VM {FIRST}: somebody changed its firewall; it is made again as its plan says"
        )
        await world.settle()
        after = cluster.state.firewalls[FIRST]
        assert (after.options, after.rules) == (before.options, before.rules)
        assert (after.ipsets, after.aliases) == (before.ipsets, before.aliases)
        await watch.look()
        assert await world.alarms() == {}
        assert world.cluster.guest(FIRST).boots == 1, "it ran on meanwhile"


async def test_a_firewall_is_left_alone_that_nobody_touched(tmp_path: Path) -> None:
    async with realm(tmp_path, adjust=both) as world:
        cluster = await neighbours(world)
        await world.daemon.supervisor.resync.survey()
        calls = len(cluster.inventory().call_log)
        for _ in range(3):
            await world.daemon.supervisor.firewalls.look()
        await world.settle()
        made = list(cluster.inventory().call_log)[calls:]
        assert made
        assert {each.method for each in made} == {"GET"}
        assert await world.alarms() == {}


async def test_a_look_at_a_settled_machine_costs_four_calls_and_none_for_its_configuration(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path, adjust=both) as world:
        cluster = await neighbours(world)
        await world.daemon.supervisor.resync.survey()
        calls = len(cluster.inventory().call_log)
        await world.daemon.supervisor.firewalls.look()
        made = [each.path for each in list(cluster.inventory().call_log)[calls:]]
        assert len([path for path in made if f"/{FIRST}/firewall/" in path]) == 4
        assert not [path for path in made if path.endswith("/config")]


async def test_a_machine_that_no_pass_has_settled_yet_is_held_against_what_it_carries(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path, adjust=both) as world:
        cluster = await neighbours(world)
        await world.daemon.supervisor.resync.survey()
        for token in (1, 2):
            world.daemon.supervisor.firewalls.sights.forget(str(world.lease(token)))
        no_rules(cluster)
        for _ in range(2):
            await world.daemon.supervisor.firewalls.look()
        assert "firewall-changed" in await world.alarms()


# ----------------------------------------------------------------------------- a plan is changed


async def replanned(world: Realm, terms: Terms) -> None:
    """Start the daemon again with other terms for the plan."""
    world.config = sold(terms)(world.config)
    await world.restart()
    await world.settle()


async def test_a_new_vlan_bridge_and_limits_reach_a_machine_that_exists(tmp_path: Path) -> None:
    async with realm(tmp_path, adjust=both) as world:
        cluster = await neighbours(world)
        await replanned(world, Terms(bridge="vmbr1", vlan=42, rate=12.5, cpu_limit=1.5))
        config = cluster.guest(FIRST).config | cluster.guest(FIRST).pending
        parts = str(config["net0"]).split(",")
        assert {"bridge=vmbr1", "tag=42", "rate=12.5", "firewall=1"} < set(parts)
        assert config["cpulimit"] == 1.5


async def test_a_new_firewall_reaches_a_machine_that_exists(tmp_path: Path) -> None:
    async with realm(tmp_path, adjust=both) as world:
        cluster = await neighbours(world)
        assert reachable(cluster, OUTSIDE, FIRST, 443)
        await replanned(world, Terms(inbound=CLOSED))
        assert not reachable(cluster, OUTSIDE, FIRST, 443)
        assert reachable(cluster, OUTSIDE, FIRST, 22)
        assert enclosed(cluster)
        assert world.cluster.guest(FIRST).boots == 1


async def test_a_plan_on_a_network_of_its_own_has_addresses_of_its_own(tmp_path: Path) -> None:
    own = AddressRange("10.7.0.10/24", "10.7.0.1")
    async with realm(tmp_path, adjust=sold(Terms(vlan=7, ipv4=own))) as world:
        cluster = await neighbours(world)
        assert cluster.guest(SECOND).config["ipconfig0"] == "ip=10.7.0.11/24,gw=10.7.0.1"
        assert not reachable(cluster, FIRST, SECOND)
        assert not reachable(cluster, "203.0.113.12", SECOND), "nor those of other plans"
        assert reachable(cluster, "10.7.0.1", SECOND)


async def test_a_plan_is_made_on_its_nodes_from_its_templates(tmp_path: Path) -> None:
    terms = Terms(nodes=frozenset({"pve"}), templates=(9100,))
    async with realm(tmp_path, adjust=sold(terms)) as world:
        world.cluster.add_template(9100)
        await neighbours(world)
        cloned = [t for t in world.cluster.inventory().tasks if t.kind == "qmclone"]
        assert {task.id for task in cloned} == {"9100"}


async def test_a_plan_whose_nodes_are_not_there_waits_and_says_so(tmp_path: Path) -> None:
    async with realm(tmp_path, adjust=sold(Terms(nodes=frozenset({"far"})))) as world:
        world.buy()
        await world.turns(5)
        (sentence,) = (await world.sentences()).values()
        assert "not among the nodes of its plan" in (await world.alarms())["no-room"], sentence


# ------------------------------------------------------------------------------------- its price


async def test_a_prepared_template_leaves_one_call_for_each_address(tmp_path: Path) -> None:
    async with realm(tmp_path, adjust=both) as world:
        site, cluster = world.daemon.reconciler.site, world.cluster
        await world.daemon.reconciler.executor.hypervisor.isolate(
            "pve", TEMPLATE, site.frame(Terms())
        )
        before = len(cluster.inventory().call_log)
        await neighbours(world)
        calls = list(cluster.inventory().call_log)[before:]
        about = [each for each in calls if f"/{FIRST}/firewall" in each.path]
        assert [each.method for each in about] == ["POST", "POST"]
        assert enclosed(cluster)


async def test_a_template_that_was_changed_meanwhile_is_found_out(tmp_path: Path) -> None:
    async with realm(tmp_path, adjust=both) as world:
        site, cluster = world.daemon.reconciler.site, world.cluster
        executor = world.daemon.reconciler.executor
        await executor.hypervisor.isolate("pve", TEMPLATE, site.frame(Terms()))
        world.buy(3, lasts=100 * GRACE)
        await world.settle()
        spoilt = cluster.state.firewalls[TEMPLATE].copy()
        spoilt.rules.insert(0, {"type": "in", "action": "ACCEPT", "enable": 1})
        good, cluster.state.firewalls[TEMPLATE] = cluster.state.firewalls[TEMPLATE], spoilt
        world.buy(4, lasts=100 * GRACE)
        await world.settle()
        cluster.state.firewalls[TEMPLATE] = good
        await world.daemon.supervisor.resync.survey()
        for _ in range(3):
            await world.daemon.supervisor.firewalls.look()
        await world.settle()
        assert cluster.state.firewalls[SECOND].rules == cluster.state.firewalls[FIRST].rules

"""The firewall that is wanted, its stamp, and the file that prepares a template."""

import string
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from provisioner.backends.proxmox.firewall import as_file
from provisioner.isolation import Isolation, Rule, common, isolation
from provisioner.simulator.cluster import Cluster
from provisioner.terms import CLOSED, OPEN, Inbound
from tests.support.pve import NODE, VMID, direct_world
from tests.support.sketches import PAID, SITE, STAMPS, observed
from tests.support.sketches import VMID as PLACE

TENANTS: Final = ("203.0.113.10-203.0.113.209",)

ports = st.integers(1, 65_535).map(str)
inbounds = st.one_of(
    st.just(OPEN),
    st.builds(
        Inbound,
        everything=st.just(False),
        tcp=st.lists(ports, max_size=15, unique=True).map(tuple),
        udp=st.lists(ports, max_size=15, unique=True).map(tuple),
    ),
)
spans = st.lists(
    st.integers(0, 255).map(lambda net: f"10.{net}.0.10-10.{net}.0.209"), max_size=4, unique=True
).map(tuple)
addresses = st.sampled_from(
    [("203.0.113.15/24",), ("2001:db8::15/64",), ("203.0.113.16/24", "2001:db8:0::16/64"), ()]
)
wanted = st.builds(isolation, addresses, spans, inbounds, smtp=st.booleans())
words = st.text(string.ascii_lowercase, min_size=2, max_size=8)
found = st.builds(
    Isolation,
    options=st.frozensets(
        st.sampled_from([("enable", "0"), ("macfilter", "0"), ("policy_in", "ACCEPT")]), max_size=3
    ),
    addresses=st.sampled_from([None, frozenset(), frozenset({"203.0.113.15", "192.0.2.0/24"})]),
    rules=st.lists(
        st.builds(Rule, st.sampled_from(["in", "out"]), st.sampled_from(["ACCEPT", "DROP"])),
        max_size=4,
    ).map(tuple),
    leftovers=st.frozensets(words.map(lambda name: f"ipset/{name}"), max_size=2),
)


def put(cluster: Cluster, firewall: Isolation) -> None:
    """Give a guest a firewall as somebody else might have left it."""
    mine = cluster.state.firewall(VMID)
    mine.options = dict(firewall.options)
    mine.rules = [
        {"type": rule.way, "action": rule.action, "enable": 1, "comment": rule.comment}
        for rule in firewall.rules
    ]
    mine.ipsets = {each.removeprefix("ipset/"): {} for each in firewall.leftovers}
    if firewall.addresses is not None:
        mine.ipsets["ipfilter-net0"] = dict.fromkeys(firewall.addresses, "")


@given(before=found, first=wanted, second=wanted)
async def test_whatever_there_was_what_is_written_is_read_back_equal(
    before: Isolation, first: Isolation, second: Isolation
) -> None:
    world = direct_world()
    world.see(lambda cluster: cluster.add_guest(VMID))
    world.see(lambda cluster: put(cluster, before))
    assert await world.hypervisor.isolation(NODE, VMID) == before
    for each in (first, second, second):
        await world.hypervisor.isolate(NODE, VMID, each)
        assert await world.hypervisor.isolation(NODE, VMID) == each


@given(first=wanted, second=wanted)
def test_only_what_is_the_same_has_the_same_stamp(first: Isolation, second: Isolation) -> None:
    assert (first.stamp == second.stamp) == (first == second)


def test_a_machine_whose_range_grows_gets_another_firewall() -> None:
    wider = ("203.0.113.10-203.0.113.210",)
    own = ("203.0.113.15/24",)
    assert isolation(own, TENANTS).stamp != isolation(own, wider).stamp


def test_a_template_is_prepared_by_a_file() -> None:
    assert as_file(common(TENANTS, CLOSED, smtp=False)) == (
        "[OPTIONS]\n\n"
        "dhcp: 0\nenable: 1\nipfilter: 1\nlog_level_in: nolog\nlog_level_out: nolog\n"
        "macfilter: 1\nndp: 1\npolicy_in: DROP\npolicy_out: ACCEPT\nradv: 0\n\n"
        "[IPSET ipfilter-net0] # chainwatch\n\n\n"
        "[RULES]\n\n"
        "IN ACCEPT -source fe80::/10 -p icmpv6 -dport 130 # chainwatch\n"
        "IN DROP -source fe80::/10 # chainwatch\n"
        "IN DROP -source 203.0.113.10-203.0.113.209 # chainwatch\n"
        "IN ACCEPT -p tcp -dport 22 # chainwatch\n"
        "OUT DROP -dest 203.0.113.10-203.0.113.209 # chainwatch\n"
        "OUT REJECT -p tcp -dport 25 # chainwatch\n"
    )


def test_a_machine_with_the_stamp_of_its_firewall_is_isolated() -> None:
    assert STAMPS.configured == SITE.isolation(PAID, PLACE).stamp
    assert SITE.isolated(PAID, observed(PAID))

"""Whatever the cluster looks like: nothing is made where it has no room, and room is not denied.

What is promised is added up here by hand, guest by guest, and not by the code under test.
"""

from collections.abc import Mapping
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from provisioner.allocate import Pool
from provisioner.placement import (
    GIB,
    MIB,
    Demand,
    Limits,
    Promise,
    Spot,
    Template,
    openings,
    pick,
    view,
)
from provisioner.ports import ClusterSnapshot, GuestRow, NodeRow, StorageRow
from provisioner.weights import Shelf

POOL: Final = Pool(20000, 20099, "02:00:00")
NODES: Final = ("n1", "n2", "n3")
STORAGES: Final = ("local", "shared")
SIZES: Final = st.integers(0, 16)

demands = st.builds(Demand, SIZES.map(lambda n: n * 1024), SIZES)
limits = st.builds(
    Limits,
    nodes=st.frozensets(st.sampled_from(NODES)),
    memory_overcommit=st.sampled_from((0.5, 1.0, 2.0)),
    storage_reserve_gib=st.integers(0, 4),
    clones=st.integers(1, 3),
)
guests = st.builds(
    GuestRow,
    vmid=st.one_of(st.integers(20000, 20009), st.integers(100, 105)),
    node=st.sampled_from(NODES),
    name=st.none(),
    kind=st.just("qemu"),
    template=st.just(False),
    memory=SIZES.map(lambda n: n * GIB),
    running=st.booleans(),
)
promises = st.dictionaries(
    st.integers(20000, 20009),
    st.builds(
        Promise,
        node=st.sampled_from(NODES),
        shelf=st.one_of(
            st.none(),
            st.tuples(st.just("local"), st.sampled_from(NODES)),
            st.just(("shared", None)),
        ),
        demand=demands,
        copying=st.booleans(),
    ),
    max_size=4,
)
templates = st.lists(
    st.builds(Template, st.integers(9000, 9003), st.sampled_from(NODES), st.sampled_from(STORAGES)),
    max_size=4,
    unique_by=lambda template: template.vmid,
)


@st.composite
def clusters(draw: st.DrawFn) -> ClusterSnapshot:
    """Draw three nodes, a storage of each and one that they share, and guests on them."""
    members = {
        name: NodeRow(name, draw(st.booleans()), draw(st.booleans()), draw(SIZES) * 4 * GIB)
        for name in NODES
    }
    used = draw(SIZES) * GIB
    rows = [
        StorageRow(
            name,
            node,
            shared=name == "shared",
            available=draw(st.booleans()),
            size=20 * GIB,
            used=used if name == "shared" else draw(SIZES) * GIB,
        )
        for node in NODES
        for name in STORAGES
    ]
    found = {guest.vmid: guest for guest in draw(st.lists(guests, max_size=6))}
    online = tuple(name for name, row in members.items() if row.online)
    return ClusterSnapshot(0.0, found, online, members, tuple(rows))


def promised(cluster: ClusterSnapshot, asked: Mapping[int, Promise], node: str) -> int:
    """Return the MiB of a node that belong to somebody."""
    total = sum(
        each.demand.memory_mib
        for vmid, each in asked.items()
        if vmid not in cluster.guests and each.node == node
    )
    for guest in cluster.guests.values():
        if guest.node == node and guest.vmid in asked:
            total += max(guest.memory // MIB, asked[guest.vmid].demand.memory_mib)
        elif guest.node == node and (guest.running or guest.vmid in POOL):
            total += guest.memory // MIB
    return total


def disk_left(cluster: ClusterSnapshot, asked: Mapping[int, Promise], spot: Spot) -> int:
    """Return the GiB that nobody has, or is copying to, on the storage of a spot."""
    row = next(
        row
        for row in cluster.storages
        if (row.name, row.node) == (spot.template.storage, spot.node) and row.available
    )
    under_way = sum(
        each.demand.disk_gib
        for each in asked.values()
        if each.copying and each.shelf in (None, spot.shelf)
    )
    return (row.size - row.used) // GIB - under_way


@given(clusters(), limits, promises, templates, demands)
def test_a_machine_is_made_only_where_it_fits_and_its_template_is(
    cluster: ClusterSnapshot,
    rules: Limits,
    asked: dict[int, Promise],
    sources: list[Template],
    demand: Demand,
) -> None:
    seen = view(cluster, rules, POOL, asked)
    for spot in openings(seen, sources, demand).spots:
        node = cluster.members[spot.node]
        assert node.online
        assert not node.maintenance
        assert not rules.nodes or spot.node in rules.nodes
        assert cluster.members[spot.template.node].online
        assert spot.template.node == spot.node or spot.template.storage == "shared"
        most = node.memory / MIB * rules.memory_overcommit
        assert promised(cluster, asked, spot.node) + demand.memory_mib <= most
        needed = demand.disk_gib + rules.storage_reserve_gib
        assert needed <= disk_left(cluster, asked, spot)


@given(clusters(), limits, promises, templates, demands)
def test_every_node_has_room_or_a_reason_why_not(
    cluster: ClusterSnapshot,
    rules: Limits,
    asked: dict[int, Promise],
    sources: list[Template],
    demand: Demand,
) -> None:
    found = openings(view(cluster, rules, POOL, asked), sources, demand)
    told = {reason.partition(":")[0] for reason in found.reasons}
    assert told | {spot.node for spot in found.spots} == set(NODES)
    assert told.isdisjoint(spot.node for spot in found.spots)


@given(clusters(), limits, promises, templates, demands)
def test_no_storage_gets_more_clones_at_once_than_it_may_have(
    cluster: ClusterSnapshot,
    rules: Limits,
    asked: dict[int, Promise],
    sources: list[Template],
    demand: Demand,
) -> None:
    asked, begun = dict(asked), dict[Shelf, int]()
    for each in asked.values():
        for shelf in (("shared", None), *(("local", node) for node in NODES)):
            if each.copying and each.shelf in (None, shelf):
                begun[shelf] = begun.get(shelf, 0) + 1
    for vmid in range(20050, 20060):
        seen = view(cluster, rules, POOL, asked)
        spot = pick(seen, openings(seen, sources, demand).spots, rules)
        if spot is None:
            break
        begun[spot.shelf] = begun.get(spot.shelf, 0) + 1
        assert begun[spot.shelf] <= rules.clones
        asked[vmid] = Promise(spot.node, spot.shelf, demand, copying=True)


@given(st.integers(1, 40), st.integers(1, 8))
def test_machines_spread_over_equal_nodes(count: int, gib: int) -> None:
    members = {name: NodeRow(name, True, False, 512 * GIB) for name in NODES}
    rows = [StorageRow("local", node, False, True, 900 * GIB, 0) for node in NODES]
    cluster = ClusterSnapshot(0.0, {}, NODES, members, tuple(rows))
    sources = [Template(9000 + at, node, "local") for at, node in enumerate(NODES)]
    demand, asked = Demand(gib * 1024, 10), dict[int, Promise]()
    for vmid in range(20000, 20000 + count):
        seen = view(cluster, Limits(), POOL, asked)
        spot = openings(seen, sources, demand).spots[0]
        asked[vmid] = Promise(spot.node, spot.shelf, demand, copying=False)
    made = [sum(each.node == node for each in asked.values()) for node in NODES]
    assert max(made) - min(made) <= 1

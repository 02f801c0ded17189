"""Where a machine goes, case by case, and what is said where there is no room."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

import pytest

from provisioner.allocate import Pool
from provisioner.model import Kind
from provisioner.nowhere import nowhere, unpacked_nowhere
from provisioner.placement import (
    GIB,
    Demand,
    Limits,
    Openings,
    Promise,
    Template,
    cramped,
    openings,
    view,
)
from provisioner.ports import ClusterSnapshot, GuestRow, NodeRow, StorageRow
from provisioner.terms import Cloning
from provisioner.weights import Shelf, SoldSpace, weigh
from tests.support.advice import says_what_to_do

POOL: Final = Pool(20000, 20099, "02:00:00")
SMALL: Final = Demand(2048, 20)
N1, N2 = NodeRow("n1", True, False, 16 * GIB), NodeRow("n2", True, False, 32 * GIB)
LOCAL: Final = tuple(
    StorageRow("local", node, shared=False, available=True, size=100 * GIB, used=0)
    for node in ("n1", "n2")
)
SHARED: Final = tuple(replace(row, name="ceph", shared=True) for row in LOCAL)
ON_N1, ON_N2 = Template(9000, "n1", "local"), Template(9001, "n2", "local")
ANYWHERE: Final = Template(9002, "n1", "ceph")


def cluster(*nodes: NodeRow, guests: tuple[GuestRow, ...] = ()) -> ClusterSnapshot:
    return ClusterSnapshot(
        0.0,
        {guest.vmid: guest for guest in guests},
        tuple(node.name for node in nodes if node.online),
        {node.name: node for node in nodes},
        LOCAL + SHARED,
    )


def guest(vmid: int, node: str, gib: int, *, running: bool = False) -> GuestRow:
    return GuestRow(vmid, node, "x", Kind.VM, template=False, memory=gib * GIB, running=running)


def found(
    shown: ClusterSnapshot,
    *templates: Template,
    limits: Limits | None = None,
    promises: dict[int, Promise] | None = None,
    demand: Demand = SMALL,
) -> Openings:
    seen = view(shown, limits or Limits(), POOL, promises or {}, demand.memory_mib)
    return openings(seen, templates, demand)


def places(
    shown: ClusterSnapshot, *templates: Template, limits: Limits | None = None
) -> list[tuple[str, int]]:
    return [(s.node, s.template.vmid) for s in found(shown, *templates, limits=limits).spots]


def test_the_node_with_the_most_free_memory_comes_first() -> None:
    assert places(cluster(N1, N2), ON_N1, ON_N2) == [("n2", 9001), ("n1", 9000)]


def test_a_template_serves_its_own_node_unless_its_storage_is_shared() -> None:
    assert places(cluster(N1, N2), ON_N1) == [("n1", 9000)]
    assert places(cluster(N1, N2), ANYWHERE) == [("n2", 9002), ("n1", 9002)]


def test_a_node_with_a_template_of_its_own_needs_no_other_nodes() -> None:
    both = replace(ANYWHERE, vmid=9003, node="n2")
    assert places(cluster(N1, N2), ANYWHERE, both)[:2] == [("n2", 9003), ("n2", 9002)]


def test_a_template_on_a_node_that_is_offline_cannot_be_cloned_even_from_shared_storage() -> None:
    away = replace(N1, online=False)
    assert places(cluster(away, N2), ANYWHERE) == []


def test_a_template_on_a_node_in_maintenance_still_serves_the_others() -> None:
    resting = replace(N1, maintenance=True)
    assert places(cluster(resting, N2), ANYWHERE) == [("n2", 9002)]


def test_a_suspended_machine_of_ours_counts_and_a_strangers_that_is_off_does_not() -> None:
    ours = cluster(N1, guests=(guest(20000, "n1", 15),))
    theirs = cluster(N1, guests=(guest(100, "n1", 15),))
    busy = cluster(N1, guests=(guest(100, "n1", 15, running=True),))
    assert places(ours, ON_N1) == []
    assert places(theirs, ON_N1) == [("n1", 9000)]
    assert places(busy, ON_N1) == []


def test_a_machine_of_ours_that_the_list_does_not_size_yet_counts_as_the_one_that_asks() -> None:
    fresh = tuple(guest(vmid, "n1", 0) for vmid in range(20000, 20008))
    assert places(cluster(N1, guests=fresh), ON_N1) == []
    assert places(cluster(N1, guests=fresh[:7]), ON_N1) == [("n1", 9000)]


def test_memory_can_be_sold_more_than_once_or_kept_back() -> None:
    full = cluster(N1, guests=(guest(20000, "n1", 15),))
    assert places(full, ON_N1, limits=Limits(memory_overcommit=1.5)) == [("n1", 9000)]
    kept = Limits(memory_overcommit=0.1)
    assert places(cluster(N1), ON_N1, limits=kept) == []


def test_what_was_promised_counts_until_the_list_shows_it() -> None:
    large = Promise("n1", ("local", "n1"), Demand(15 * 1024, 20), copying=False)
    shown = cluster(N1, guests=(guest(20000, "n1", 1),))
    assert found(shown, ON_N1, promises={20000: large}).spots == []
    assert found(cluster(N1), ON_N1, promises={20000: large}).spots == []


@pytest.mark.parametrize(
    ("node", "limits", "demand", "why"),
    [
        (replace(N1, online=False), Limits(), SMALL, "n1: offline"),
        (replace(N1, maintenance=True), Limits(), SMALL, "n1: in maintenance"),
        (N1, Limits(nodes=frozenset({"n2"})), SMALL, "n1: not among the configured nodes"),
        (replace(N1, memory=0), Limits(), SMALL, "give the token Sys.Audit on /nodes/n1"),
        (N1, Limits(), Demand(17 * 1024, 20), "n1: 16384 MiB of memory left"),
        (N1, Limits(), Demand(2048, 91), "n1: storage local has 90 GiB left beyond its reserve"),
        (replace(N1, name="n3"), Limits(), SMALL, "n3: no template that is online is within its"),
    ],
)
def test_a_node_without_room_says_why(
    node: NodeRow, limits: Limits, demand: Demand, why: str
) -> None:
    (said,) = found(cluster(node), ON_N1, limits=limits, demand=demand).reasons
    assert why in said


@pytest.mark.parametrize(
    ("node", "more", "why"),
    [
        (N1, Demand(14 * 1024, 90), None),
        (N1, Demand(14 * 1024 + 1, 0), "node n1 has 14336 MiB of memory left of 14337"),
        (N1, Demand(0, 91), "storage local has 90 GiB left beyond its reserve of 91"),
        (replace(N1, memory=GIB), Demand(0, 90), None),
        (replace(N1, memory=GIB), Demand(-1, 0), None),
        (replace(N1, maintenance=True), Demand(1024, 20), None),
        (replace(N1, memory=0), Demand(1, 0), "give the token Sys.Audit on /nodes/n1"),
    ],
)
def test_what_a_machine_grows_by_must_be_where_it_stands(
    node: NodeRow, more: Demand, why: str | None
) -> None:
    shown = cluster(node, N2, guests=(guest(20000, "n1", 2, running=True),))
    said = cramped(view(shown, Limits(), POOL, {}), "n1", "local", more)
    assert said is None if why is None else why in str(said)


def test_a_storage_that_is_sold_is_passed_over_and_says_so_where_there_is_no_other() -> None:
    def sold(*nodes: str) -> Openings:
        taken: dict[Shelf, SoldSpace] = {("local", node): SoldSpace(190 * GIB) for node in nodes}
        taken |= {
            ("local", node): SoldSpace(170 * GIB) for node in ("n1", "n2") if node not in nodes
        }
        limits = Limits(storage_overcommit=2.0)
        seen = view(cluster(N1, N2), limits, POOL, {}, sold=taken)
        return openings(seen, (ON_N1, ON_N2), SMALL)

    assert [spot.node for spot in sold().spots] == ["n2", "n1"]
    assert [spot.node for spot in sold("n2").spots] == ["n1"]
    assert not sold("n2").oversold
    full = sold("n1", "n2")
    assert (full.spots, full.oversold) == ([], True)
    assert full.reasons[0] == (
        "n1: storage local has 190 GiB sold of 200 that may be (storage_overcommit), and 20 more "
        "are wanted: add storage, raise the limit, or wait until a machine there is destroyed"
    )


def test_a_machine_is_sold_as_large_as_the_template_where_that_is_larger() -> None:
    large = replace(ON_N1, disk_gib=80, more_gib=12)
    assert large.weight(SMALL) == weigh(92, Kind.VM)
    assert ON_N1.weight(SMALL) == weigh(20, Kind.VM)


COPY: Final = replace(SMALL, cloning=Cloning(full=True, storage="ceph"))


def test_a_copy_goes_to_the_storage_that_is_named_on_its_templates_node() -> None:
    spots = found(cluster(N1, N2), ON_N1, demand=COPY).spots
    assert [(spot.node, spot.shelf) for spot in spots] == [("n1", ("ceph", None))]


def test_a_copy_goes_to_another_node_where_both_storages_are_shared() -> None:
    spots = found(cluster(N1, N2), ANYWHERE, demand=COPY).spots
    assert [spot.node for spot in spots] == ["n2", "n1"]
    local = replace(COPY, cloning=Cloning(full=True, storage="local"))
    spots = found(cluster(N1, N2), ANYWHERE, demand=local).spots
    assert [(spot.node, spot.shelf) for spot in spots] == [("n1", ("local", "n1"))]


def test_a_copy_without_a_storage_stays_on_its_templates() -> None:
    spots = found(cluster(N1), ON_N1, demand=replace(SMALL, cloning=Cloning(full=True))).spots
    assert [spot.shelf for spot in spots] == [("local", "n1")]


def test_a_storage_that_no_node_reaches_is_named() -> None:
    nowhere = replace(SMALL, cloning=Cloning(full=True, storage="nope"))
    reasons = found(cluster(N1), ON_N1, demand=nowhere).reasons
    assert reasons == ["n1: storage nope is not available there"]


AWAY: Final = replace(SHARED[0], available=False), replace(SHARED[1], available=False)
#: The mode of failure.
STORAGE_AWAY: Final = 38
OF_ANOTHER: Final = "no template that is online"


@pytest.mark.parametrize("shared", [AWAY, ()], ids=["away", "not shown"])
@pytest.mark.parametrize(
    ("template", "demand", "reasons"),
    [
        (ANYWHERE, SMALL, [f"{n}: storage ceph is not available there" for n in ("n1", "n2")]),
        (
            ON_N1,
            COPY,
            [
                "n1: storage ceph is not available there",
                f"n2: {OF_ANOTHER} can be copied to its storage ceph",
            ],
        ),
    ],
    ids=["linked", "copied"],
)
def test_a_storage_that_is_away_is_named_where_machines_would_be_made_with_it(
    shared: tuple[StorageRow, ...], template: Template, demand: Demand, reasons: list[str]
) -> None:
    shown = replace(cluster(N1, N2), storages=LOCAL + shared)
    assert found(shown, template, demand=demand).reasons == reasons


@pytest.mark.parametrize(
    "said",
    [
        partial(nowhere, missing=()),
        partial(unpacked_nowhere, remedy="put it there", elsewhere=True),
    ],
    ids=["nowhere", "unpacked nowhere"],
)
def test_where_a_storage_is_away_the_sentence_says_to_bring_it_back(
    said: Callable[[Demand, Openings], str],
) -> None:
    shown = replace(cluster(N1, N2), storages=LOCAL + AWAY)
    assert says_what_to_do(STORAGE_AWAY, [said(SMALL, found(shown, ANYWHERE))])
    assert not says_what_to_do(STORAGE_AWAY, [said(SMALL, found(cluster(), ANYWHERE))])


def test_a_storage_that_is_away_is_no_reason_where_another_template_only_lacks_room() -> None:
    shown = replace(cluster(N1), storages=(replace(LOCAL[0], used=100 * GIB), *AWAY))
    reasons = found(shown, ANYWHERE, ON_N1).reasons
    assert reasons == ["n1: storage local has -10 GiB left beyond its reserve"]


def test_a_node_lacks_no_storage_that_is_local_to_another() -> None:
    shown = replace(cluster(N1, N2), storages=LOCAL[:1])
    full = replace(shown, members={**shown.members, "n1": replace(N1, maintenance=True)})
    assert found(full, ON_N1).reasons[1] == f"n2: {OF_ANOTHER} is within its reach"


def test_a_copy_needs_the_room_that_its_template_takes_and_a_linked_clone_does_not() -> None:
    large = replace(ON_N1, disk_gib=80, more_gib=12)
    assert found(cluster(N1), large).spots
    whole = replace(SMALL, cloning=Cloning(full=True))
    assert found(cluster(N1), large, demand=whole).reasons == [
        "n1: storage local has 90 GiB left beyond its reserve"
    ]


def test_a_copy_counts_until_it_has_grown_to_what_was_sold() -> None:
    def left(*, copying: bool, seen_gib: int) -> int:
        row = replace(guest(20001, "n1", 2), disk=seen_gib * GIB)
        promise = Promise("n1", ("ceph", None), COPY, copying=copying, disk_gib=25)
        seen = view(cluster(N1, guests=(row,)), Limits(), POOL, {20001: promise})
        return seen.storages["ceph", None].left_gib

    assert left(copying=True, seen_gib=0) == 90 - 25
    assert left(copying=False, seen_gib=4) == 90 - 16
    assert left(copying=False, seen_gib=20) == 90


def test_a_container_is_made_only_where_what_it_is_made_of_is_though_its_root_is_shared() -> None:
    container = replace(SMALL, kind=Kind.CONTAINER)
    seen = view(cluster(N1, N2), Limits(), POOL, {}, SMALL.memory_mib)
    where = openings(seen, [Template(0, "n1", "ceph")], container, {"n2": "lacks it"})
    assert [spot.node for spot in where.spots] == ["n1"]
    assert where.reasons == ["n2: lacks it"]

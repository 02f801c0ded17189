"""Where the archive that containers are made of is: who is asked, how often, who is believed."""

from dataclasses import replace
from typing import Final

import pytest

from provisioner.backends.proxmox.inspection import Inspection, Sold
from provisioner.backends.proxmox.ostemplates import ProxmoxOsTemplates
from provisioner.backends.proxmox.settings import ProxmoxSettings
from provisioner.errors import HypervisorDown, NoRoom, Transient
from provisioner.model import Kind
from provisioner.ostemplates import REMEMBERED, SOON, SPARED
from provisioner.placement import Demand, Limits
from provisioner.rooms import Rooms
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.direct import DirectApi
from provisioner.simulator.faults import Fault, FaultName
from provisioner.simulator.settings import Settings
from provisioner.workshop import Workshop
from tests.support.cli import Yard, container_yard

NODES: Final = ("one", "two", "three")
CONTAINER: Final = Demand(1024, 10, Kind.CONTAINER)
AWAY: Final = Fault(FaultName.REFUSE, "GET", "/nodes/two/storage/*", status=500, text="Timeout")


def yard_with(*nodes: str) -> Yard:
    """Return three nodes, of which these have the archive."""
    it = container_yard(NODES)
    put(it, *nodes)
    return it


def put(it: Yard, *nodes: str) -> None:
    it.cluster.state.files.clear()
    if nodes:
        it.cluster.add_os_template(nodes=nodes)


def rooms_of(shop: Workshop) -> Rooms:
    return shop.driver(None).executor.rooms


async def offered(
    shop: Workshop, demand: Demand = CONTAINER, *, restored: bool = False
) -> set[str]:
    """Return the nodes that are offered now."""
    snapshot = await shop.snapshots.get()
    offer = await rooms_of(shop).offer(demand, snapshot, shop.clock.now(), restored=restored)
    return {spot.node for spot in offer.spots}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return who was asked for archives, in the order of asking."""
    nodes: list[str] = []
    holds = ProxmoxOsTemplates.holds

    async def noted(self: ProxmoxOsTemplates, node: str, volume: str) -> bool:
        nodes.append(node)
        return await holds(self, node, volume)

    monkeypatch.setattr(ProxmoxOsTemplates, "holds", noted)
    return nodes


@pytest.mark.parametrize("having", [("two",), ("one", "three"), NODES])
async def test_only_the_nodes_that_have_the_archive_are_offered(having: tuple[str, ...]) -> None:
    assert await offered(yard_with(*having).shop()) == set(having)


async def test_one_look_serves_every_machine_for_ten_minutes(asked: list[str]) -> None:
    it = yard_with("two")
    shop = it.shop()
    for _ in range(5):
        assert await offered(shop) == {"two"}
    assert sorted(asked) == sorted(NODES)
    put(it, *NODES)
    it.cluster.advance(REMEMBERED - 1)
    assert await offered(shop) == {"two"}
    it.cluster.advance(1)
    assert await offered(shop) == set(NODES)


async def test_a_shared_storage_is_asked_once_for_all_nodes(asked: list[str]) -> None:
    it = container_yard(NODES)
    it.cluster.add_storage("share", "nfs")
    archive = it.cluster.add_os_template(storage="share")
    proxmox = replace(it.settings.proxmox, os_template=archive)
    it.settings = replace(it.settings, proxmox=proxmox)
    assert await offered(it.shop()) == set(NODES)
    assert len(asked) == 1


async def test_a_node_without_the_storage_is_not_asked(asked: list[str]) -> None:
    it = container_yard(NODES)
    it.cluster.add_storage("fast", nodes=("one", "two"))
    archive = it.cluster.add_os_template(storage="fast")
    proxmox = replace(it.settings.proxmox, os_template=archive)
    it.settings = replace(it.settings, proxmox=proxmox)
    assert await offered(it.shop()) == {"one", "two"}
    assert set(asked) == {"one", "two"}


async def test_nodes_where_nothing_is_made_are_not_asked(asked: list[str]) -> None:
    it = yard_with(*NODES)
    it.settings = replace(it.settings, limits=Limits(nodes=frozenset({"one", "two"})))
    assert await offered(it.shop(), replace(CONTAINER, nodes=frozenset({"two"}))) == {"two"}
    assert asked == ["two"]


async def test_where_nobody_has_it_the_sentence_says_so_and_who_asks_next_is_told_anew(
    asked: list[str],
) -> None:
    it = yard_with()
    shop = it.shop()
    with pytest.raises(NoRoom) as caught:
        await offered(shop)
    assert str(caught.value).endswith(
        "(one: its OS template is missing; three: its OS template is missing; two: its OS template "
        "is missing): OS template local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst is missing "
        "on one, three, two: there, pveam download local debian-12-standard_12.7-1_amd64.tar.zst, "
        "or copy it to where local keeps such archives (template/cache); it then goes on by itself"
    )
    assert sorted(asked) == sorted(NODES)
    put(it, "three")
    it.cluster.advance(SOON)
    assert await offered(shop) == {"three"}


async def test_who_all_wait_within_seconds_are_told_by_one_look(asked: list[str]) -> None:
    it = yard_with()
    shop = it.shop()
    for _ in range(5):
        with pytest.raises(NoRoom):
            await offered(shop)
    assert len(asked) == len(NODES)


async def test_where_it_is_full_an_archive_that_was_put_elsewhere_is_seen_at_once() -> None:
    it = yard_with("two")
    shop = it.shop()
    assert await offered(shop) == {"two"}
    it.cluster.add_guest(300, node="two", running=True, config={"memory": 512 * 1024})
    it.cluster.advance(SOON)
    with pytest.raises(NoRoom, match=r"is missing on one, three: .*, or add capacity where it is"):
        await offered(shop)
    put(it, "one", "two")
    it.cluster.advance(SOON)
    assert await offered(shop) == {"one"}


async def test_a_node_that_cannot_be_asked_is_not_offered_and_asked_again_later() -> None:
    it = yard_with(*NODES)
    shop = it.shop()
    it.cluster.arm(AWAY)
    assert await offered(shop) == {"one", "three"}
    it.cluster.advance(SPARED)
    assert await offered(shop) == set(NODES)


async def test_a_node_that_is_away_is_left_out_and_the_others_are_offered() -> None:
    it = yard_with(*NODES)
    it.cluster.arm(Fault(FaultName.PROXY_DOWN, "GET", "/nodes/two/storage/*"))
    assert await offered(it.shop()) == {"one", "three"}


async def test_where_nobody_could_be_asked_nobody_says_that_it_is_missing() -> None:
    it = container_yard(("two",))
    shop = it.shop()
    it.cluster.arm(AWAY)
    with pytest.raises(Transient, match="Timeout") as caught:
        await offered(shop)
    assert not isinstance(caught.value, NoRoom)
    assert await offered(shop) == {"two"}


async def test_a_token_that_is_refused_altogether_is_no_nodes_trouble() -> None:
    it = yard_with(*NODES)
    it.cluster.arm(replace(AWAY, status=401, text="no ticket"))
    with pytest.raises(HypervisorDown):
        await offered(it.shop())


async def test_what_is_restored_comes_of_its_backup_and_nobody_is_asked(asked: list[str]) -> None:
    it = yard_with()
    assert await offered(it.shop(), restored=True) == set(NODES)
    assert asked == []


@pytest.mark.parametrize(
    ("having", "said"),
    [
        (("one", "two", "three"), "{} is on one, three, two"),
        (
            ("two",),
            "containers are made only on two: OS template {} is missing on one, three: there, p",
        ),
        ((), "no container can be made: OS template {} is missing on one, three, two: there, pve"),
    ],
)
async def test_nodes_without_the_archive_of_containers_are_warned_of(
    having: tuple[str, ...], said: str
) -> None:
    cluster = Cluster(Settings(nodes=("one", "two", "three")))
    cluster.add_template()
    volume = "local:vztmpl/debian.tar.zst"
    if having:
        cluster.add_os_template("debian.tar.zst", nodes=having)
    settings = ProxmoxSettings((9000,), os_template=volume, container_storage="local")
    look = Inspection(DirectApi(cluster), settings, "vmbr0", "root@pam!sim")
    (told,) = [each for each in await look.remarks() if each.subject == "OS template"]
    assert told.text.startswith(said.format(volume))
    assert (told.ok, told.warning) == (True, len(having) < 3)
    allowed = replace(look, sold=Sold(allowed=frozenset(having)))
    if having:
        (told,) = [each for each in await allowed.remarks() if each.subject == "OS template"]
        assert not told.warning

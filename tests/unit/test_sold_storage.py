"""What is sold of a storage: what its list says, and what was promised since it was read."""

from collections.abc import Mapping
from typing import Final

import pytest

from provisioner.backends.proxmox.volumes import ProxmoxVolumes
from provisioner.errors import NodeDown, Transient
from provisioner.model import Kind
from provisioner.placement import Demand, Promise
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.direct import DirectApi
from provisioner.simulator.settings import Settings
from provisioner.simulator.state import Grant, Token
from provisioner.sold_storage import DOUBTED, OLDEST, RETRIED, SoldStorage
from provisioner.weights import DRIVE, Shelf, SoldSpace, weigh

GIB: Final = 2**30
SAN: Final[Shelf] = ("san", None)
LOCAL: Final[Shelf] = ("local", "n1")
BOTH: Final = {SAN: ("n1", "n2"), LOCAL: ("n1",)}
TWENTY: Final = weigh(20, Kind.VM)


class Lists:
    """Storages that list what they are told to, and count how often they are asked."""

    def __init__(self) -> None:
        self.listed: dict[str, Mapping[int, int]] = {"san": {9000: GIB}, "local": {}}
        self.asked: list[tuple[str, str]] = []
        self.fails: dict[str, Exception] = {}

    async def sizes(self, node: str, storage: str) -> Mapping[int, int]:
        self.asked.append((node, storage))
        if node in self.fails:
            raise self.fails[node]
        return dict(self.listed[storage])


class Desk:
    """A ledger over such lists; `avoided` are nodes that did not answer."""

    def __init__(self) -> None:
        self.lists, self.avoided = Lists(), list[str]()
        self.sold = SoldStorage(self.lists, lambda node, _: self.avoided.append(node), limited=True)

    def on(self, shelf: Shelf, under_way: Mapping[int, Promise] | None = None) -> SoldSpace:
        return self.sold.standings(under_way or {})[shelf]


async def test_what_is_promised_counts_from_then_on_and_once_whatever_the_list_says() -> None:
    desk = Desk()
    await desk.sold.look(BOTH, 0)
    for vmid in (1, 2, 3):
        desk.sold.promise(vmid, (SAN,), TWENTY, 0)
    assert desk.on(SAN).weight == GIB + 3 * TWENTY
    assert desk.on(LOCAL).weight == 0
    cloned, grown = {1: 3 * GIB, 2: TWENTY}, {1: TWENTY, 2: TWENTY, 3: TWENTY}
    for now, listed in ((OLDEST, cloned), (2 * OLDEST, grown)):
        desk.lists.listed["san"] = {9000: GIB, **listed}
        await desk.sold.look(BOTH, now)
        assert desk.on(SAN).weight == GIB + 3 * TWENTY


async def test_who_is_larger_than_was_promised_counts_with_what_he_has() -> None:
    desk = Desk()
    desk.lists.listed["san"] = {1: 2 * TWENTY}
    await desk.sold.look(BOTH, 0)
    desk.sold.promise(1, (SAN,), TWENTY, 0)
    assert desk.on(SAN).weight == 2 * TWENTY


async def test_a_promise_is_forgotten_with_its_machine_but_not_before_it_can_be_known() -> None:
    desk = Desk()
    await desk.sold.look(BOTH, 0)
    desk.sold.promise(1, (SAN,), TWENTY, 100)
    desk.sold.keep((), 101)
    assert desk.on(SAN).weight == GIB + TWENTY
    desk.sold.keep((1,), 10_000)
    assert desk.on(SAN).weight == GIB + TWENTY
    desk.sold.keep((), 10_000)
    assert desk.on(SAN).weight == GIB


async def test_what_was_under_way_before_a_restart_counts_everywhere_if_it_is_not_known_where() -> (
    None
):
    desk = Desk()
    await desk.sold.look(BOTH, 0)
    going = Promise("n1", None, Demand(2048, 20), copying=True)
    assert [desk.on(shelf, {1: going}).weight for shelf in BOTH] == [GIB + TWENTY, TWENTY]
    placed = Promise("n1", LOCAL, Demand(2048, 20), copying=True)
    assert [desk.on(shelf, {1: placed}).weight for shelf in BOTH] == [GIB, TWENTY]
    desk.sold.promise(1, (SAN,), TWENTY, 0)
    assert [desk.on(shelf, {1: going}).weight for shelf in BOTH] == [GIB + TWENTY, 0]


async def test_a_look_serves_all_for_minutes_and_only_one_when_it_is_doubted() -> None:
    desk = Desk()
    for now in range(OLDEST):
        await desk.sold.look(BOTH, now)
    assert desk.lists.asked == [("n1", "san"), ("n1", "local")]
    await desk.sold.look({SAN: ("n1",)}, DOUBTED - 1, doubted=True)
    assert len(desk.lists.asked) == 2
    for now in range(DOUBTED, 2 * DOUBTED):
        await desk.sold.look({SAN: ("n1",)}, now, doubted=True)
    assert len(desk.lists.asked) == 3


async def test_a_storage_that_all_share_is_asked_of_the_next_node_where_one_is_away() -> None:
    desk = Desk()
    desk.lists.fails["n1"] = NodeDown("n1", "595")
    await desk.sold.look(BOTH, 0)
    assert desk.on(SAN).weight == GIB
    assert desk.on(LOCAL).unread.startswith("node n1 is away")
    assert desk.avoided == ["n1", "n1"]


async def test_a_list_that_cannot_be_read_sells_nothing_until_it_can() -> None:
    desk = Desk()
    for node in ("n1", "n2"):
        desk.lists.fails[node] = Transient("storage 'san' is not online")
    await desk.sold.look(BOTH, 0)
    assert desk.on(SAN).gib is None
    said = desk.on(SAN).refusal("san", 100 * GIB, GIB)
    assert said == "what is sold of storage san is not known (storage 'san' is not online)"
    desk.lists.fails.clear()
    await desk.sold.look(BOTH, RETRIED - 1, doubted=True)
    assert desk.on(SAN).unread
    await desk.sold.look(BOTH, RETRIED)
    assert desk.on(SAN).gib == 1


async def test_what_is_no_trouble_of_one_storage_is_not_taken_for_it() -> None:
    desk = Desk()
    desk.lists.fails["n1"] = PermissionError("the token")
    with pytest.raises(PermissionError):
        await desk.sold.look(BOTH, 0)


@pytest.mark.parametrize(
    ("sold", "more", "why"),
    [
        (180 * GIB, 20 * GIB, None),
        (180 * GIB, 20 * GIB + 1, "storage san has 180 GiB sold of 200 that may be"),
        (180 * GIB + 1, 20 * GIB, "has 181 GiB sold of 200 that may be (storage_overcommit), and "),
        (300 * GIB, 0, "has 300 GiB sold of 200"),
    ],
)
def test_the_limit_is_kept_to_the_byte_and_told_in_gib(
    sold: int, more: int, why: str | None
) -> None:
    said = SoldSpace(sold).refusal("san", 200 * GIB, more)
    assert said is None if why is None else why in str(said)


@pytest.mark.parametrize("kind", ["dir", "nfs", "lvm", "lvmthin", "zfspool"])
async def test_every_kind_of_storage_lists_disks_as_large_as_they_may_become(kind: str) -> None:
    cluster = Cluster(Settings())
    cluster.state.storages["local"].kind = kind
    cluster.add_template(9000)
    cluster.add_guest(101, disk=7 * GIB)
    api = DirectApi(cluster)
    full = int(kind == "lvm")
    await api.call("POST", "/nodes/pve/qemu/9000/clone", {"newid": 102, "full": full})
    cluster.advance(60)
    await api.call("PUT", "/nodes/pve/qemu/102/resize", {"disk": "scsi0", "size": "20G"})
    cluster.advance(60)
    sizes = await ProxmoxVolumes(api).sizes("pve", "local")
    assert sizes == {9000: 4 * GIB + DRIVE, 101: 7 * GIB + DRIVE, 102: TWENTY}


async def test_disks_of_a_guest_that_the_token_may_not_give_one_are_not_listed() -> None:
    cluster = Cluster(Settings())
    cluster.add_template(9000)
    cluster.add_guest(101, disk=7 * GIB)
    grants = (("/storage/local", "Datastore.Audit"), ("/vms/101", "VM.Config.Disk"))
    token = cluster.add_token(Token("daemon@pve!t", "secret", everything=False))
    token.grants = tuple(Grant(path, frozenset({name})) for path, name in grants)
    lists = ProxmoxVolumes(DirectApi(cluster, f"{token.id}={token.secret}"))
    assert await lists.sizes("pve", "local") == {101: 7 * GIB + DRIVE}


async def test_a_file_is_no_disk() -> None:
    cluster = Cluster(Settings())
    cluster.add_os_template()
    assert await ProxmoxVolumes(DirectApi(cluster)).sizes("pve", "local") == {}

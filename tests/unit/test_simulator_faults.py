"""Faults, and what they leave behind."""

import pytest

from provisioner.backends.proxmox.api import ApiError, ReplyLost, Unreachable
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.direct import DirectApi
from provisioner.simulator.faults import Fault, FaultName
from tests.support.simulated import KEY, QEMU, Console

CLONE = f"{QEMU}/9000/clone"


@pytest.fixture
def console() -> Console:
    return Console()


def arm(console: Console, name: FaultName, **more: str | int) -> None:
    fields = {"method": "POST", "path": "*/clone"} | more
    console.cluster.arm(Fault(name, **fields))  # type: ignore[arg-type]  # mixed fields


@pytest.mark.parametrize(
    ("name", "error"),
    [
        (FaultName.REFUSE, ApiError),
        (FaultName.UNREACHABLE, Unreachable),
        (FaultName.PROXY_DOWN, ApiError),
        (FaultName.HTML, ApiError),
    ],
)
async def test_a_call_that_fails_before_its_effect_has_none(
    console: Console, name: FaultName, error: type[Exception]
) -> None:
    arm(console, name)
    api = DirectApi(console.cluster)
    with pytest.raises(error):
        await api.call("POST", CLONE, {"newid": 218})
    assert 218 not in console.cluster.inventory().guests
    assert await api.call("POST", CLONE, {"newid": 218})


@pytest.mark.parametrize("name", [FaultName.LOSE_REPLY, FaultName.PROXY_BROKEN])
async def test_a_lost_reply_hides_an_effect_that_happened(
    console: Console, name: FaultName
) -> None:
    arm(console, name)
    with pytest.raises(ReplyLost):
        await DirectApi(console.cluster).call("POST", CLONE, {"newid": 218})
    console.cluster.settle()
    assert console.cluster.inventory().guests[218].lock is None


async def test_a_hanging_call_takes_effect_after_its_caller_gave_up(console: Console) -> None:
    arm(console, FaultName.HANG, seconds=60)
    with pytest.raises(ReplyLost, match="no answer within 35 s"):
        await DirectApi(console.cluster).call("POST", CLONE, {"newid": 218})
    assert 218 not in console.cluster.inventory().guests
    console.cluster.advance(30)
    assert 218 in console.cluster.inventory().guests


async def test_waiting_for_a_slow_answer_lets_others_have_their_turn(console: Console) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    console.cluster.add_guest(218, running=True)
    console.cluster.guest(218).has_agent = False
    api = DirectApi(console.cluster, sleep=sleep)
    with pytest.raises(ApiError, match="QEMU guest agent is not running"):
        await api.call("POST", f"{QEMU}/218/agent/ping")
    assert sum(slept) == 3.0


def test_a_clone_that_fails_in_its_task_leaves_nothing(console: Console) -> None:
    arm(console, FaultName.TASK_FAILS, text="cfs-lock 'storage-local' error: no quorum!")
    assert console.clone() == "clone failed: cfs-lock 'storage-local' error: no quorum!"
    inventory = console.cluster.inventory()
    assert (218 in inventory.guests, inventory.leaked_volumes()) == (False, ())


def test_an_endless_task_ends_only_when_it_is_stopped(console: Console) -> None:
    arm(console, FaultName.TASK_ENDLESS)
    upid = console.data("POST", CLONE, newid=218)
    console.cluster.advance(86_400)
    assert console.read(f"/nodes/pve/tasks/{upid}/status")["status"] == "running"
    console.data("DELETE", f"/nodes/pve/tasks/{upid}")
    assert console.ended(upid) == "clone failed: interrupted by signal"
    assert console.clone() == "OK"


def test_a_warning_is_a_success_with_another_word(console: Console) -> None:
    arm(console, FaultName.TASK_WARNS)
    assert console.clone() == "WARNINGS: 1"
    assert 218 in console.cluster.inventory().guests


def test_a_fault_strikes_the_nth_matching_call_and_once(console: Console) -> None:
    arm(console, FaultName.REFUSE, nth=2, status=500, text="boom")
    statuses = [console.ask("POST", CLONE, newid=218 + n).status for n in range(3)]
    assert statuses == [200, 500, 200]
    assert console.cluster.state.faults.unused() == []


@pytest.mark.parametrize("path", ["/cluster/resources", "/nodes/pve/tasks"])
def test_a_list_can_come_back_empty_once(console: Console, path: str) -> None:
    console.clone()
    console.cluster.arm(Fault(FaultName.EMPTY, "GET", path))
    assert console.rows(path) == []
    assert console.rows(path) != []


def history(seed: int) -> tuple[object, ...]:
    console = Console(seed=seed)
    console.cluster.arm(Fault(FaultName.TASK_FAILS, "POST", "*/clone", nth=2, text="boom"))
    for vmid in (218, 219, 220):
        console.clone(vmid)
        console.ask("PUT", f"{QEMU}/{vmid}/config", ciuser="a", cores=2)
        console.ask("POST", f"{QEMU}/{vmid}/status/start")
        console.cluster.advance(13.7)
        console.cluster.admits(vmid, KEY)
    console.ask("POST", f"{QEMU}/218/status/shutdown", timeout=5)
    console.cluster.settle()
    return console.cluster.inventory(), console.data("GET", "/cluster/resources")


def test_the_same_seed_and_calls_give_the_same_world() -> None:
    assert history(7) == history(7)
    assert history(7) != history(8)


def test_time_never_goes_back() -> None:
    cluster = Cluster()
    cluster.advance(100)
    now = cluster.now
    cluster.advance_to(now - 50)
    assert cluster.now == now

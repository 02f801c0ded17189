"""One thing goes wrong with Proxmox at a time; a paid lease gets its machine all the same.

Every kind of fault strikes every call that a provision makes. What cannot pass by itself is given
up with a sentence, and goes on when somebody has mended it.
"""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest

from provisioner import faultpoints
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.faults import Fault, FaultName
from provisioner.simulator.settings import Durations, Settings
from provisioner.simulator.wire import ApiRequest
from tests.support.lives import Scene, scene
from tests.support.realm import ALICES_KEY, FIRST, GRACE, Realm, realm

Call = tuple[str, str]

#: Every call of a provision; a task's id and a VMID are patterns.
READS: Final[tuple[Call, ...]] = (
    ("GET", "/cluster/status"),
    ("GET", "/cluster/resources"),
    ("GET", "/nodes"),
    ("GET", "/nodes/pve/storage/local/content"),
    ("GET", "/nodes/pve/tasks"),
    ("GET", "/nodes/pve/tasks/*/status"),
    ("GET", "/nodes/pve/qemu/9000/config"),
    ("GET", "/nodes/pve/qemu/2????/config"),
    *(
        ("GET", f"/nodes/pve/qemu/{vmid}/firewall/{path}")
        for vmid in ("9000", "2????")
        for path in ("options", "rules", "refs", "ipset/*")
    ),
    ("POST", "/nodes/pve/qemu/2????/agent/ping"),
)
TASKS: Final[tuple[Call, ...]] = (
    ("POST", "/nodes/pve/qemu/9000/clone"),
    ("PUT", "/nodes/pve/qemu/2????/resize"),
    ("POST", "/nodes/pve/qemu/2????/status/start"),
)
CHANGES: Final[tuple[Call, ...]] = (
    ("DELETE", "/nodes/pve/qemu/2????/firewall/rules/*"),
    ("DELETE", "/nodes/pve/qemu/2????/firewall/ipset/*"),
    ("DELETE", "/nodes/pve/qemu/2????/firewall/aliases/office"),
    ("POST", "/nodes/pve/qemu/2????/firewall/rules"),
    ("POST", "/nodes/pve/qemu/2????/firewall/ipset/*"),
    ("PUT", "/nodes/pve/qemu/2????/firewall/options"),
    ("PUT", "/nodes/pve/qemu/2????/config"),
)
ANY_CALL: Final = (
    FaultName.REFUSE,
    FaultName.LOSE_REPLY,
    FaultName.HANG,
    FaultName.UNREACHABLE,
    FaultName.PROXY_DOWN,
    FaultName.PROXY_BROKEN,
    FaultName.HTML,
)
#: A list that lies is noticed where something is known to be on it, and nowhere else.
LISTS: Final = READS[:2]
STRIKES: Final = [
    pytest.param(Fault(name, *call), id=f"{name.value}-{call[0]}-{call[1].rpartition('/')[2]}")
    for calls, names in (
        ((*READS, *TASKS, *CHANGES), ANY_CALL),
        (TASKS, (FaultName.TASK_FAILS, FaultName.TASK_WARNS)),
        (LISTS, (FaultName.EMPTY,)),
    )
    for call in calls
    for name in names
]
#: What a task that failed for a passing reason says, and one that says nothing.
PASSING: Final = ("interrupted by signal", "unexpected status", "No space left on device", "eh?")

Clean = Callable[[], Awaitable[Scene]]


@pytest.fixture(scope="module")
def ended() -> list[Scene]:
    return []


@pytest.fixture
def clean(ended: list[Scene], tmp_path_factory: pytest.TempPathFactory) -> Clean:
    """Tell what a provision ends in when nothing goes wrong."""

    async def once() -> Scene:
        if not ended:
            async with realm(tmp_path_factory.mktemp("clean")) as world:
                world.buy()
                await world.settle()
                ended.append(scene(world))
        return ended[0]

    return once


async def rest(world: Realm) -> None:
    """Settle, again after the longest backoff, and once more when every firewall had its turn."""
    for _ in range(2):
        await world.settle(4000)
        world.cluster.advance(301)
        await world.daemon.supervisor.resync.enqueue_all("periodic resync")
    await world.settle(4000)
    if world.daemon.supervisor.breaker.reason is None:
        await world.daemon.supervisor.resync.survey()
        await world.daemon.supervisor.firewalls.look()
        await world.settle(4000)


@pytest.mark.parametrize("fault", STRIKES)
async def test_a_single_fault_costs_a_buyer_nothing_but_time(
    fault: Fault, tmp_path: Path, clean: Clean
) -> None:
    expected = await clean()
    async with realm(tmp_path) as world:
        world.cluster.arm(fault)
        world.buy()
        await rest(world)
        assert world.cluster.state.faults.unused() == []
        assert scene(world).anywhere() == expected.anywhere()


@pytest.mark.parametrize("text", PASSING)
@pytest.mark.parametrize("call", TASKS, ids=lambda call: call[1].rpartition("/")[2])
async def test_a_task_that_fails_for_a_passing_reason_is_tried_again(
    call: Call, text: str, tmp_path: Path, clean: Clean
) -> None:
    expected = await clean()
    async with realm(tmp_path) as world:
        world.cluster.arm(Fault(FaultName.TASK_FAILS, *call, text=text))
        world.buy()
        await rest(world)
        assert world.cluster.state.faults.unused() == []
        assert scene(world).anywhere() == expected.anywhere()


@pytest.mark.parametrize("call", [*TASKS, CHANGES[-1]], ids=lambda call: call[1].rpartition("/")[2])
async def test_what_will_never_pass_is_given_up_with_a_sentence_until_somebody_retries(
    call: Call, tmp_path: Path, clean: Clean
) -> None:
    expected = await clean()
    async with realm(tmp_path) as world:
        world.cluster.arm(Fault(FaultName.REFUSE, *call, status=400, text="Parameter no good."))
        lease = world.buy()
        await rest(world)
        assert "Parameter no good." in (await world.alarms())["parked"]
        assert await world.daemon.stores.work.unpark(str(lease))
        await rest(world)
        assert scene(world).anywhere() == expected.anywhere()


@pytest.mark.parametrize("call", TASKS, ids=lambda call: call[1].rpartition("/")[2])
async def test_a_task_without_end_is_waited_for_and_nothing_is_done_twice(
    call: Call, tmp_path: Path, clean: Clean
) -> None:
    expected = await clean()
    async with realm(tmp_path) as world:
        world.cluster.arm(Fault(FaultName.TASK_ENDLESS, *call))
        world.buy()
        for _ in range(60):
            await world.turn()
            world.cluster.advance(60)
        (endless,) = (task for task in world.cluster.inventory().tasks if task.status is None)
        path = f"/nodes/pve/tasks/{endless.upid}"
        world.cluster.handle(ApiRequest("DELETE", path, {}, world.cluster.default_token()))
        await rest(world)
        assert scene(world).anywhere() == expected.anywhere()


async def test_the_list_of_a_provisions_calls_is_true(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        world.buy()
        await world.settle()
        made = {(call.method, _pattern(call.path)) for call in world.cluster.inventory().call_log}
        assert made == set(READS + TASKS + CHANGES)


def _pattern(path: str) -> str:
    path = re.sub(r"/UPID:[^/]+", "/*", path).replace(str(FIRST), "2????")
    return re.sub(r"/(ipset|rules)/.+", r"/\1/*", path)


async def test_a_clone_that_lost_power_is_given_up_until_it_is_removed(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        lease = world.buy()
        await world.turn()
        world.cluster.power_cycle("pve")
        world.cluster.advance(120)
        await world.settle()
        assert world.guest().lock == "clone"
        assert "cut off" in (await world.alarms())["parked"]
        world.cluster.remove_guest(FIRST)
        await world.daemon.stores.work.unpark(str(lease))
        await world.settle()
        assert len(world.running()) == 1


async def test_a_long_clone_on_a_node_that_stayed_up_is_not_asked_whether_it_runs(
    tmp_path: Path,
) -> None:
    slow = Cluster(Settings(durations=Durations(linked_clone=90)))
    async with realm(tmp_path, cluster=slow) as world:
        world.buy()
        await world.settle()
        assert world.running() == [FIRST]
        assert not any("status/current" in route for route in slow.inventory().calls)


async def test_a_clone_that_its_node_started_before_it_was_configured_is_stopped_first(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        world.buy(lasts=100 * GRACE)
        await world.turn()
        world.cluster.advance(1)  # the clone is there, and has the template's onboot
        world.cluster.power_cycle("pve")
        world.cluster.advance(120)
        assert world.running() == [FIRST]
        await world.settle()
        assert world.cluster.admits(FIRST, ALICES_KEY)
        assert world.guest().pending == {}
        assert world.guest().config["cores"] == 2


async def test_a_clone_that_its_node_starts_while_it_is_configured_is_stopped_and_started_again(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:

        def starts(point: str) -> None:
            if point == "hypervisor.configure.before" and not world.running():
                world.cluster.start_guest(FIRST)  # its node goes through those with onboot
                faultpoints.arm(None)

        world.buy(lasts=100 * GRACE)
        faultpoints.arm(starts)
        await world.settle()
        assert world.running() == [FIRST]
        assert world.cluster.admits(FIRST, ALICES_KEY)
        assert world.guest().pending == {}


async def test_a_machine_that_its_node_starts_after_it_was_configured_is_let_run(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:

        def starts(point: str) -> None:
            if point == "hypervisor.start.before":
                world.cluster.start_guest(FIRST)
                faultpoints.arm(None)

        world.buy(lasts=100 * GRACE)
        faultpoints.arm(starts)
        await world.settle()
        assert world.running() == [FIRST]
        assert world.guest().boots == 1
        assert world.cluster.admits(FIRST, ALICES_KEY)

"""One name, one machine, wherever another command's request for it falls.

The other one may be a rival at the same moment, or an earlier run of the same command that was cut
off: Proxmox carries out what it was asked for, however late. Its request is played at every point
that a command passes, each time it passes it, for machines of both kinds; of the points after the
command's own request only some, unless CHAINWATCH_SOAK is set.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Final

import pytest

from provisioner import faultpoints
from provisioner.backends.proxmox.api import Api, JsonValue, ParamValue, ReplyLost
from provisioner.model import Kind
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.direct import DirectApi, as_text
from provisioner.simulator.guests import Power
from provisioner.simulator.modes.catalogue import MODES, arm
from provisioner.simulator.wire import ApiRequest
from provisioner.verbs.create import Made, create
from provisioner.verbs.destroy import destroy
from provisioner.verbs.order import Order, hardware
from provisioner.verbs.status import Status, status
from tests.support.cli import (
    FIRST,
    VirtualClock,
    Yard,
    configuration,
    container_yard,
    order,
    yard,
)
from tests.support.realm import Crash

#: The call that makes a machine of each kind.
MAKING: Final = {Kind.VM: ("POST", "*/clone"), Kind.CONTAINER: ("POST", "*/lxc")}
#: How long a machine is in the making, in seconds: shorter and longer than a command looks away.
BRIEF, LONG = 0.65, 20.0
RESET, SILENCE = 21, 22
#: For how long the cluster is silent under mode 22 before it does what it was asked for.
SILENT: Final = 60.0
#: How far a host's clock is behind, and within how long of its choice a request comes, in seconds.
SKEW, PROMPT = 200, 3
Place = tuple[str, int]
Meeting = Callable[[Yard], Awaitable[Callable[[], object]]]
SOAK: Final = bool(os.environ.get("CHAINWATCH_SOAK"))
#: The points at which it is decided which VMID it is, and of how many places after them one is
#: played.
TAKEN: Final = (
    "hypervisor.clone.after",
    "hypervisor.create_container.after",
    "hypervisor.configure.before",
)
SHARE: Final = 5


class Listening:
    """An `Api` that keeps the request that makes a machine, and dies of a lost reply to it."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.making: tuple[str, Mapping[str, ParamValue]] | None = None

    async def call(
        self,
        method: str,
        path: str,
        params: Mapping[str, ParamValue] | None = None,
        *,
        slow: bool = False,
    ) -> JsonValue:
        if method == "POST" and path.endswith(("/clone", "/lxc")):
            self.making = (path, dict(params or {}))
        try:
            return await self._api.call(method, path, params, slow=slow)
        except ReplyLost:
            raise Crash(path) from None


def place(kind: Kind, lasts: float) -> Yard:
    """Return a cluster where a machine of a kind is in the making for so long."""
    it = yard() if kind is Kind.VM else container_yard()
    settings = it.cluster.state.settings
    durations = replace(settings.durations, linked_clone=lasts, container_create=lasts)
    it.cluster.state.settings = replace(settings, durations=durations)
    return it


def wanted(kind: Kind) -> Order:
    return order(spec=hardware(1, 1024, 10, kind))


async def request_of(kind: Kind) -> tuple[str, Mapping[str, ParamValue]]:
    """Return what a rival asks the cluster for, who wants the same name."""
    it = place(kind, BRIEF)
    api = Listening(DirectApi(it.cluster))
    await create(it.shop(api=api), wanted(kind))
    assert api.making is not None
    return api.making


async def played(
    it: Yard,
    kind: Kind,
    at: Place | None,
    act: Callable[[], object],
    passing: Callable[[Place], object] = lambda _: None,
) -> tuple[Made, list[Place]]:
    """Make the machine, and have `act` happen at the n-th time that a point is passed.

    Returns every place that was passed, too; `passing` is told of each.
    """
    passed: list[Place] = []

    def reached(point: str) -> None:
        here = (point, 1 + sum(each == point for each, _ in passed))
        passed.append(here)
        passing(here)
        if at == here:
            act()

    faultpoints.arm(reached)
    try:
        return await create(it.shop(), wanted(kind)), passed
    finally:
        faultpoints.arm(None)


async def everywhere(kind: Kind, lasts: float, meeting: Meeting) -> None:
    """See that there is one machine, wherever in its making the other's request falls.

    `meeting` readies a cluster, and returns what happens there.
    """
    it = place(kind, lasts)
    await meeting(it)
    _, passed = await played(it, kind, None, lambda: None)
    taken = next(n for n, (point, _) in enumerate(passed) if point in TAKEN)
    places = passed if SOAK else passed[:taken] + passed[taken::SHARE]
    for at in places:
        await once(kind, lasts, at, meeting)


async def once(kind: Kind, lasts: float, at: Place, meeting: Meeting) -> None:
    """See that there is one machine where the other's request falls at this place."""
    it = place(kind, lasts)
    act = await meeting(it)
    try:
        made, _ = await played(it, kind, at, act)
        it.cluster.settle()
        assert list(it.guests()) == [made.vmid]
        assert await status(it.shop(), "web") is Status.ACTIVE
        assert it.leaks() == []
    except Exception as error:
        raise AssertionError(f"at {at}: {it.said[-6:]}") from error


class Behind(VirtualClock):
    """The clock of a host that is some seconds behind the cluster's."""

    def __init__(self, cluster: Cluster, seconds: int) -> None:
        super().__init__(cluster)
        self._seconds = seconds

    def now(self) -> int:
        return super().now() - self._seconds


async def rested(it: Yard, kind: Kind, seconds: int) -> int:
    """Make the machine and destroy it, and let its VMID rest for so long; returns the VMID."""
    made = await create(it.shop(), wanted(kind))
    await destroy(it.shop(), "web")
    began = max(task.started for task in it.cluster.state.tasks.values())
    it.cluster.advance(began + seconds - it.cluster.now)
    return made.vmid


@pytest.fixture(autouse=True)
async def disarmed() -> AsyncIterator[None]:
    yield
    faultpoints.arm(None)


@pytest.mark.parametrize("lasts", [BRIEF, LONG])
@pytest.mark.parametrize("kind", Kind)
async def test_a_rivals_request_at_any_moment_makes_no_second_machine(
    kind: Kind, lasts: float
) -> None:
    path, params = await request_of(kind)
    given = {name: as_text(value) for name, value in params.items()}

    async def rival(it: Yard) -> Callable[[], object]:
        return lambda: it.cluster.handle(
            ApiRequest("POST", path, given, it.cluster.default_token())
        )

    await everywhere(kind, lasts, rival)


@pytest.mark.parametrize("lasts", [BRIEF, LONG])
@pytest.mark.parametrize("kind", Kind)
async def test_a_silent_request_that_is_carried_out_when_it_is_typed_again_makes_no_second_machine(
    kind: Kind, lasts: float
) -> None:
    async def silence(it: Yard) -> Callable[[], object]:
        begun = await cut_off(it, kind, SILENCE)
        return lambda: it.cluster.advance(max(0.0, begun + SILENT + 0.1 - it.cluster.now))

    await everywhere(kind, lasts, silence)


@pytest.mark.parametrize("lasts", [BRIEF, LONG])
@pytest.mark.parametrize("kind", Kind)
async def test_what_a_lost_reply_has_made_may_end_at_any_moment_of_its_being_typed_again(
    kind: Kind, lasts: float
) -> None:
    async def lost(it: Yard) -> Callable[[], object]:
        await cut_off(it, kind, RESET)
        return lambda: it.cluster.advance(lasts)

    await everywhere(kind, lasts, lost)


async def cut_off(it: Yard, kind: Kind, mode: int) -> float:
    """Have a command die whose request was struck by a mode; returns when it was sent."""
    begun = it.cluster.now
    arm(it.cluster, MODES[mode], MAKING[kind])
    with pytest.raises(Crash):
        await create(it.shop(api=Listening(DirectApi(it.cluster))), wanted(kind))
    return begun


async def test_a_foreign_guest_in_the_making_at_its_vmid_is_waited_for_and_then_left_alone() -> (
    None
):
    path, params = await request_of(Kind.VM)
    given = {name: as_text(value) for name, value in params.items()}
    given |= {"name": "other", "description": "somebody else's"}
    wanted_vmid, it = int(str(params["newid"])), place(Kind.VM, LONG)

    def begin() -> None:
        it.cluster.handle(ApiRequest("POST", path, given, it.cluster.default_token()))

    made, _ = await played(it, Kind.VM, ("hypervisor.snapshot.after", 1), begin)
    assert made.vmid == wanted_vmid + 1
    assert set(it.guests()) == {wanted_vmid, made.vmid}
    stranger = it.cluster.guest(wanted_vmid)
    assert (stranger.name, stranger.power) == ("other", Power.STOPPED)
    assert any(f"VM {wanted_vmid} is being cloned" in said for said in it.said)


@pytest.mark.parametrize("kind", Kind)
async def test_a_vmid_that_has_left_its_quarantine_for_one_and_not_for_another_makes_no_double(
    kind: Kind,
) -> None:
    """The rival's clock is behind: he takes the next VMID, as the first rests by his clock."""
    it, rest = place(kind, BRIEF), configuration().quarantine
    first = await rested(it, kind, rest + SKEW // 2)
    listening = Listening(DirectApi(it.cluster))
    shop = it.shop(api=listening)
    made = await create(replace(shop, clock=Behind(it.cluster, SKEW)), wanted(kind))
    assert made.vmid == first + 1
    assert listening.making is not None
    path, params = listening.making
    given = {name: as_text(value) for name, value in params.items()}

    async def rival(it: Yard) -> Callable[[], object]:
        assert await rested(it, kind, rest + SKEW // 2) == first
        return lambda: it.cluster.handle(
            ApiRequest("POST", path, given, it.cluster.default_token())
        )

    it = place(kind, BRIEF)
    await rival(it)
    until, places = it.cluster.now + PROMPT, set[Place]()

    def passing(at: Place) -> None:
        if it.cluster.now <= until:
            places.add(at)

    _, passed = await played(it, kind, None, lambda: None, passing)
    assert len(passed) > len(places) > 10
    for at in sorted(places)[:: 1 if SOAK else 3]:
        await once(kind, BRIEF, at, rival)


async def test_a_vmid_that_has_just_rested_is_taken_once_it_rests_by_no_clock() -> None:
    it = place(Kind.VM, BRIEF)
    first = await rested(it, Kind.VM, configuration().quarantine + SKEW // 2)
    assert (await create(it.shop(), wanted(Kind.VM))).vmid == first
    (said,) = {said for said in it.said if "has only just rested" in said}
    assert str(first) in said


async def test_a_vmid_that_is_freed_while_a_command_waits_rests_for_it_too() -> None:
    """What the command read of freed VMIDs a moment ago does not hold any more."""
    path, params = await request_of(Kind.VM)
    first, it = int(str(params["newid"])), place(Kind.VM, LONG)
    made = await create(it.shop(), order("db", ip=f"203.0.113.{10 + first - FIRST}"))
    assert made.vmid == first
    given = {name: as_text(value) for name, value in params.items()}
    given |= {"newid": str(first + 1), "name": "other", "description": "somebody else's"}
    going: list[asyncio.Task[str]] = []

    def passing(at: Place) -> None:
        if at == ("hypervisor.snapshot.after", 2):
            it.cluster.handle(ApiRequest("POST", path, given, it.cluster.default_token()))
        elif at == ("hypervisor.freed.after", 3) and not going:
            going.append(asyncio.get_running_loop().create_task(destroy(it.shop(), "db")))

    made, _ = await played(it, Kind.VM, None, lambda: None, passing)
    assert "db" in await going[0]
    assert made.vmid == first + 2

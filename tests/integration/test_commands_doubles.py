"""One name, one machine, wherever another command's request for it falls.

The other one may be a rival at the same moment, or an earlier run of the same command that was cut
off: Proxmox carries out what it was asked for, however late. Its request is played at every point
that a command passes, each time it passes it, for machines of both kinds; of the points after the
command's own request only some, unless CHAINWATCH_SOAK is set.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Final

import pytest

from provisioner import faultpoints
from provisioner.backends.proxmox.api import Api, JsonValue, ParamValue, ReplyLost
from provisioner.model import Kind
from provisioner.simulator.direct import DirectApi, as_text
from provisioner.simulator.guests import Power
from provisioner.simulator.modes.catalogue import MODES, arm
from provisioner.simulator.wire import ApiRequest
from provisioner.verbs.create import Made, create
from provisioner.verbs.order import Order, hardware
from provisioner.verbs.status import Status, status
from tests.support.cli import Yard, container_yard, order, yard
from tests.support.realm import Crash

#: The call that makes a machine of each kind.
MAKING: Final = {Kind.VM: ("POST", "*/clone"), Kind.CONTAINER: ("POST", "*/lxc")}
#: How long a machine is in the making, in seconds: shorter and longer than a command looks away.
BRIEF, LONG = 0.65, 20.0
RESET, SILENCE = 21, 22
#: For how long the cluster is silent under mode 22 before it does what it was asked for.
SILENT: Final = 60.0
Place = tuple[str, int]
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
    it: Yard, kind: Kind, at: Place | None, act: Callable[[], object]
) -> tuple[Made, list[Place]]:
    """Make the machine, and have `act` happen at the n-th time that a point is passed.

    Returns every place that was passed, too.
    """
    passed: list[Place] = []

    def reached(point: str) -> None:
        here = (point, 1 + sum(each == point for each, _ in passed))
        passed.append(here)
        if at == here:
            act()

    faultpoints.arm(reached)
    try:
        return await create(it.shop(), wanted(kind)), passed
    finally:
        faultpoints.arm(None)


async def everywhere(
    kind: Kind, lasts: float, meeting: Callable[[Yard], Awaitable[Callable[[], object]]]
) -> None:
    """See that there is one machine, wherever in its making the other's request falls.

    `meeting` readies a cluster, and returns what happens there.
    """
    it = place(kind, lasts)
    await meeting(it)
    _, passed = await played(it, kind, None, lambda: None)
    taken = next(n for n, (point, _) in enumerate(passed) if point in TAKEN)
    places = passed if SOAK else passed[:taken] + passed[taken::SHARE]
    for at in places:
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

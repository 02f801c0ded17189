"""A command that dies anywhere is finished by the same command, or taken away by `gc`.

Every fault point that a command passes is died at, each time it is passed; what is then there is
judged from the cluster's inventory.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

import pytest

from provisioner import faultpoints
from provisioner.errors import Declined, ProvisionError
from provisioner.simulator.faults import Fault, FaultName
from provisioner.simulator.guests import Power
from provisioner.verbs.create import create
from provisioner.verbs.destroy import destroy
from provisioner.verbs.gc import Phase, collect
from provisioner.verbs.order import Gecos
from provisioner.verbs.resume import resume
from provisioner.verbs.throttle import Limits, throttle
from tests.support.cli import DAY, WALLET, Yard, crashing, order, yard
from tests.support.realm import Crash

BOTH: Final = frozenset(Phase)
ORDER: Final = order(nft=7, gecos=Gecos(WALLET, 7, "admin"))
Command = Callable[[Yard], Awaitable[object]]


async def made(it: Yard) -> None:
    await create(it.shop(), ORDER)


async def expired(it: Yard) -> None:
    await made(it)
    it.cluster.advance(31 * DAY)


async def suspended(it: Yard) -> None:
    await expired(it)
    await sweep(it)


async def forgotten(it: Yard) -> None:
    await suspended(it)
    it.cluster.advance(8 * DAY)


async def nothing(_: Yard) -> None:
    pass


async def sweep(it: Yard) -> None:
    came_to = await collect(it.shop(), execute=True, phases=BOTH)
    assert came_to.failures == []


async def give_back(it: Yard) -> None:
    with suppress(Declined):  # it had been done when the command before died; see `judge`
        await resume(it.shop(), "web", extend_days=10)


async def away(it: Yard) -> None:
    await destroy(it.shop(), "web")


async def limit(it: Yard) -> None:
    await throttle(it.shop(), "web", Limits(cpu_quota=50))


STORIES: Final[dict[str, tuple[Command, Command]]] = {
    "create": (nothing, made),
    "suspend": (expired, sweep),
    "resume": (suspended, give_back),
    "collect": (forgotten, sweep),
    "destroy": (made, away),
    "throttle": (made, limit),
}


async def judge(it: Yard, story: str) -> None:
    """See that the world is as if nobody had died."""
    assert it.leaks() == []
    if story in ("collect", "destroy"):
        assert it.guests() == {}
        return
    guest = it.guest()
    found = await it.shop().census.find("web")
    assert found is not None
    assert found.card is not None
    assert found.finished
    assert guest.power is (Power.STOPPED if story == "suspend" else Power.RUNNING)
    assert guest.os.comments == {"admin": f"wallet={WALLET},nft=7"}
    days = (found.card.expires_at - it.shop().clock.now()) / DAY
    if story == "resume":
        assert 9 < days <= 10
    elif story in ("create", "throttle"):
        assert 29 < days <= 30
    assert (story == "throttle") == ("cpulimit" in guest.config)


async def passes(story: str) -> dict[str, int]:
    """Count how often each fault point is passed when nobody dies."""
    before, command = STORIES[story]
    it, counted = yard(), dict[str, int]()
    await before(it)

    def count(point: str) -> None:
        counted[point] = counted.get(point, 0) + 1

    faultpoints.arm(count)
    await command(it)
    faultpoints.arm(None)
    await judge(it, story)
    return counted


@pytest.fixture(autouse=True)
async def disarmed() -> AsyncIterator[None]:
    yield
    faultpoints.arm(None)


@pytest.mark.parametrize("story", STORIES)
async def test_a_command_that_died_anywhere_is_finished_by_the_same_command(story: str) -> None:
    before, command = STORIES[story]
    for point, times in (await passes(story)).items():
        for nth in range(1, min(times, 4) + 1):
            it = yard()
            await before(it)
            faultpoints.arm(crashing(point, nth))
            with pytest.raises(Crash):
                await command(it)
            faultpoints.arm(None)
            await command(it)
            try:
                await judge(it, story)
            except AssertionError as error:
                raise AssertionError(f"died at {point}, time {nth}: {it.said[-8:]}") from error


async def test_what_was_begun_and_never_finished_is_taken_away_after_a_while() -> None:
    counted = await passes("create")
    for point in counted:
        it = yard()
        faultpoints.arm(crashing(point))
        with pytest.raises(Crash):
            await made(it)
        faultpoints.arm(None)
        it.cluster.advance(1800)
        await sweep(it)
        it.cluster.advance(1900)
        finished = any(found.finished for found in (await it.shop().census.all()).found)
        await sweep(it)
        assert (it.guests() != {}) == finished, point
        assert it.leaks() == []


@pytest.mark.parametrize("story", ["suspend", "resume"])
async def test_a_paid_machine_that_was_caught_in_a_change_is_never_taken_for_unfinished(
    story: str,
) -> None:
    before, command = STORIES[story]
    for point, times in (await passes(story)).items():
        for nth in range(1, min(times, 4) + 1):
            it = yard()
            await before(it)
            faultpoints.arm(crashing(point, nth))
            with pytest.raises(Crash):
                await command(it)
            faultpoints.arm(None)
            it.cluster.advance(2 * 3600)
            await sweep(it)
            assert it.guests(), f"{point}, time {nth}"


@pytest.mark.parametrize("name", [FaultName.LOSE_REPLY, FaultName.PROXY_BROKEN, FaultName.HTML])
async def test_a_lost_reply_makes_no_second_machine(name: FaultName) -> None:
    for call in ("*/clone", "*/config", "*/start", "*/resize"):
        it = yard()
        it.cluster.arm(Fault(name, "*", call))
        await made(it)
        await judge(it, "create")


async def test_a_clone_that_still_runs_is_met_by_the_same_command() -> None:
    """The command dies, the clone goes on, and for seconds nothing says whose it is."""
    it = yard()
    it.cluster.state.settings = replace(
        it.cluster.state.settings,
        durations=replace(it.cluster.state.settings.durations, linked_clone=120.0),
    )
    faultpoints.arm(crashing("hypervisor.clone.after"))
    with pytest.raises(Crash):
        await made(it)
    faultpoints.arm(None)
    await made(it)
    await judge(it, "create")
    assert any("is being cloned" in said for said in it.said)


async def test_a_deadline_leaves_what_the_next_run_goes_on_with() -> None:
    it = yard()
    with pytest.raises(ProvisionError, match="run the same command again"):
        await create(it.shop(3), ORDER)
    await made(it)
    await judge(it, "create")

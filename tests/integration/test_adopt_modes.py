"""Every mode of failure at an adoption: the machine is the lease's, or is once it is typed again.

An operator who is told that it failed mends what the sentence says, where the mode lasts, and
adopts it again. Never is there a second machine, nor is a stranger's touched. With CHAINWATCH_SOAK
set, each form of each mode strikes each call of the adoption, else the first form the first call.
"""

import os
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from chainwatch.errors import OperatorError
from provisioner.errors import ProvisionError
from provisioner.simulator.modes.catalogue import MODES, arm, has_struck, mend
from provisioner.simulator.modes.mode import Call, Mode
from tests.support.advice import says_what_to_do
from tests.support.matrix import OF_THE_CHAIN, OVER_SSH, generic, struck_calls
from tests.support.office import desk_of
from tests.support.playing import TROUBLE
from tests.support.realm import FIRST, GRACE, Realm, realm

SOAK: Final = bool(os.environ.get("CHAINWATCH_SOAK"))
UID: Final = 1000
#: Modes of calls that no adoption makes are not played, nor what is not of the API.
PLAYED: Final = [mode for number, mode in MODES.items() if number not in {OF_THE_CHAIN, OVER_SSH}]


async def parked(world: Realm) -> None:
    """Buy a machine, and have somebody edit its description until its lease gives up."""
    world.buy(lasts=100 * GRACE)
    world.finalize()
    await world.settle()
    world.cluster.edit_guest(FIRST, description="my server")
    await looked_at(world)
    assert "parked" in await world.alarms()


async def looked_at(world: Realm) -> None:
    await world.daemon.supervisor.resync.survey()
    await world.daemon.supervisor.resync.enqueue_all("periodic resync")
    await world.settle()


async def adopted(world: Realm) -> str | None:
    """Adopt it; returns what is said where that failed."""
    try:
        await desk_of(world).adopt("1", FIRST, "I looked at its disk", UID)
    except (OperatorError, ProvisionError) as error:
        return str(error)
    return None


async def calls_of(folder: Path) -> dict[Call, int]:
    async with realm(folder) as world:
        await parked(world)
        before = len(world.cluster.inventory().call_log)
        assert await adopted(world) is None
        made = world.cluster.inventory().call_log[before:]
        return Counter((call.method, generic(call.method, call.path)) for call in made)


@pytest.mark.timeout(3600 if SOAK else 60)
@pytest.mark.parametrize("mode", PLAYED, ids=lambda mode: str(mode.number))
async def test_an_adoption_that_fails_is_done_when_it_is_typed_again(
    mode: Mode, tmp_path: Path
) -> None:
    (tmp_path / "calls").mkdir()
    at = struck_calls(mode, await calls_of(tmp_path / "calls"))
    forms = range(len(mode.forms))
    cases = [(form, call) for form in forms for call in at]
    for number, (form, call) in enumerate(cases if SOAK else cases[:1]):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with realm(folder) as world:
            try:
                await played(world, mode, form, call)
            except AssertionError as error:
                raise AssertionError(f"form {form} at {call}") from error


async def played(world: Realm, mode: Mode, form: int, call: Call) -> None:
    await parked(world)
    arm(world.cluster, mode, call, 1, form)
    said = await adopted(world)
    assert has_struck(world.cluster, mode)
    if said is not None and mode.lasts:
        again = await adopted(world) or ""
        assert says_what_to_do(mode.number, [said, again]), (said, again)
    mend(world.cluster, mode)
    world.cluster.advance(301)
    await world.settle()
    if said is not None:
        await adopted(world)  # refused as its own already, where only the answer was lost
    if FIRST not in world.cluster.state.guests:
        await world.daemon.stores.work.unpark(str(world.lease()))  # `chainwatch retry`
    await looked_at(world)
    assert not TROUBLE & (await world.alarms()).keys(), await world.alarms()
    assert len(world.guests()) == 1
    assert world.running() == list(world.guests())
    assert world.leaked() == ()
    assert world.touched_foreign() == ()

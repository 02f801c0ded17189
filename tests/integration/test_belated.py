"""A call without an answer is carried out when it was asked for again and done: who is off then?"""

from pathlib import Path
from typing import Final

import pytest

from provisioner.model import Kind, Verb
from provisioner.oplog import STILL_DONE
from provisioner.simulator.faults import Fault, FaultName
from provisioner.simulator.state import Token
from provisioner.simulator.wire import ApiRequest
from tests.integration.test_boots import (
    KINDS,
    LEFT,
    NODE,
    THEIRS,
    WORDS,
    because,
    bought,
    looked_at,
)
from tests.support.office import desk_of
from tests.support.realm import FIRST, Realm

#: After so many seconds of silence a call is carried out; by then it was done when asked for again.
LATER: Final = 120.0


async def order(world: Realm, verb: Verb, detail: str = "") -> None:
    await desk_of(world).order("1", (verb, detail), "a test", 0)
    await world.settle()


def silence(world: Realm, call: str) -> None:
    world.cluster.arm(Fault(FaultName.HANG, "POST", f"*/{call}", seconds=LATER))


def switched_off(world: Realm) -> bool:
    world.cluster.advance(LATER)
    return world.running() == []


@KINDS
async def test_who_is_switched_off_by_a_call_of_ours_that_came_late_is_started(
    kind: Kind, tmp_path: Path
) -> None:
    async with bought(tmp_path, kind) as world:
        silence(world, "shutdown")
        await order(world, Verb.REBOOT)
        assert world.running() == [FIRST]
        assert switched_off(world)
        await looked_at(world)
        assert world.running() == [FIRST]
        assert await because(world) == f"VM {FIRST} is running, as desired"
        assert await world.alarms() == {}


async def test_a_rollback_without_an_answer_is_waited_for_and_not_done_twice(
    tmp_path: Path,
) -> None:
    async with bought(tmp_path) as world:
        await order(world, Verb.SNAPSHOT)
        (name,) = world.cluster.guest(FIRST).snapshots
        silence(world, "rollback")
        await order(world, Verb.ROLLBACK, name)
        assert world.running() == [FIRST]
        world.cluster.advance(LATER)
        done = [task.kind for task in world.cluster.state.tasks.values()]
        assert done.count("qmrollback") == 1


async def test_a_rollback_that_never_came_is_asked_for_again(tmp_path: Path) -> None:
    async with bought(tmp_path) as world:
        await order(world, Verb.SNAPSHOT)
        (name,) = world.cluster.guest(FIRST).snapshots
        world.cluster.arm(Fault(FaultName.DROP, "POST", "*/rollback"))
        began = world.cluster.now
        await order(world, Verb.ROLLBACK, name)
        assert world.running() == [FIRST]
        assert world.cluster.now - began >= STILL_DONE


@KINDS
async def test_who_was_to_be_off_stays_off(kind: Kind, tmp_path: Path) -> None:
    async with bought(tmp_path, kind) as world:
        silence(world, "shutdown")
        await order(world, Verb.STOP)
        assert switched_off(world)
        await looked_at(world)
        assert world.running() == []
        assert LEFT in await because(world)


@KINDS
@pytest.mark.parametrize("late", [False, True])
async def test_who_is_switched_off_by_somebody_else_stays_off(
    kind: Kind, late: bool, tmp_path: Path
) -> None:
    async with bought(tmp_path, kind) as world:
        silence(world, "shutdown")
        await order(world, Verb.REBOOT)
        if late:
            assert switched_off(world)
            await looked_at(world)
        assert world.running() == [FIRST]
        world.cluster.add_token(Token(THEIRS, "secret"))
        path = f"/nodes/{NODE}/{WORDS[kind]}/{FIRST}/status/stop"
        world.cluster.handle(ApiRequest("POST", path, {}, f"{THEIRS}=secret"))
        world.cluster.advance(30)
        await looked_at(world)
        assert world.running() == []
        assert LEFT in await because(world)

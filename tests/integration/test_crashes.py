"""Wherever the process dies, the world ends the same: judged by what the cluster has.

Every stretch of a machine's life is lived once without a crash; then it is lived again and the
process dies at one of the fault points on its way, and starts again over the same database.
"""

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import chain
from pathlib import Path
from typing import Final

import pytest

from chainwatch.app import opened
from chainwatch.store.verify import verify
from provisioner import faultpoints
from tests.support.lives import FOREIGN, Scene, Stage, scene
from tests.support.realm import FIRST, Crash, Realm, config, crash_at, realm
from tests.support.stretches import STRETCHES, Stretch

#: Where a process may fall: a fault point, and the how manieth time that it is reached.
Fall = tuple[str, int]
Unfallen = Callable[[str], Awaitable[Scene]]

#: Reached when a database is opened for the first time, before any life begins.
OPENING: Final = ("commit.install", "commit.migrate")
#: Stretches that end without a machine, and those that end with a backup.
ENDING: Final = ("destroy", "backup", "backup expired")
KEEPING: Final = ("backup", "restore")
EDGES: Final = ("before", "after")

#: A fall here on the way of a provision tells what it would tell on any other way.
READINGS: Final = (
    "chain.check",
    "chain.read",
    "chain.tip",
    "hypervisor.config",
    "hypervisor.power",
    "hypervisor.snapshot",
    "hypervisor.task_states",
    "commit.wake",
    "commit.work",
)
EVERY_FIRST_FALL: Final = [
    pytest.param(name, point, id=f"{name}-{point}")
    for name, stretch in STRETCHES.items()
    for point in sorted(stretch.points)
    if name.endswith("provision") or point.rpartition(".")[0] not in READINGS
]


async def live(world: Realm, stretch: Stretch, *falls: Fall, downtime: float = 0.0) -> list[Fall]:
    """Live `stretch`, falling at each of `falls` in turn; returns those not reached."""
    world.cluster.add_guest(FOREIGN, running=True)
    for stage in stretch.before:
        await stage(world)
        await world.settle()
    left = list(falls)

    async def get_up() -> None:
        left.pop(0)
        world.cluster.advance(downtime)
        await world.restart()
        _arm(left)

    _arm(left)
    for stage in stretch.stages:
        await _through(world, stage, get_up)
        await _through(world, Realm.settle, get_up)
    faultpoints.arm(None)
    await world.daemon.supervisor.resync.survey()
    await world.daemon.supervisor.resync.enqueue_all("periodic resync")
    await world.settle()
    return left


def _arm(left: list[Fall]) -> None:
    if left:
        crash_at(*left[0])


async def _through(world: Realm, stage: Stage, get_up: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            return await stage(world)
        except Crash:
            await get_up()


@pytest.fixture(scope="module")
def ended() -> dict[str, Scene]:
    return {}


@pytest.fixture
def unfallen(ended: dict[str, Scene], tmp_path_factory: pytest.TempPathFactory) -> Unfallen:
    """Tell what a stretch ends in when nothing happens to the process."""

    async def live_once(name: str) -> Scene:
        if name not in ended:
            async with STRETCHES[name].realm(tmp_path_factory.mktemp("unfallen")) as world:
                await live(world, STRETCHES[name])
                ended[name] = scene(world)
        return ended[name]

    return live_once


@pytest.mark.parametrize(("name", "point"), EVERY_FIRST_FALL)
async def test_a_crash_anywhere_ends_in_the_same_world(
    name: str, point: str, tmp_path: Path, unfallen: Unfallen
) -> None:
    expected = await unfallen(name)
    async with STRETCHES[name].realm(tmp_path) as world:
        assert await live(world, STRETCHES[name], (point, 1)) == []
        assert scene(world) == expected
        assert await verify(world.db) == []


@pytest.mark.parametrize("point", sorted(STRETCHES["provision"].points))
async def test_a_provision_goes_on_without_us_and_is_found_again(
    point: str, tmp_path: Path, unfallen: Unfallen
) -> None:
    expected = await unfallen("provision")
    async with realm(tmp_path) as world:
        stretch = STRETCHES["provision"]
        assert await live(world, stretch, (point, 1), downtime=300.0) == []
        assert scene(world) == expected


@pytest.mark.parametrize("seed", range(40))
async def test_two_crashes_end_in_the_same_world(
    seed: int, tmp_path: Path, unfallen: Unfallen
) -> None:
    chosen = random.Random(seed)
    name = chosen.choice(sorted(STRETCHES))
    expected = await unfallen(name)
    first, second = chosen.choices(sorted(STRETCHES[name].points), k=2)
    fallen = ((first, 1), (second, chosen.randint(1, 4)))
    async with STRETCHES[name].realm(tmp_path) as world:
        left = await live(world, STRETCHES[name], *fallen, downtime=chosen.choice((0.0, 2.0, 90.0)))
        assert len(left) < len(fallen)
        assert scene(world) == expected, fallen


@pytest.mark.parametrize("name", STRETCHES)
async def test_the_list_of_what_a_stretch_reaches_is_true(name: str, tmp_path: Path) -> None:
    reached: Counter[str] = Counter()
    stretch = STRETCHES[name]
    async with stretch.realm(tmp_path) as world:
        world.cluster.add_guest(FOREIGN, running=True)
        for stage in stretch.before:
            await stage(world)
            await world.settle()
        faultpoints.arm(lambda point: reached.update([point]))
        for stage in stretch.stages:
            await stage(world)
            await world.settle()
        faultpoints.arm(None)
    assert set(reached) == stretch.points


def test_every_fault_point_is_on_some_stretch() -> None:
    lived = set(chain(OPENING, *(stretch.reaches for stretch in STRETCHES.values())))
    over_ssh = {call for call in faultpoints.CALLS if call.startswith("node.")}
    assert lived == set(faultpoints.CALLS + faultpoints.COMMITS) - over_ssh


@pytest.mark.parametrize("name", STRETCHES)
async def test_every_stretch_has_at_most_one_machine_and_leaves_strangers_alone(
    name: str, unfallen: Unfallen
) -> None:
    last = await unfallen(name)
    assert len(last.machines) == (0 if name.endswith(ENDING) else 1)
    assert last.backups == ((FIRST,) if name.endswith(KEEPING) else ())
    assert FOREIGN not in last.machines
    assert (last.leaked, last.touched) == ((), ())


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("commit", OPENING)
async def test_a_crash_while_a_new_database_is_made_leaves_one_that_opens(
    commit: str, edge: str, tmp_path: Path
) -> None:
    settings, path = config(tmp_path), tmp_path / "test.db"
    crash_at(f"{commit}.{edge}")
    try:
        with pytest.raises(Crash):
            async with opened(settings, path, create=True):
                pass
    finally:
        faultpoints.arm(None)
    async with realm(tmp_path) as world:
        world.buy()
        await world.settle()
        assert world.running() == [FIRST]

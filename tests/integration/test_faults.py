"""One thing goes wrong at a time, and the world still ends as it should, or somebody is told."""

from pathlib import Path

import pytest

from chainwatch.errors import Fatal, OperatorError
from tests.support.amnesia import forget, rebuild, reopen
from tests.support.realm import FIRST, realm


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


async def test_a_database_is_not_rebuilt_while_a_machine_does_not_say_whose_it_is(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        world.buy()
        await world.turn()
        assert world.guest().lock == "clone"
        await forget(world)
        with pytest.raises(OperatorError, match="VM 20000 is being cloned"):
            await rebuild(world)
        await forget(world)
        world.cluster.settle()
        await rebuild(world)
        await world.settle()
        assert world.running() == [FIRST]


async def test_an_empty_database_is_refused_while_a_clone_is_under_way(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        world.buy()
        await world.turn()
        await forget(world)
        await reopen(world)
        with pytest.raises(Fatal, match="VM 20000 is being cloned"):
            await world.turn()

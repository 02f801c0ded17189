"""What is stored and not final yet is looked at a second time, and put right where it is wrong."""

from pathlib import Path

import pytest

from chainwatch.control.second_look import MOST, REMEMBERED, WindowWatch
from chainwatch.domain.batches import SourceState
from chainwatch.store.verify import verify
from tests.support.chain_model import ChainModel, ModelEndpoint, minted
from tests.support.doubts import erasing, logs_of, omitting, refusing
from tests.support.realm import ALICE, GRACE, HOUR, Realm, realm


def watch_of(world: Realm) -> WindowWatch:
    (lookout,) = world.daemon.supervisor.lookouts
    return lookout.second_look


def first(world: Realm) -> ModelEndpoint:
    return world.chain.rpc.endpoints[0]


async def believed(world: Realm) -> list[tuple[str, int]]:
    entries = await world.daemon.stores.journal.events(limit=1000)
    places = [(e.logged.block_hash, e.logged.log_index) for e in entries if e.orphaned_at is None]
    return sorted(places)


async def true(world: Realm) -> list[tuple[str, int]]:
    """What was said up to our cursor."""
    cursor = (await world.daemon.stores.journal.state("model")).cursor
    said = world.chain.events(cursor.number if cursor else -1)
    return sorted((each.block_hash, each.log_index) for each in said)


async def misread(world: Realm) -> int:
    """Store a purchase without its last two logs, in a block that is not final; returns it."""
    world.finalize()
    number = world.chain.head.number + 1
    first(world).tamper = omitting(logs_of(number, 2, 3))
    world.buy(lasts=100 * GRACE)
    await world.turn()
    assert await believed(world) != await true(world)
    return number


async def test_a_window_that_is_right_is_left_alone_whatever_happened_in_it(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        world.buy(lasts=HOUR)
        await world.turn()
        assert await watch_of(world).look() is None
        world.chain.reorg(2)
        world.confirm()
        before = await world.daemon.stores.journal.state("model")
        assert await watch_of(world).look() is None, "another hash is for the reading to see"
        assert await world.daemon.stores.journal.state("model") == before
        await world.turn()
        assert await watch_of(world).look() is None
        assert "second-look" not in await world.alarms()


async def test_logs_that_an_endpoint_left_out_and_tells_now_are_read_again(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        number = await misread(world)
        assert world.running() == []
        first(world).tamper = None
        found = await watch_of(world).look()
        assert found is not None
        assert (found.block.number, found.proven) == (number, True)
        assert f"block {number} " in (await world.alarms())["second-look"]
        assert not watch_of(world).status.view(await state(world)).caught_up
        await world.settle()
        assert await believed(world) == await true(world)
        assert len(world.running()) == 1
        assert await verify(world.db) == []


async def state(world: Realm) -> SourceState:
    return await world.daemon.stores.journal.state("model")


async def test_the_endpoint_that_left_them_out_is_quarantined_and_another_is_read(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        number = await misread(world)
        honest = world.chain.endpoint("honest")
        world.chain.rpc.endpoints = [*world.chain.rpc.endpoints, honest]
        assert await watch_of(world).look() is not None
        assert f"tells other logs of {number} than proven" in first(world).quarantined[0]
        assert honest.quarantined == []
        await world.settle()
        assert await believed(world) == await true(world)
        assert await watch_of(world).look() is None


async def test_one_that_is_a_little_behind_is_asked_as_far_as_it_has_come(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        number = await misread(world)
        behind = ChainModel(final_lag=3)
        behind.blocks = world.chain.fork()
        behind.drop(1)
        world.confirm()
        await world.read()
        world.chain.rpc.endpoints = [*world.chain.rpc.endpoints, behind.endpoint("behind")]
        found = await watch_of(world).look()
        assert found is not None
        assert (found.block.number, found.proven) == (number, True)


async def test_one_that_has_none_of_the_blocks_is_passed_over(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        world.finalize()
        world.buy(lasts=100 * GRACE)
        await world.turn()
        empty = ChainModel(final_lag=3).endpoint("empty")
        world.chain.rpc.endpoints = [*world.chain.rpc.endpoints, empty]
        first(world).asked.clear()
        assert await watch_of(world).look() is None
        assert "eth_getLogs" in first(world).asked
        assert "eth_getLogs" not in empty.asked


async def test_an_endpoint_that_leaves_out_what_is_stored_is_quarantined_and_nothing_taken_back(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        world.finalize()
        world.buy(lasts=100 * GRACE)
        number = world.chain.head.number - 1
        await world.turn()
        liar = world.chain.endpoint("liar", omitting(logs_of(number, 1)))
        world.chain.rpc.endpoints = [*world.chain.rpc.endpoints, liar]
        before = await state(world)
        assert await watch_of(world).look() is None
        assert "told other logs" in liar.quarantined[0]
        assert await state(world) == before
        assert "second-look" not in await world.alarms()


async def test_where_no_receipts_decide_nobody_is_believed_and_the_difference_is_told(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        number = await misread(world)
        first(world).tamper = refusing("eth_getBlockReceipts", "not offered")
        before = await state(world)
        found = await watch_of(world).look()
        assert found is not None
        assert (found.block.number, found.proven) == (number, False)
        assert "no receipts decide" in (await world.alarms())["second-look"]
        assert await state(world) == before


async def test_what_became_final_while_it_was_looked_at_halts_instead(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await misread(world)
        first(world).tamper = None
        watch = watch_of(world)
        window = await watch.samples.window("model", MOST)
        found = await watch.second.look(window.blocks, window.events)
        assert found is not None
        world.finalize()
        await world.turn()
        await watch._take_back(window, found)
        halted = (await state(world)).halted
        assert halted is not None
        assert "but by now it is final" in halted
        assert (await world.alarms())["second-look"] == halted


async def test_an_alarm_stands_for_an_hour_after_the_last_thing_that_was_wrong(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        await misread(world)
        first(world).tamper = None
        await watch_of(world).look()
        await world.settle()
        await watch_of(world).look()
        assert "second-look" in await world.alarms()
        world.cluster.advance(REMEMBERED)
        await watch_of(world).look()
        assert "second-look" not in await world.alarms()


async def test_a_look_is_due_every_minute_and_at_once_when_the_cursor_has_moved_far(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        await world.turn()
        watch = watch_of(world)
        assert await watch._due()
        await watch.look()
        assert not await watch._due()
        for _ in range(99):
            world.confirm()
        await world.read()
        assert not await watch._due()
        world.confirm()
        await world.read()
        assert await watch._due()
        await watch.look()
        assert not await watch._due()
        world.cluster.advance(61)
        assert await watch._due()


async def test_a_look_is_no_longer_for_a_window_that_nobody_confirms(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        other = ChainModel(final_lag=3).endpoint("other")
        world.chain.rpc.endpoints = [*world.chain.rpc.endpoints, other]
        for token in range(1, 2 * MOST):
            world.mine(*minted(token, ALICE, plan=1, expires_at=world.chain.head.timestamp + HOUR))
        world.chain.mine()
        await world.read()
        final = (await state(world)).final
        assert final is not None
        assert final.number == 0
        first(world).asked.clear()
        assert await watch_of(world).look() is None
        assert first(world).asked.count("eth_getBlockByNumber") == MOST
        samples = world.daemon.stores.samples
        window = await samples.window("model", MOST)
        assert window.floor is not None
        assert window.floor.number == window.blocks[0].number - 1
        assert {each.block for each in window.events} == {each.number for each in window.blocks}


async def test_the_lowest_block_of_a_look_is_put_right_too(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        other = ChainModel(final_lag=3).endpoint("other")
        number = world.chain.head.number + 1
        first(world).tamper = omitting(logs_of(number, 2, 3))
        world.chain.rpc.endpoints = [*world.chain.rpc.endpoints, other]
        world.buy(lasts=100 * GRACE)
        for _ in range(MOST - 1):
            world.chain.mine()
        await world.read()
        first(world).tamper = None
        found = await watch_of(world).look()
        assert found is not None
        assert (found.block.number, found.proven) == (number, True)
        cursor = (await state(world)).cursor
        assert cursor is not None
        assert cursor.number == number - 1


@pytest.mark.parametrize("honest", [1, 2])
async def test_a_root_that_one_endpoint_made_up_proves_nothing(tmp_path: Path, honest: int) -> None:
    async with realm(tmp_path) as world:
        world.finalize()
        number = world.chain.head.number + 1
        liar = world.chain.endpoint("liar", erasing(number))
        others = [world.chain.endpoint(name) for name in "ab"[:honest]]
        world.chain.rpc.endpoints = [others[0], liar, *others[1:]]
        world.buy(lasts=100 * GRACE)
        await world.turn()
        before = await state(world)
        found = await watch_of(world).look()
        assert found is not None
        assert not found.proven
        assert await state(world) == before
        assert [each.quarantined for each in others] == [[]] * honest
        assert bool(liar.quarantined) is (honest == 2)

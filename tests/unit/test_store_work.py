"""Keys that want a pass: none is lost, none is doubled, none runs before its time."""

from pathlib import Path

import pytest

from chainwatch.domain.events import KeysChanged
from chainwatch.store.journal import Journal
from chainwatch.store.workqueue import WorkItem, WorkQueue
from tests.support.stored import (
    SOURCE,
    Crash,
    batch,
    block,
    crash_at,
    lease_id,
    logged,
    minted_at_one,
    opened,
)


async def taken(work: WorkQueue, now: int = 0) -> WorkItem:
    (item,) = await work.due(now, 10)
    return item


async def test_a_key_enqueued_twice_is_one_key_with_the_last_reason(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        work = WorkQueue(db)
        await work.enqueue(["a"], "first")
        await work.enqueue(["a"], "second")
        assert (await taken(work)).reason == "second"
        await work.done(await taken(work))
        assert await work.due(0, 10) == []
        assert await work.row("a") is None


@pytest.mark.parametrize("recheck", [None, 500])
async def test_news_that_comes_during_a_pass_makes_the_key_due_again_at_once(
    tmp_path: Path, recheck: int | None
) -> None:
    async with opened(tmp_path / "db") as db:
        work = WorkQueue(db)
        await work.enqueue(["a"], "first")
        item = await taken(work)
        await work.enqueue(["a"], "news")
        await work.done(item, recheck)
        assert (await taken(work)).reason == "news"


async def test_a_key_rests_until_its_recheck(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        work = WorkQueue(db)
        await work.enqueue(["a"], "first")
        await work.done(await taken(work), 500)
        assert await work.due(499, 10) == []
        assert (await work.next_due(0), await work.next_due(500)) == (500, None)
        assert (await work.depth(499), await work.depth(500)) == (0, 1)
        assert (await taken(work, 500)).key == "a"


async def test_failures_are_counted_until_a_pass_ends_well(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        work = WorkQueue(db)
        await work.enqueue(["a"], "first")
        for attempts in range(3):
            item = await taken(work, 100 * attempts)
            assert item.attempts == attempts
            await work.failed(item, "no room", 100 * (attempts + 1))
        row = await work.row("a")
        assert row is not None
        assert (row.attempts, row.last_error, row.not_before) == (3, "no room", 300)
        await work.done(await taken(work, 300), 400)
        row = await work.row("a")
        assert row is not None
        assert (row.attempts, row.last_error) == (0, None)


async def test_news_ends_the_wait_after_a_failure(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        work = WorkQueue(db)
        await work.enqueue(["a"], "first")
        item = await taken(work)
        await work.enqueue(["a"], "news")
        await work.failed(item, "no room", 10_000)
        assert (await taken(work)).attempts == 1


async def test_a_key_in_hand_is_not_given_out_again(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        work = WorkQueue(db)
        await work.enqueue(["a", "b", "c"], "first")
        assert [item.key for item in await work.due(0, 10, {"a", "c"})] == ["b"]
        assert len(await work.due(0, 2)) == 2


async def test_a_parked_key_stays_parked_until_an_operator_speaks(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        work, journal = WorkQueue(db), Journal(db)
        await minted_at_one(journal, 7)
        await work.park(await taken(work), "the template is missing", 77)
        await work.enqueue([lease_id(7)], "periodic resync")
        (row,) = await work.parked()
        assert (row.parked_at, row.parked_reason) == (77, "the template is missing")
        assert await work.due(10**10, 10) == []
        assert await work.depth(10**10) == 0
        assert await work.unpark(lease_id(7))
        assert not await work.unpark(lease_id(7))
        assert (await taken(work)).attempts == 0
        assert await work.parked() == []


async def test_what_the_chain_says_makes_a_parked_key_due_again(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        work, journal = WorkQueue(db), Journal(db)
        await minted_at_one(journal, 7)
        await work.park(await taken(work), "the key is no SSH key", 77)
        said = logged(block(2), KeysChanged(7, "", ""))
        await journal.commit_batch(SOURCE.name, batch(block(1), [block(2)], said), 2)
        assert await work.parked() == []
        assert (await taken(work)).key == lease_id(7)


async def test_news_that_came_during_the_pass_that_parks_is_not_lost(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        work, journal = WorkQueue(db), Journal(db)
        await minted_at_one(journal, 7)
        item = await taken(work)
        said = logged(block(2), KeysChanged(7, "", ""))
        await journal.commit_batch(SOURCE.name, batch(block(1), [block(2)], said), 2)
        await work.park(item, "given up", 1)
        assert await work.parked() == []
        again = await taken(work)
        await work.park(again, "given up", 2)
        assert [row.parked_reason for row in await work.parked()] == ["given up"]


@pytest.mark.parametrize("edge", ["before", "after"])
async def test_a_crash_while_a_pass_is_closed_repeats_the_pass_at_most(
    tmp_path: Path, edge: str
) -> None:
    async with opened(tmp_path / "db") as db:
        work = WorkQueue(db)
        await work.enqueue(["a"], "first")
        item = await taken(work)
        with crash_at(f"commit.work.{edge}"), pytest.raises(Crash):
            await work.done(item)
    async with opened(tmp_path / "db") as db:
        assert len(await WorkQueue(db).due(0, 10)) == (1 if edge == "before" else 0)

"""What an operator has read again is taken back whole, and known to lag until it is read."""

from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from chainwatch.domain.batches import Batch, Rewind
from chainwatch.domain.events import ExpiryUpdated, Logged, Transferred
from chainwatch.errors import NotAChain, OperatorError, SourceHalted
from chainwatch.store.audit import Audit
from chainwatch.store.database import Database
from chainwatch.store.journal import Journal
from chainwatch.store.rereads import Reread, Rereads
from chainwatch.store.standings import Standings
from chainwatch.store.verify import verify
from chainwatch.store.workqueue import WorkQueue
from tests.support.stored import (
    ALICE,
    BOB,
    SOURCE,
    Crash,
    batch,
    block,
    crash_at,
    lease_id,
    logged,
    mint,
    opened,
    plan,
    time_of,
)

MAIN = SOURCE.name
ONE, THREE, SIX = block(1), block(3), block(6)
#: A plan and a mint in block 1, a renewal in 3, a sale in 6; 4 is final.
STORY = (
    batch(None, [block(0), ONE, THREE, block(4)], logged(ONE, plan(), *mint(7)), block(4)),
    batch(block(4), [block(5), SIX], logged(SIX, Transferred(7, ALICE, BOB)), block(4)),
)
RENEWAL = logged(THREE, ExpiryUpdated(7, time_of(500)))
TOLD = (replace(STORY[0], events=STORY[0].events + RENEWAL), STORY[1])


async def told(db: Database) -> Journal:
    journal = Journal(db)
    for each in TOLD:
        await journal.commit_batch(MAIN, each, 1)
    return journal


async def reread(db: Database, number: int, reason: str = "a doubt") -> Reread:
    return await Rereads(db).reread(MAIN, number, reason, 1000, now=2)


async def believed(db: Database) -> list[Logged]:
    entries = await Journal(db).events(limit=100)
    return sorted(
        (entry.logged for entry in entries if entry.orphaned_at is None),
        key=lambda each: (each.block, each.log_index),
    )


async def test_what_is_read_again_is_marked_and_folded_back_and_nothing_is_deleted(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path / "db") as db:
        await told(db)
        assert await reread(db, 6) == Reread(MAIN, 6, 6, 1, 1, below_final=False)
        standing = await Standings(db).of(lease_id(7))
        assert standing is not None
        assert standing.lease is not None
        assert standing.lease.owner == ALICE
        state = standing.state
        assert (state.cursor, state.final, state.reread_to) == (block(5), block(4), 6)
        entries = await Journal(db).events(limit=100)
        assert [entry.orphaned_at for entry in entries] == [2, *[None] * 6]
        assert await verify(db) == []


async def test_a_reread_may_reach_below_finality_and_begins_after_a_block_that_is_kept(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path / "db") as db:
        await told(db)
        assert await reread(db, 3) == Reread(MAIN, 2, 6, 2, 1, below_final=True)
        state = await Journal(db).state(MAIN)
        assert (state.cursor, state.final) == (ONE, ONE)
        assert await believed(db) == list(TOLD[0].events[:-1])
        assert await verify(db) == []


async def test_a_reread_from_before_the_start_forgets_that_anything_was_read(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path / "db") as db:
        await told(db)
        assert await reread(db, 0) == Reread(MAIN, 0, 6, 7, 1, below_final=True)
        state = await Journal(db).state(MAIN)
        assert (state.cursor, state.final, state.reread_to) == (None, None, 6)
        standing = await Standings(db).of(lease_id(7))
        assert standing is not None
        assert standing.lease is None
        assert standing.plan is None
        assert await verify(db) == []


@pytest.mark.parametrize("number", range(7))
async def test_the_same_blocks_read_again_end_where_it_began(tmp_path: Path, number: int) -> None:
    async with opened(tmp_path / "db") as db:
        journal = await told(db)
        before = await Standings(db).of(lease_id(7)), await believed(db)
        said = await reread(db, number)
        await journal.commit_batch(MAIN, _again(said, (await journal.state(MAIN)).cursor), 3)
        after = await Standings(db).of(lease_id(7)), await believed(db)
        assert after == before
        assert await verify(db) == []


def _again(said: Reread, after: object) -> Batch:
    """Return everything from `said.first` on as one batch."""
    blocks = {each.number: each for story in TOLD for each in story.blocks}
    events = [each for story in TOLD for each in story.events if each.block >= said.first]
    kept = [blocks[number] for number in sorted(blocks) if number >= said.first]
    cursor = next((each for each in blocks.values() if each == after), None)
    return batch(cursor, kept, events, block(4))


async def test_it_lags_until_it_has_come_as_far_as_before_through_rewinds_and_rereads(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path / "db") as db:
        journal = await told(db)
        await reread(db, 5)
        await journal.commit_batch(MAIN, batch(block(4), [block(5)], (), block(4)), 3)
        assert (await journal.state(MAIN)).reread_to == 6
        await reread(db, 5)
        assert (await journal.state(MAIN)).reread_to == 6
        fives = batch(block(4), [block(5, "b")], (), block(4))
        await journal.commit_batch(MAIN, fives, 3)
        await journal.commit_rewind(MAIN, Rewind(block(4), 9), 4)
        assert (await journal.state(MAIN)).reread_to == 6
        await journal.commit_batch(MAIN, batch(block(4), [block(5), SIX], (), block(4)), 5)
        assert (await journal.state(MAIN)).reread_to is None


async def test_a_step_that_was_under_way_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        journal = await told(db)
        await reread(db, 4)
        with pytest.raises(NotAChain, match="does not continue"):
            await journal.commit_batch(MAIN, batch(SIX, [block(7)]), 3)
        with pytest.raises(NotAChain, match="not a block that we stored"):
            await journal.commit_rewind(MAIN, Rewind(block(5), 7), 3)


async def test_what_an_endpoint_said_wrongly_of_a_log_is_put_right(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        journal = Journal(db)
        lie = replace(TOLD[0], events=(*STORY[0].events, structs.replace(RENEWAL[0], event=_lie())))
        await journal.commit_batch(MAIN, lie, 1)
        await reread(db, 2)
        await journal.commit_batch(MAIN, batch(ONE, [THREE, block(4)], RENEWAL, block(4)), 3)
        assert await believed(db) == list(TOLD[0].events)
        assert await verify(db) == []


def _lie() -> ExpiryUpdated:
    return ExpiryUpdated(7, 1)


async def test_a_block_that_was_not_read_cannot_be_read_again(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        with pytest.raises(OperatorError, match="has been read not at all yet"):
            await reread(db, 1)
        await told(db)
        with pytest.raises(OperatorError, match="up to block 6: name a block that was read"):
            await reread(db, 7)
        assert await Audit(db).recent(9) == []


@pytest.mark.parametrize("edge", ["before", "after"])
async def test_a_crash_while_taking_back_leaves_all_or_nothing(tmp_path: Path, edge: str) -> None:
    async with opened(tmp_path / "db") as db:
        await told(db)
        with crash_at(f"commit.reread.{edge}"), pytest.raises(Crash):
            await reread(db, 1)
    async with opened(tmp_path / "db") as db:
        state, audit = await Journal(db).state(MAIN), await Audit(db).recent(9)
        taken_back = edge == "after"
        assert (state.cursor is None, len(audit) == 1) == (taken_back, taken_back)
        assert await verify(db) == []


async def test_what_is_read_again_is_due_and_who_ordered_it_is_known(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        journal, work = await told(db), WorkQueue(db)
        for item in await work.due(0, 9):
            await work.done(item)
        await journal.halt(MAIN, "two truths")
        await reread(db, 5, "the provider was wrong")
        (item,) = await work.due(0, 9)
        assert item.key == lease_id(7)
        (line,) = await Audit(db).recent(9)
        assert (line.uid, line.what, line.subject) == (1000, "source reread from 5", MAIN)
        assert line.why == "the provider was wrong"
        assert (await journal.state(MAIN)).halted is None


async def test_a_halted_source_is_resumed_with_what_it_stored(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        journal, rereads = await told(db), Rereads(db)
        with pytest.raises(OperatorError, match="is not halted"):
            await rereads.resume(MAIN, "why not", 0, now=2)
        before = await Standings(db).of(lease_id(7))
        await journal.halt(MAIN, "two truths")
        with pytest.raises(SourceHalted, match="two truths"):
            await journal.commit_batch(MAIN, batch(SIX, [block(7)], (), block(4)), 3)
        assert await rereads.resume(MAIN, "looked", 0, now=2) == "two truths"
        assert await Standings(db).of(lease_id(7)) == before
        await journal.commit_batch(MAIN, batch(SIX, [block(7)], (), block(4)), 3)
        assert [line.what for line in await Audit(db).recent(9)] == ["source resume"]

"""What the chain said is stored whole, and taken back whole."""

from dataclasses import replace
from pathlib import Path

import pytest

from chainwatch.domain.batches import Rewind, SourceState
from chainwatch.domain.events import (
    ZERO_ADDRESS,
    Block,
    ExpiryUpdated,
    KeysChanged,
    LeaseMinted,
    PlanDefined,
    PlanTerms,
    Transferred,
)
from chainwatch.domain.lease import nonce_of
from chainwatch.errors import NotAChain, SourceHalted
from chainwatch.store.database import Database
from chainwatch.store.journal import Journal
from chainwatch.store.leases import Leases
from chainwatch.store.standings import Standings
from chainwatch.store.verify import verify
from chainwatch.store.workqueue import WorkQueue
from tests.support.stored import (
    ALICE,
    BOB,
    PLAN,
    SOURCE,
    Crash,
    batch,
    block,
    crash_at,
    lease_id,
    logged,
    mint,
    minted_at_one,
    opened,
    plan,
    time_of,
    tx_of,
)

MAIN = SOURCE.name
HUGE = 2**256 - 1


async def numbers(db: Database) -> list[int]:
    async with db.reading() as read:
        return [row["number"] for row in await read.rows("SELECT number FROM block")]


async def due(db: Database) -> set[str]:
    return {item.key for item in await WorkQueue(db).due(0, 100)}


async def test_a_mint_is_stored_with_its_lease_its_plan_and_its_key_due(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        one = await minted_at_one(Journal(db), 7)
        standing = await Standings(db).of(lease_id(7))
        assert standing is not None
        assert standing.state == SourceState(one, block(0), 1, None)
        assert standing.lease is not None
        assert standing.lease.owner == ALICE
        assert standing.lease.nonce == nonce_of(tx_of(one, 1), 7)
        assert standing.lease.expires_at == time_of(100)
        assert standing.final is None
        assert standing.plan is not None
        assert standing.plan.cores == 1
        assert await due(db) == {lease_id(7)}
        assert await verify(db) == []


async def test_numbers_of_any_size_come_back_as_they_went_in(tmp_path: Path) -> None:
    terms = PlanTerms(HUGE, ALICE, HUGE, HUGE, on_sale=True)
    defined = PlanDefined(HUGE, "größt\0e 🖥", 1, HUGE, HUGE, HUGE, HUGE)
    events = (
        Transferred(HUGE, ZERO_ADDRESS, ALICE),
        LeaseMinted(HUGE, HUGE, BOB, HUGE, HUGE),
        ExpiryUpdated(HUGE, HUGE),
        KeysChanged(HUGE, "'; DROP TABLE lease; --\n\0", '"\\'),
    )
    one = block(1)
    async with opened(tmp_path / "db") as db:
        journal = Journal(db)
        said = logged(one, terms, defined, *events)
        await journal.commit_batch(MAIN, batch(None, [one], said, one), 1)
        entries = await journal.events(limit=10)
        assert tuple(entry.logged for entry in reversed(entries)) == said
        standing = await Standings(db).of(lease_id(HUGE))
        assert standing is not None
        assert standing.lease == standing.final
        assert standing.lease is not None
        assert standing.lease.expires_at == HUGE
        assert standing.lease.plan == HUGE
        assert standing.plan is not None
        assert (standing.plan.grace, standing.plan.price_per_second) == (HUGE, HUGE)
        await Leases(db).set_wakes(lease_id(HUGE), HUGE, HUGE)
        assert await verify(db) == []


async def test_the_same_batch_again_changes_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        journal = Journal(db)
        first = batch(None, [block(0), block(1)], logged(block(1), *mint(7)))
        assert (await journal.commit_batch(MAIN, first, 1)).dirty == {lease_id(7)}
        second = batch(block(1), [block(2)], logged(block(2), Transferred(7, ALICE, BOB)))
        await journal.commit_batch(MAIN, second, 2)
        before = await journal.events(limit=100), await Standings(db).of(lease_id(7))
        assert (await journal.commit_batch(MAIN, first, 3)).dirty == frozenset()
        assert (await journal.commit_batch(MAIN, second, 3)).dirty == frozenset()
        assert (await journal.events(limit=100), await Standings(db).of(lease_id(7))) == before


@pytest.mark.parametrize("kind", ["batch", "rewind"])
@pytest.mark.parametrize("edge", ["before", "after"])
async def test_a_crash_at_the_commit_loses_all_or_nothing_and_the_next_start_goes_on(
    tmp_path: Path, kind: str, edge: str
) -> None:
    async with opened(tmp_path / "db") as db:
        journal = Journal(db)
        await minted_at_one(journal, 7)

        async def there_and_back() -> None:
            news = logged(block(2), *mint(8))
            await journal.commit_batch(MAIN, batch(block(1), [block(2)], news), 2)
            await journal.commit_rewind(MAIN, Rewind(block(1), 1), 3)

        with crash_at(f"commit.{kind}.{edge}"), pytest.raises(Crash):
            await there_and_back()
    committed = {"batch": edge == "after", "rewind": edge == "before"}[kind]
    async with opened(tmp_path / "db") as db:
        state = await Journal(db).state(MAIN)
        assert state.cursor == block(2 if committed else 1)
        entries = await Journal(db).events(limit=100)
        assert any(not e.orphaned_at and e.logged.block == 2 for e in entries) is committed
        row = await Leases(db).get(lease_id(8))
        assert (row is not None and not row.gone) is committed
        assert (await Journal(db).block(MAIN, 2) is not None) is committed
        assert await verify(db) == []


async def test_a_mint_reorged_away_leaves_its_lease_gone_and_findable(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        journal = Journal(db)
        one = await minted_at_one(journal, 7)
        result = await journal.commit_rewind(MAIN, Rewind(block(0), 0), 50)
        assert result.dirty == {lease_id(7)}
        standing = await Standings(db).of(lease_id(7))
        assert standing is not None
        assert standing.lease is None
        assert standing.former == {nonce_of(tx_of(one, 1), 7)}
        assert standing.state.cursor == block(0)
        assert {entry.orphaned_at for entry in await journal.events(limit=9)} == {50}
        assert await Leases(db).plans(MAIN) == {}
        assert await verify(db) == []


async def test_a_token_minted_again_to_somebody_else_is_another_machine(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        journal = Journal(db)
        one = await minted_at_one(journal, 7)
        await journal.commit_rewind(MAIN, Rewind(block(0), 0), 50)
        fork = [block(1, "b"), block(2, "b")]
        await journal.commit_batch(MAIN, batch(block(0), fork, logged(fork[1], *mint(7, BOB))), 51)
        standing = await Standings(db).of(lease_id(7))
        assert standing is not None
        assert standing.lease is not None
        assert standing.lease.owner == BOB
        assert standing.lease.nonce == nonce_of(tx_of(fork[1], 0), 7)
        assert standing.former == {nonce_of(tx_of(one, 1), 7)}
        assert await verify(db) == []


async def test_a_mint_that_moved_to_another_block_is_the_same_machine(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        journal = Journal(db)
        await minted_at_one(journal, 7)
        before = await Standings(db).of(lease_id(7))
        await journal.commit_rewind(MAIN, Rewind(block(0), 0), 50)
        moved = logged(block(1, "b"), plan(), *mint(7))
        await journal.commit_batch(MAIN, batch(block(0), [block(1, "b")], moved), 51)
        after = await Standings(db).of(lease_id(7))
        assert before is not None
        assert after is not None
        assert after.lease == before.lease
        assert after.former == frozenset()


async def test_a_block_that_comes_back_is_no_longer_orphaned(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        journal = Journal(db)
        one = await minted_at_one(journal, 7)
        before = [entry.id for entry in await journal.events(limit=9)]
        await journal.commit_rewind(MAIN, Rewind(block(0), 0), 50)
        again = batch(block(0), [one], logged(one, plan(), *mint(7)))
        await journal.commit_batch(MAIN, again, 51)
        entries = await journal.events(limit=9)
        assert [entry.id for entry in entries] == before
        assert {entry.orphaned_at for entry in entries} == {None}
        assert await verify(db) == []


async def test_a_transfer_taken_back_gives_the_lease_back(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        journal = Journal(db)
        await minted_at_one(journal, 7)
        transfer = logged(block(2), Transferred(7, ALICE, BOB))
        await journal.commit_batch(MAIN, batch(block(1), [block(2)], transfer), 2)
        result = await journal.commit_rewind(MAIN, Rewind(block(1), 2), 3)
        row = await Leases(db).get(lease_id(7))
        assert result.dirty == {lease_id(7)}
        assert row is not None
        assert row.lease is not None
        assert (row.lease.owner, row.lease.generation) == (ALICE, 0)
        assert row.lease.ssh_key


@pytest.mark.parametrize("ancestor", [None, block(0)])
async def test_a_rewind_below_the_finalized_block_is_refused_and_deletes_nothing(
    tmp_path: Path, ancestor: Block | None
) -> None:
    async with opened(tmp_path / "db") as db:
        journal = Journal(db)
        await minted_at_one(journal, 7)
        await journal.commit_batch(MAIN, batch(block(1), [block(2)], final=block(1)), 2)
        with pytest.raises(SourceHalted, match="had called final"):
            await journal.commit_rewind(MAIN, Rewind(ancestor, 2), 3)
        assert (await journal.state(MAIN)).cursor == block(2)
        assert all(entry.orphaned_at is None for entry in await journal.events(limit=9))


async def test_a_halted_source_takes_nothing_more(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        journal = Journal(db)
        await minted_at_one(journal, 7)
        await journal.halt(MAIN, "block 1 changed")
        await journal.halt(MAIN, "and again")
        assert (await journal.state(MAIN)).halted == "block 1 changed"
        with pytest.raises(SourceHalted, match="block 1 changed"):
            await journal.commit_batch(MAIN, batch(block(1), [block(2)]), 2)
        with pytest.raises(SourceHalted, match="block 1 changed"):
            await journal.commit_rewind(MAIN, Rewind(block(0), 2), 2)


FITTING = batch(block(1), [block(2)], logged(block(2), *mint(8)))
BACKWARDS = tuple(reversed(FITTING.events))


@pytest.mark.parametrize(
    "unfit",
    [
        replace(FITTING, after=block(1, "b")),
        replace(FITTING, after=None),
        replace(FITTING, after=block(0)),
        replace(FITTING, after=block(3), cursor=block(3)),
        replace(FITTING, events=logged(block(1), *mint(8))),
        replace(FITTING, events=logged(block(2, "b"), *mint(8))),
        replace(FITTING, events=BACKWARDS),
        replace(FITTING, events=FITTING.events + FITTING.events[-1:]),
        replace(FITTING, blocks=(block(1, "b"), block(2))),
        replace(FITTING, blocks=(block(2), block(3))),
        replace(FITTING, final=block(3)),
        replace(FITTING, cursor=replace(block(2), timestamp=2**63)),
    ],
)
async def test_a_batch_that_is_not_the_next_stretch_of_the_chain_writes_nothing(
    tmp_path: Path, unfit: object
) -> None:
    assert isinstance(unfit, type(FITTING))
    async with opened(tmp_path / "db") as db:
        journal = Journal(db)
        await minted_at_one(journal, 7)
        before = await journal.state(MAIN), await numbers(db), await journal.events(limit=99)
        with pytest.raises(NotAChain):
            await journal.commit_batch(MAIN, unfit, 2)
        assert before == (
            await journal.state(MAIN),
            await numbers(db),
            await journal.events(limit=99),
        )
        await journal.commit_batch(MAIN, FITTING, 3)


async def test_an_ancestor_that_was_never_stored_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        journal = Journal(db)
        await minted_at_one(journal, 7)
        for stranger in (block(1, "b"), block(5)):
            with pytest.raises(NotAChain, match="not a block that we stored"):
                await journal.commit_rewind(MAIN, Rewind(stranger, 5), 3)


async def test_only_headers_that_are_needed_are_kept(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        journal = Journal(db)
        await minted_at_one(journal, 7)
        more = [block(number) for number in range(2, 10)]
        await journal.commit_batch(MAIN, batch(block(1), more, final=block(6)), 2)
        assert await numbers(db) == [1, 6, 7, 8, 9]


async def test_the_finalized_block_never_falls(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        journal = Journal(db)
        await minted_at_one(journal, 7)
        await journal.commit_batch(MAIN, batch(block(1), [block(2)], final=block(1)), 2)
        await journal.commit_batch(MAIN, batch(block(2), [block(3)], final=None), 2)
        await journal.commit_batch(MAIN, batch(block(3), [block(3)], final=block(0)), 2)
        assert (await journal.state(MAIN)).final == block(1)


async def test_finality_can_move_while_the_cursor_stands(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        journal = Journal(db)
        one = await minted_at_one(journal, 7)
        await Leases(db).set_wakes(lease_id(7), None, one.timestamp)
        result = await journal.commit_batch(MAIN, batch(one, [one], final=one), 2)
        standing = await Standings(db).of(lease_id(7))
        assert standing is not None
        assert standing.final == standing.lease
        assert result.woken == {lease_id(7)}


async def test_chain_time_wakes_a_lease_once_and_not_a_second_early(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        journal, work = Journal(db), WorkQueue(db)
        await minted_at_one(journal, 7)
        (item,) = await work.due(0, 9)
        await work.done(item)
        await Leases(db).set_wakes(lease_id(7), time_of(2) + 1, None)
        woken = [
            (await journal.commit_batch(MAIN, batch(block(n - 1), [block(n)]), n)).woken
            for n in (2, 3, 4)
        ]
        assert woken == [frozenset(), {lease_id(7)}, frozenset()]
        assert await due(db) == {lease_id(7)}


async def test_a_plan_that_becomes_known_makes_its_leases_due(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        journal = Journal(db)
        first = batch(None, [block(1)], logged(block(1), *mint(7)))
        await journal.commit_batch(MAIN, first, 1)
        later = logged(block(2), plan())
        result = await journal.commit_batch(MAIN, batch(block(1), [block(2)], later), 2)
        assert result.dirty == {lease_id(7)}
        terms = logged(block(3), PlanTerms(PLAN, ZERO_ADDRESS, 5, 5, on_sale=False))
        result = await journal.commit_batch(MAIN, batch(block(2), [block(3)], terms), 3)
        assert result.dirty == frozenset()


async def test_facts_about_a_token_that_was_never_minted_make_no_lease(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        journal = Journal(db)
        said = logged(block(1), ExpiryUpdated(9, 5), Transferred(9, ALICE, BOB))
        result = await journal.commit_batch(MAIN, batch(None, [block(1)], said), 1)
        assert result.dirty == frozenset()
        assert await Leases(db).get(lease_id(9)) is None
        assert await verify(db) == []


async def test_a_row_that_is_not_the_fold_of_its_events_is_named(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        await minted_at_one(Journal(db), 7)
        async with db.transaction("source") as tx:
            await tx.run("UPDATE lease SET owner = ?", BOB)
            await tx.run("DELETE FROM plan")
        said = await verify(db)
        assert len(said) == 2
        assert said[0].startswith(f"{lease_id(7)} is stored as")
        assert said[1].startswith("main: plan 1 is stored as None")
        async with db.transaction("source") as tx:
            await tx.run("DELETE FROM lease")
        assert "main: token 7 was minted and has no row" in await verify(db)

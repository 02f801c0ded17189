"""Intents are wanted once, in the commit of their cause, and a nonce is never bound twice."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chainwatch.domain.sendings import (
    MOST_REVERTS,
    Attempt,
    Call,
    Intent,
    Kind,
    Offer,
    Sending,
    State,
)
from chainwatch.store import sendings as store
from chainwatch.store.database import Database
from chainwatch.store.journal import Journal
from chainwatch.store.sendings import MOST_DUE, Sendings
from tests.support.stored import (
    SOURCE,
    Crash,
    batch,
    block,
    crash_at,
    logged,
    mint,
    opened,
    plan,
)
from tests.support.wanting import want

ME = "0x" + "ee" * 20
CHAIN = SOURCE.chain_id


def intent(lease: str = "one", *, kind: Kind = Kind.DELIVER, cause: str = "minted") -> Intent:
    return Intent(SOURCE.name, kind, lease, cause, Call(SOURCE.contract, "0x01", 2**256 - 1))


def attempt(nonce: int, tx_hash: str | None = None, *, void: bool = False) -> Attempt:
    digest = tx_hash or f"0x{nonce + 1:064x}"
    return Attempt(digest, "0xraw", nonce, 21_000, Offer(10, 1), void, 5, 6)


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with opened(tmp_path / "db") as made:
        yield made


async def signed(found: Sendings, sending: Sending, at_least: int = 0) -> Sending:
    return await found.sign(sending, ME, at_least, attempt)


async def test_what_comes_out_is_what_went_in(db: Database) -> None:
    found = Sendings(db)
    assert await want(db, intent(), now=7)
    (sending,) = await found.open(CHAIN, 9)
    assert sending == Sending(1, intent(), CHAIN, State.WANTED, 7)
    made = await signed(found, sending)
    assert await found.open(CHAIN, 9) == [made]
    assert made.attempts == (attempt(0),)


async def test_another_kind_lease_or_cause_is_another_intent(db: Database) -> None:
    found = Sendings(db)
    for each in (intent(), intent("two"), intent(kind=Kind.CANCEL), intent(cause="moved")):
        assert await want(db, each, now=1)
        assert not await want(db, each, now=2)
    assert len(await found.open(CHAIN, 9)) == 4


async def test_an_intent_lives_and_dies_with_the_commit_of_its_cause(db: Database) -> None:
    with crash_at("commit.wish.before"), pytest.raises(Crash):
        async with db.transaction("wish") as tx:
            assert await store.want(tx, intent(), now=1)
    assert await Sendings(db).open(CHAIN, 9) == []
    async with db.transaction("wish") as tx:
        assert await store.want(tx, intent(), now=1)
    assert len(await Sendings(db).open(CHAIN, 9)) == 1


async def test_nonces_go_on_from_ours_and_from_the_chains(db: Database) -> None:
    found = Sendings(db)
    for lease in ("one", "two", "three"):
        await want(db, intent(lease), now=1)
    one, two, three = await found.open(CHAIN, 9)
    assert [(await signed(found, each, least)).nonce for each, least in ((one, 5), (two, 0))] == [
        *(5, 6),
    ]
    assert (await signed(found, three, 9)).nonce == 9


async def test_a_nonce_that_was_let_go_is_not_taken_again(db: Database) -> None:
    found = Sendings(db)
    await want(db, intent(), now=1)
    (one,) = await found.open(CHAIN, 9)
    await signed(found, one)
    await found.released(one.id, "a thief had it", reverted=False, now=2)
    (one,) = await found.open(CHAIN, 9)
    assert (one.state, one.nonce, one.attempts, one.why) == (
        *(State.WANTED, None, (), "a thief had it"),
    )
    assert (await found.sign(one, ME, 0, lambda nonce: attempt(nonce, f"0x{9:064x}"))).nonce == 1


async def test_the_database_itself_refuses_a_nonce_that_is_bound(db: Database) -> None:
    found = Sendings(db)
    await want(db, intent("one"), now=1)
    await want(db, intent("two"), now=1)
    one, two = await found.open(CHAIN, 9)
    await signed(found, one)
    with pytest.raises(sqlite3.IntegrityError):
        await found.sign(two, ME, 0, lambda nonce: attempt(nonce - 1, f"0x{9:064x}"))


async def test_a_replacement_keeps_the_nonce_and_what_it_replaces(db: Database) -> None:
    found = Sendings(db)
    await want(db, intent(), now=1)
    (one,) = await found.open(CHAIN, 9)
    one = await signed(found, one)
    await found.sent(one.id, one.last.hash, now=9)
    void = attempt(0, f"0x{9:064x}", void=True)
    await found.sign(one, ME, 5, lambda _: void)
    (now,) = await found.open(CHAIN, 9)
    assert [each.void for each in now.attempts] == [False, True]
    assert (now.state, now.nonce, now.attempts[0].broadcast_at) == (State.SIGNED, 0, 9)


async def in_vain(found: Sendings, time: int) -> Sending:
    """Sign what there is, and have it revert."""
    (one,) = await found.open(CHAIN, 9)
    await found.sign(one, ME, 0, lambda nonce: attempt(nonce, f"0x{time + 50:064x}"))
    await found.mined(one.id, 4, "0xb")
    await found.released(one.id, "it reverted", reverted=True, now=8)
    (after,) = await found.of("one", 10)
    return after


async def test_a_delivery_that_reverts_is_tried_again_ever_more_rarely(db: Database) -> None:
    found = Sendings(db)
    await want(db, intent(), now=1)
    pauses = [(await in_vain(found, time)).not_before - 8 for time in range(12)]
    assert pauses[: MOST_REVERTS - 1] == [-8] * (MOST_REVERTS - 1)
    assert pauses[MOST_REVERTS - 1 :] == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600, 3600]
    await found.take_up("one", now=9)
    (one,) = await found.open(CHAIN, 9)
    assert (one.state, one.not_before) == (State.WANTED, 0)


async def test_what_was_given_up_has_not_ended_and_is_sent_when_an_operator_says_so(
    db: Database,
) -> None:
    found = Sendings(db)
    await want(db, intent(kind=Kind.CANCEL), now=1)
    for time in range(MOST_REVERTS):
        (one,) = await found.open(CHAIN, 9)
        assert not one.given_up
        await in_vain(found, time)
    (one,) = await found.open(CHAIN, 9)
    assert (one.given_up, one.state, one.why) == (True, State.WANTED, "it reverted")
    assert await found.at_hand(CHAIN, 8) == [one], "it is looked up on the chain"
    await found.take_up("one", now=9)
    (one,) = await found.open(CHAIN, 9)
    assert (one.given_up, one.state, one.reverts) == (False, State.WANTED, 0)


async def test_the_first_end_counts(db: Database) -> None:
    found = Sendings(db)
    await want(db, intent(), now=1)
    (one,) = await found.open(CHAIN, 9)
    await found.end(one.id, State.FINAL, None, now=3)
    await found.end(one.id, State.FAILED, "too late", now=4)
    await found.mined(one.id, 4, "0xb")
    (one,) = await found.of("one", 10)
    assert (one.state, one.why, one.done_at) == (State.FINAL, None, 3)


async def test_an_event_of_ours_that_the_journal_calls_final_ends_it(db: Database) -> None:
    found, journal = Sendings(db), Journal(db)
    await want(db, intent(), now=1)
    (one,) = await found.open(CHAIN, 9)
    first, second = block(1), block(2)
    events = logged(first, plan(), *mint(7))
    await found.sign(one, ME, 0, lambda nonce: attempt(nonce, f"0x{events[1].tx_hash[2:]:0>64}"))
    await found.mined(one.id, first.number, first.hash)
    genesis = block(0)
    await journal.commit_batch(SOURCE.name, batch(None, [genesis, first], events, genesis), 1)
    assert await found.final_in_journal(CHAIN) == set()
    await journal.commit_batch(SOURCE.name, batch(first, [second], (), first), 1)
    assert await found.final_in_journal(CHAIN) == {one.id}


async def test_a_pass_gets_all_that_binds_a_nonce_and_some_of_what_is_due(db: Database) -> None:
    found = Sendings(db)
    for number in range(MOST_DUE + 2):
        await want(db, intent(f"lease {number}"), now=1)
    first, second, *_ = await found.open(CHAIN, 2)
    await signed(found, first)
    await found.waits(second.id, "it is held", until=50)
    assert len(await found.at_hand(CHAIN, 49)) == 1 + MOST_DUE
    assert second.id not in {each.id for each in await found.at_hand(CHAIN, 49)}
    assert second.id in {each.id for each in await found.at_hand(CHAIN, 50)}
    assert await found.counts(CHAIN) == {State.SIGNED: 1, State.WANTED: MOST_DUE + 1}
    assert await found.counts(CHAIN + 1) == {}

"""What stands about a lease is what is so of its intents, from the commit that makes it so."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chainwatch.domain.sendings import MOST_REVERTS, Attempt, Call, Intent, Kind, Offer, State
from chainwatch.store.alarms import Alarms
from chainwatch.store.database import Database
from chainwatch.store.sender_alarms import FAILED, REFUSED
from chainwatch.store.sendings import Sendings
from tests.support.stored import SOURCE, Crash, crash_at, opened
from tests.support.wanting import want

ME = "0x" + "ee" * 20


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with opened(tmp_path / "db") as made:
        yield made


async def wanted(db: Database, kind: Kind, cause: str = "c", lease: str = "one") -> int:
    """Want something; returns its number."""
    call = Call(SOURCE.contract, "0x01")
    assert await want(db, Intent(SOURCE.name, kind, lease, cause, call), now=1)
    (newest, *_) = await Sendings(db).of(lease, 1)
    return newest.id


async def given_up(db: Database, kind: Kind, cause: str = "c", lease: str = "one") -> int:
    """Want something, and have it revert too often; returns its number."""
    one = await wanted(db, kind, cause, lease)
    for _ in range(MOST_REVERTS):
        await Sendings(db).released(one, "it reverted", reverted=True, now=8)
    return one


async def refused(db: Database, kind: Kind) -> int:
    one = await wanted(db, kind)
    await Sendings(db).refused(one, "no role", now=8, pause=60)
    return one


async def signed(db: Database, number: int, *, void: bool) -> None:
    one = next(each for each in await Sendings(db).of("one", 9) if each.id == number)
    await Sendings(db).sign(
        *(one, ME, 0),
        lambda nonce: Attempt(f"0x{nonce + 1:064x}", "0xraw", nonce, 9, Offer(9, 1), void, 5, 6),
    )


async def stand(db: Database, name: str, lease: str = "one") -> str:
    """Return what an alarm says, '' where it does not stand."""
    stands = [each for each in await Alarms(db).all() if (each.name, each.subject) == (name, lease)]
    return "".join(each.text for each in stands)


@pytest.mark.parametrize(("edge", "reverts"), [("before", 2), ("after", 3)])
async def test_a_crash_leaves_nothing_given_up_of_which_nobody_is_told(
    db: Database, edge: str, reverts: int
) -> None:
    one = await wanted(db, Kind.BURN)
    for _ in range(MOST_REVERTS - 1):
        await Sendings(db).released(one, "it reverted", reverted=True, now=8)
        assert await stand(db, FAILED) == ""
    with crash_at(f"commit.sending_seen.{edge}"), pytest.raises(Crash):
        await Sendings(db).released(one, "it reverted", reverted=True, now=8)
    (left,) = await Sendings(db).of("one", 9)
    assert left.reverts == reverts
    assert (await stand(db, FAILED) != "") is left.given_up is (edge == "after")


async def test_of_each_that_was_given_up_it_is_told_until_that_very_one_ends(db: Database) -> None:
    await given_up(db, Kind.UPGRADE)
    burn = await given_up(db, Kind.BURN)
    await given_up(db, Kind.BURN, lease="two")
    text = "it reverted 3 times and was given up; `chainwatch retry` has it tried again"
    assert await stand(db, FAILED) == f"upgrade: {text}; burn: {text}"
    other = await wanted(db, Kind.UPGRADE, "another")
    await Sendings(db).end(other, State.FINAL, None, now=9)
    assert await stand(db, FAILED) == f"upgrade: {text}; burn: {text}"
    await Sendings(db).end(burn, State.FAILED, "the lease is gone", now=9)
    assert await stand(db, FAILED) == f"upgrade: {text}"
    await Sendings(db).take_up("one", now=9)
    assert await stand(db, FAILED) == ""
    assert await stand(db, FAILED, "two") == f"burn: {text}"


async def test_a_connection_that_was_given_up_is_not_told_of_once_a_later_one_is_wanted(
    db: Database,
) -> None:
    await given_up(db, Kind.PUBLISH)
    assert await stand(db, FAILED) != ""
    later = await wanted(db, Kind.PUBLISH, "later")
    await signed(db, later, void=False)
    assert await stand(db, FAILED) == ""


async def test_of_each_that_is_refused_it_is_told_until_that_very_one_is_signed(
    db: Database,
) -> None:
    publish, upgrade = await refused(db, Kind.PUBLISH), await refused(db, Kind.UPGRADE)
    text = "no role; it is tried again in 60 s"
    assert await stand(db, REFUSED) == f"publish: {text}; upgrade: {text}"
    await signed(db, publish, void=False)
    assert await stand(db, REFUSED) == f"upgrade: {text}"
    await Sendings(db).end(upgrade, State.FAILED, "too late", now=9)
    assert await stand(db, REFUSED) == ""


async def test_what_does_nothing_is_no_sign_that_a_contract_refuses_no_more(db: Database) -> None:
    one = await refused(db, Kind.DELIVER)
    await signed(db, one, void=True)
    assert await stand(db, REFUSED) != ""


async def test_a_delivery_that_reverts_is_told_and_goes_on(db: Database) -> None:
    one = await given_up(db, Kind.DELIVER)
    assert "is tried again ever more rarely, until its time is over" in await stand(db, FAILED)
    (left,) = await Sendings(db).of("one", 9)
    assert not left.given_up
    await Sendings(db).end(one, State.FAILED, "its time is over", now=9)
    assert await stand(db, FAILED) == ""

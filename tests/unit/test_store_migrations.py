"""A database of an earlier version keeps all that it holds."""

import sqlite3
from pathlib import Path
from typing import Final

import pytest

from chainwatch.domain.sendings import Kind, State
from chainwatch.store import schema
from chainwatch.store.encoding import number_of, sortable
from chainwatch.store.sendings import Sendings
from tests.support.stored import SOURCE, opened

NUMBERS: Final = (0, 1, 15, 16, 0x100, 10**18, 2**64 - 1, 2**255, 2**256 - 1)


def at_version(path: Path, version: int) -> sqlite3.Connection:
    """A database as the program of that schema made it."""
    db = sqlite3.connect(path, isolation_level=None)
    for sql in schema.scripts()[:version]:
        db.executescript(sql)
    db.execute(f"PRAGMA user_version = {version}")
    return db


def with_source(db: sqlite3.Connection) -> None:
    db.execute(
        "INSERT INTO source (name, chain_id, contract, start_block, profile)"
        " VALUES (?, ?, ?, ?, ?)",
        (SOURCE.name, SOURCE.chain_id, SOURCE.contract, SOURCE.start_block, SOURCE.profile),
    )


def with_numbers(db: sqlite3.Connection) -> None:
    """A source whose tokens, plans and expiries are `NUMBERS`, written as version 3 wrote them."""
    with_source(db)
    for place, number in enumerate(NUMBERS):
        text = f"{number:064x}"
        db.execute(
            "INSERT INTO lease VALUES (?, ?, ?, '0xo', 'n', 1, ?, ?, 'key', '', 0, 5, NULL)",
            (f"lease-{number}", SOURCE.name, text, text if number else None, text),
        )
        for token, plan in ((text, None), (None, text)):
            db.execute(
                "INSERT INTO event (source, block, block_hash, log_index, tx_hash, kind, token,"
                " plan, fields, seen_at, orphaned_at)"
                " VALUES (?, ?, ?, ?, '0xt', 'k', ?, ?, '{}', 7, ?)",
                (SOURCE.name, place, f"0x{place}", 0 if token else 1, token, plan, place or None),
            )
        db.execute("INSERT INTO plan VALUES (?, ?, '{}')", (SOURCE.name, text))


async def test_tokens_plans_and_expiries_of_64_digits_are_written_anew(tmp_path: Path) -> None:
    old = at_version(tmp_path / "db", 3)
    with_numbers(old)
    old.close()
    async with opened(tmp_path / "db") as db, db.reading() as read:
        leases = await read.rows("SELECT * FROM lease ORDER BY token")
        tokens = await read.rows("SELECT * FROM event WHERE plan IS NULL ORDER BY token")
        plans = await read.rows("SELECT * FROM event WHERE token IS NULL ORDER BY plan")
        sold = await read.rows("SELECT id FROM plan ORDER BY id")
    assert [number_of(row["token"]) for row in leases] == list(NUMBERS)
    assert [row["id"] for row in leases] == [f"lease-{number}" for number in NUMBERS]
    assert [number_of(row["expires_at"]) for row in leases] == list(NUMBERS)
    assert leases[0]["plan"] is None
    assert [number_of(row["plan"]) for row in leases[1:]] == list(NUMBERS[1:])
    assert {tuple(row)[-5:] for row in leases} == {("", 0, 5, None, 0)}
    assert [number_of(row["token"]) for row in tokens] == list(NUMBERS)
    assert [number_of(row["plan"]) for row in plans] == list(NUMBERS)
    assert [row["orphaned_at"] for row in tokens] == [None, *range(1, len(NUMBERS))]
    assert [row["id"] for row in tokens] == list(range(1, 2 * len(NUMBERS), 2))
    assert [number_of(row["id"]) for row in sold] == list(NUMBERS)


async def test_what_was_given_up_by_an_earlier_version_is_not_at_its_end(tmp_path: Path) -> None:
    old = at_version(tmp_path / "db", 9)
    with_source(old)
    for kind, reverts in (("burn", 3), ("cancel", 2), ("deliver", 3)):
        old.execute(
            "INSERT INTO sending (source, kind, lease, cause, target, data, value, chain_id,"
            " wanted_at, state, reverts, done_at) VALUES (?, ?, 'one', 'c', ?, '0x', ?, 1, 1,"
            " 'failed', ?, 5)",
            (SOURCE.name, kind, SOURCE.contract, sortable(0), reverts),
        )
    old.close()
    async with opened(tmp_path / "db") as db:
        found = await Sendings(db).of("one", 9)
    assert {each.intent.kind: each.state for each in found} == {
        Kind.BURN: State.WANTED,
        Kind.CANCEL: State.FAILED,
        Kind.DELIVER: State.FAILED,
    }


def test_what_is_stored_sorts_as_the_numbers_do() -> None:
    texts = [sortable(number) for number in NUMBERS]
    assert texts == sorted(texts)
    assert [number_of(text) for text in texts] == list(NUMBERS)


@pytest.mark.parametrize("number", [-1, 2**256])
def test_what_is_no_uint256_is_not_stored(number: int) -> None:
    with pytest.raises(ValueError, match="is not a uint256"):
        sortable(number)

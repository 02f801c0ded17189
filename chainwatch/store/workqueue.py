"""Which keys want a pass of the reconciler, and not before when.

A row is a key and never a payload: whoever takes it reads the world again, so enqueuing twice is
enqueuing once. Law: news is never lost. Each enqueue raises the row's `seq`; a pass that ends says
which `seq` it took, and whatever came in between makes the key due again at once. A parked key
stays parked until an operator says otherwise or the chain says something new about it.
"""

import json
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from chainwatch.store.database import Database, Transaction

#: What is written in the same commit.
Also: TypeAlias = Callable[[Transaction], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class WorkItem:
    """A key taken for a pass: `seq` says what it knew of, `attempts` failures came before."""

    key: str
    seq: int
    attempts: int
    reason: str


@dataclass(frozen=True, slots=True)
class WorkRow:
    """A key's row as it stands; wall seconds."""

    key: str
    not_before: int
    attempts: int
    reason: str
    last_error: str | None
    parked_at: int | None
    parked_reason: str | None


_ROW = "SELECT key, not_before, attempts, reason, last_error, parked_at, parked_reason FROM work"


def enqueue(tx: Transaction, keys: Iterable[str], reason: str) -> None:
    """Make keys due at once, within a transaction that has more to say."""
    _upsert(tx, keys, reason, "seq = seq + 1, not_before = 0, reason = excluded.reason")


def renew(tx: Transaction, keys: Iterable[str], reason: str) -> None:
    """Make keys due at once because the chain or its time moved, parked ones too.

    What was given up was one step of a machine as it should have been then; what has to be taken
    away or let in now is another, and nobody may escape it by having been parked.
    """
    _upsert(
        *(tx, keys, reason),
        "seq = seq + 1, not_before = 0, reason = excluded.reason, parked_at = NULL,"
        " parked_reason = NULL",
    )


def _upsert(tx: Transaction, keys: Iterable[str], reason: str, known: str) -> None:
    rows = [(key, reason, 1, 0, 0) for key in keys]
    columns = "work (key, reason, seq, not_before, attempts)"
    tx.insert(columns, rows, f"ON CONFLICT (key) DO UPDATE SET {known}")


class WorkQueue:
    """The queue; `now` and `not_before` are wall seconds throughout."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def enqueue(self, keys: Iterable[str], reason: str) -> None:
        """Make keys due at once, because of `reason`."""
        async with self._db.transaction("enqueue") as tx:
            enqueue(tx, keys, reason)

    async def due(
        self,
        now: int,
        limit: int,
        exclude: Collection[str] = (),
        early: Collection[str] = (),
    ) -> list[WorkItem]:
        """Return up to `limit` keys whose time has come, without those in `exclude`.

        `exclude` names the keys that a pass has in hand: what is returned is not marked as taken.
        `early` are keys of the queue whose time has come between two whole seconds.
        """
        first = await self._early(early, exclude) if early else []
        return [*first[:limit], *await self._due(now, limit - len(first), {*exclude, *early})]

    async def _early(self, keys: Collection[str], exclude: Collection[str]) -> list[WorkItem]:
        async with self._db.reading() as read:
            rows = await read.rows(
                "SELECT key, seq, attempts, reason FROM work WHERE parked_at IS NULL"
                " AND key IN (SELECT value FROM json_each(?1))"
                " AND key NOT IN (SELECT value FROM json_each(?2))",
                *(json.dumps(list(keys)), json.dumps(list(exclude))),
            )
        return [WorkItem(*row) for row in rows]

    async def _due(self, now: int, limit: int, exclude: Collection[str]) -> list[WorkItem]:
        if limit <= 0:
            return []
        async with self._db.reading() as read:
            rows = await read.rows(
                "SELECT key, seq, attempts, reason FROM work"
                " WHERE parked_at IS NULL AND not_before <= ?"
                " AND key NOT IN (SELECT value FROM json_each(?)) ORDER BY not_before LIMIT ?",
                *(now, json.dumps(list(exclude)), limit),
            )
        return [WorkItem(*row) for row in rows]

    async def next_due(self, now: int) -> int | None:
        """Return when the next key that is not due yet becomes due."""
        async with self._db.reading() as read:
            row = await read.one(
                "SELECT min(not_before) FROM work WHERE parked_at IS NULL AND not_before > ?", now
            )
        return None if row is None else row[0]

    async def done(
        self, item: WorkItem, recheck_at: int | None = None, also: Also | None = None
    ) -> None:
        """End a pass: the key leaves, or is due again at `recheck_at`; at once if there is news.

        `also` writes in the same commit what the pass leaves to be done elsewhere.
        """
        async with self._db.transaction("work") as tx:
            if also is not None:
                await also(tx)
            if recheck_at is None:
                await tx.run("DELETE FROM work WHERE key = ? AND seq = ?", item.key, item.seq)
            await tx.run(
                "UPDATE work SET attempts = 0, last_error = NULL,"
                " not_before = CASE WHEN seq = ? THEN ? ELSE not_before END WHERE key = ?",
                *(item.seq, recheck_at, item.key),
            )

    async def failed(
        self, item: WorkItem, error: str, not_before: int, also: Also | None = None
    ) -> None:
        """End a failed pass: the key is due again at `not_before`; at once if there is news."""
        async with self._db.transaction("work") as tx:
            if also is not None:
                await also(tx)
            await tx.run(
                "UPDATE work SET attempts = attempts + 1, last_error = ?,"
                " not_before = CASE WHEN seq = ? THEN ? ELSE not_before END WHERE key = ?",
                *(error, item.seq, not_before, item.key),
            )

    async def park(self, item: WorkItem, reason: str, now: int, also: Also | None = None) -> None:
        """Give a key up until somebody speaks; if somebody has meanwhile, it stays due instead."""
        async with self._db.transaction("work") as tx:
            if also is not None:
                await also(tx)
            await tx.run(
                "UPDATE work SET attempts = attempts + 1, last_error = ?, parked_at = ?,"
                " parked_reason = ? WHERE key = ? AND seq = ?",
                *(reason, now, reason, item.key, item.seq),
            )

    async def unpark(self, key: str) -> bool:
        """Make a parked key due at once; false when it is not parked."""
        async with self._db.transaction("work") as tx:
            unparked = await tx.rows(
                "UPDATE work SET seq = seq + 1, not_before = 0, attempts = 0,"
                " parked_at = NULL, parked_reason = NULL,"
                " reason = 'retried by an operator'"
                " WHERE key = ? AND parked_at IS NOT NULL RETURNING key",
                key,
            )
        return bool(unparked)

    async def row(self, key: str) -> WorkRow | None:
        """Return where a key stands; None when nothing is to be done for it."""
        async with self._db.reading() as read:
            row = await read.one(f"{_ROW} WHERE key = ?", key)
        return None if row is None else WorkRow(*row)

    async def keys(self) -> frozenset[str]:
        """Return every key that is in the queue, due, waiting or parked."""
        async with self._db.reading() as read:
            return frozenset(row["key"] for row in await read.rows("SELECT key FROM work"))

    async def parked(self) -> list[WorkRow]:
        """Return what was given up, longest ago first."""
        async with self._db.reading() as read:
            rows = await read.rows(f"{_ROW} WHERE parked_at IS NOT NULL ORDER BY parked_at, key")
        return [WorkRow(*row) for row in rows]

    async def depth(self, now: int) -> int:
        """Return how many keys are due."""
        async with self._db.reading() as read:
            row = await read.one(
                "SELECT count(*) FROM work WHERE parked_at IS NULL AND not_before <= ?", now
            )
        return 0 if row is None else row[0]

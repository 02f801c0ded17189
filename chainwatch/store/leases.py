"""The leases at their sources' cursors, for whoever lists or shows them.

What decides about a lease is read elsewhere (`store.standings`), in one view; here are the rows,
their history, and the chain times that wake them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chainwatch.domain.lease import Lease, LeaseId, Plan
from chainwatch.errors import OperatorError
from chainwatch.store.database import Database, Reading, Row
from chainwatch.store.encoding import number_of, plan_from, sortable
from chainwatch.store.journal import JournalEntry, entry_from
from chainwatch.store.projection import EVENT, LEASE, lease_from

_LAST_SECOND = 2**63 - 1


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """A lease at its source's cursor.

    `lease` is None when it is gone: a reorg took its mint back. `nonce` and `plan` are then the
    last known. The wakes are the chain times that its key waits for.
    """

    id: LeaseId
    source: str
    lease: Lease | None
    nonce: str
    plan: int | None
    wake_at: int | None
    wake_final_at: int | None

    @property
    def gone(self) -> bool:
        return self.lease is None


class Leases:
    """Reads leases, named by their CAIP-19 id; writes only their wakes."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def get(self, lease: str) -> LeaseRow | None:
        async with self._db.reading() as read:
            return await row_of(read, lease)

    async def ids(self, source: str | None = None) -> list[str]:
        """Return the id of every lease (of a source) that was ever seen."""
        async with self._db.reading() as read:
            rows = await read.rows(
                "SELECT id FROM lease WHERE ?1 IS NULL OR source = ?1 ORDER BY id", source
            )
        return [row["id"] for row in rows]

    async def sold(self) -> Mapping[str, tuple[str, int | None]]:
        """Return of every lease that was ever seen its source, and the number of its plan."""
        async with self._db.reading() as read:
            rows = await read.rows("SELECT id, source, plan FROM lease")
        return {key: (name, None if n is None else number_of(n)) for key, name, n in rows}

    async def by_token(self, token: int) -> LeaseRow | None:
        """Find a lease by its bare token id. Raises OperatorError when several sources have it."""
        async with self._db.reading() as read:
            rows = await read.rows(f"{LEASE} WHERE token = ? ORDER BY id", sortable(token))
        if len(rows) > 1:
            ids = "\n  ".join(row["id"] for row in rows)
            raise OperatorError(f"token {token} is of several leases; say which:\n  {ids}")
        return _lease_row(rows[0]) if rows else None

    async def all(
        self, *, source: str | None = None, after: str = "", limit: int = 1000
    ) -> list[LeaseRow]:
        """Return up to `limit` leases in the order of their ids, those after the id `after`."""
        async with self._db.reading() as read:
            rows = await read.rows(
                f"{LEASE} WHERE id > ?1 AND (?2 IS NULL OR source = ?2) ORDER BY id LIMIT ?3",
                *(after, source, limit),
            )
        return [_lease_row(row) for row in rows]

    async def plan(self, source: str, number: int | None) -> Plan | None:
        async with self._db.reading() as read:
            return await plan_of(read, source, number)

    async def plans(self, source: str) -> Mapping[int, Plan]:
        """Return everything that a source sells or has sold."""
        async with self._db.reading() as read:
            rows = await read.rows("SELECT fields FROM plan WHERE source = ? ORDER BY id", source)
        return {plan.id: plan for plan in (plan_from(row["fields"]) for row in rows)}

    async def history(self, lease: str) -> list[JournalEntry]:
        """Return everything the chain ever said about a lease, oldest first, orphaned included."""
        async with self._db.reading() as read:
            row = await row_of(read, lease)
            if row is None:
                return []
            rows = await read.rows(
                f"{EVENT} WHERE source = ? AND token = ? ORDER BY block, log_index, id",
                *(row.source, sortable(row.id.token)),
            )
        return [entry_from(found) for found in rows]

    async def set_wakes(self, lease: str, wake_at: int | None, wake_final_at: int | None) -> None:
        """Have the key enqueued once the cursor, or the finalized block, reaches a chain time.

        Where that is what the row says, nothing is written, and no disk is waited for.
        """
        async with self._db.transaction("wake") as tx:
            await tx.run(
                "UPDATE lease SET wake_at = ?1, wake_final_at = ?2 WHERE id = ?3"
                " AND (wake_at IS NOT ?1 OR wake_final_at IS NOT ?2)",
                *(_second(wake_at), _second(wake_final_at), lease),
            )


def _lease_row(row: Row) -> LeaseRow:
    return LeaseRow(
        id=LeaseId.parse(row["id"]),
        source=row["source"],
        lease=lease_from(row),
        nonce=row["nonce"],
        plan=None if row["plan"] is None else number_of(row["plan"]),
        wake_at=row["wake_at"],
        wake_final_at=row["wake_final_at"],
    )


def rows_from(rows: Sequence[Row]) -> tuple[LeaseRow, ...]:
    """Read rows of `projection.LEASE` back."""
    return tuple(map(_lease_row, rows))


def _second(time: int | None) -> int | None:
    """Bring a chain time that a contract chose into SQLite's range; beyond it is never anyway."""
    return None if time is None else min(time, _LAST_SECOND)


async def row_of(read: Reading, lease: str) -> LeaseRow | None:
    """Return a lease's row, within a view that reads more."""
    row = await read.one(f"{LEASE} WHERE id = ?", lease)
    return None if row is None else _lease_row(row)


async def plan_of(read: Reading, source: str, number: int | None) -> Plan | None:
    """Return what a source sells under a number, within a view that reads more."""
    if number is None:
        return None
    row = await read.one(
        "SELECT fields FROM plan WHERE source = ? AND id = ?", source, sortable(number)
    )
    return None if row is None else plan_from(row["fields"])

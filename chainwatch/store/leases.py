"""The leases as stored: at the cursor, at the finalized block, and proof that both are the fold.

Law: whoever decides about a lease reads everything it decides by in one snapshot (`facts`). The
expiry of one commit and the chain time of the next would suspend a lease whose renewal came with
that very commit.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from chainwatch.domain.batches import SourceState
from chainwatch.domain.events import ZERO_ADDRESS, Transferred
from chainwatch.domain.lease import Lease, LeaseId, Plan, fold_all, nonce_of
from chainwatch.errors import OperatorError
from chainwatch.store.database import Database, Reading, Row
from chainwatch.store.encoding import hex64, plan_from
from chainwatch.store.journal import JournalEntry, entry_from, state_of
from chainwatch.store.projection import EVENT, LEASE, lease_from, logged_from

_LAST_SECOND = 2**63 - 1
_OF_TOKEN = f"{EVENT} WHERE source = ? AND token = ?"


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


@dataclass(frozen=True, slots=True)
class LeaseFacts:
    """All that the chain says about a lease, read at one moment.

    `final` is the lease folded up to the source's finalized block; None when it was not minted
    there. `former_nonces` are those whose machines may still stand.
    """

    row: LeaseRow
    final: Lease | None
    plan: Plan | None
    source: SourceState
    former_nonces: frozenset[str]


class Leases:
    """Reads leases; writes only their wakes. Unknown leases are None throughout."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def get(self, lease: LeaseId) -> LeaseRow | None:
        async with self._db.reading() as read:
            return await _row_of(read, lease)

    async def by_token(self, token: int) -> LeaseRow | None:
        """Find a lease by its bare token id. Raises OperatorError when several sources have it."""
        async with self._db.reading() as read:
            rows = await read.rows(f"{LEASE} WHERE token = ? ORDER BY id", hex64(token))
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

    async def facts(self, lease: LeaseId) -> LeaseFacts | None:
        """Return everything to decide by, from one snapshot."""
        async with self._db.reading() as read:
            row = await _row_of(read, lease)
            if row is None:
                return None
            state = await state_of(read, row.source)
            return LeaseFacts(
                row,
                await _at_final(read, row, state),
                await _plan(read, row.source, row.plan),
                state,
                await _former_nonces(read, row),
            )

    async def at_final(self, lease: LeaseId) -> Lease | None:
        """Return the lease folded up to its source's finalized block."""
        facts = await self.facts(lease)
        return facts.final if facts else None

    async def former_nonces(self, lease: LeaseId) -> frozenset[str]:
        """Return the nonces of every mint ever seen, orphaned or not, but the current one."""
        facts = await self.facts(lease)
        return facts.former_nonces if facts else frozenset()

    async def plan(self, source: str, number: int) -> Plan | None:
        async with self._db.reading() as read:
            return await _plan(read, source, number)

    async def plans(self, source: str) -> Mapping[int, Plan]:
        """Return everything that a source sells or has sold."""
        async with self._db.reading() as read:
            rows = await read.rows("SELECT fields FROM plan WHERE source = ? ORDER BY id", source)
        return {plan.id: plan for plan in (plan_from(row["fields"]) for row in rows)}

    async def history(self, lease: LeaseId) -> list[JournalEntry]:
        """Return everything the chain ever said about a lease, oldest first, orphaned included."""
        async with self._db.reading() as read:
            row = await _row_of(read, lease)
            if row is None:
                return []
            return await _history(read, row)

    async def set_wakes(
        self, lease: LeaseId, wake_at: int | None, wake_final_at: int | None
    ) -> None:
        """Have the key enqueued once the cursor, or the finalized block, reaches a chain time."""
        async with self._db.transaction("wake") as tx:
            await tx.run(
                "UPDATE lease SET wake_at = ?, wake_final_at = ? WHERE id = ?",
                *(_second(wake_at), _second(wake_final_at), str(lease)),
            )


def _lease_row(row: Row) -> LeaseRow:
    return LeaseRow(
        id=LeaseId.parse(row["id"]),
        source=row["source"],
        lease=lease_from(row),
        nonce=row["nonce"],
        plan=None if row["plan"] is None else int(row["plan"], 16),
        wake_at=row["wake_at"],
        wake_final_at=row["wake_final_at"],
    )


def _second(time: int | None) -> int | None:
    """Bring a chain time that a contract chose into SQLite's range; beyond it is never anyway."""
    return None if time is None else min(time, _LAST_SECOND)


async def _row_of(read: Reading, lease: LeaseId) -> LeaseRow | None:
    row = await read.one(f"{LEASE} WHERE id = ?", str(lease))
    return None if row is None else _lease_row(row)


async def _plan(read: Reading, source: str, number: int | None) -> Plan | None:
    if number is None:
        return None
    row = await read.one(
        "SELECT fields FROM plan WHERE source = ? AND id = ?", source, hex64(number)
    )
    return None if row is None else plan_from(row["fields"])


async def _at_final(read: Reading, row: LeaseRow, state: SourceState) -> Lease | None:
    if state.final is None:
        return None
    rows = await read.rows(
        f"{_OF_TOKEN} AND block <= ? AND orphaned_at IS NULL ORDER BY block, log_index",
        *(row.source, hex64(row.id.token), state.final.number),
    )
    return fold_all(map(logged_from, rows))


async def _history(read: Reading, row: LeaseRow) -> list[JournalEntry]:
    rows = await read.rows(
        f"{_OF_TOKEN} ORDER BY block, log_index, id", row.source, hex64(row.id.token)
    )
    return [entry_from(found) for found in rows]


async def _former_nonces(read: Reading, row: LeaseRow) -> frozenset[str]:
    rows = await read.rows(f"{_OF_TOKEN} AND kind = 'transferred'", row.source, hex64(row.id.token))
    mints = [
        logged
        for logged in map(logged_from, rows)
        if isinstance(logged.event, Transferred) and logged.event.sender == ZERO_ADDRESS
    ]
    return frozenset(nonce_of(mint.tx_hash, row.id.token) for mint in mints) - {row.nonce}

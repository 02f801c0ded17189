"""Who changed what by hand, and why: append-only.

What an operator does and the line that says so commit together (`record`, inside the change's own
transaction), so that no hold and no pause exists that nobody can account for.
"""

from dataclasses import dataclass

from chainwatch.store.database import Database, Transaction


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One act of user `uid` on `subject` (a lease, or a word for the whole), at wall seconds."""

    id: int
    uid: int
    what: str
    subject: str
    why: str
    at: int


async def record(tx: Transaction, uid: int, what: str, subject: str, why: str, *, now: int) -> None:
    """Write a line within the transaction of what it speaks of."""
    await tx.run(
        "INSERT INTO audit (uid, what, subject, why, at) VALUES (?, ?, ?, ?, ?)",
        *(uid, what, subject, why, now),
    )


class Audit:
    """The record of what people did; for acts that have a transaction of their own see `record`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def append(self, uid: int, what: str, subject: str, why: str, *, now: int) -> None:
        """Write a line about an act that changes no row of its own (`rebuild`)."""
        async with self._db.transaction("audit") as tx:
            await record(tx, uid, what, subject, why, now=now)

    async def recent(self, limit: int, subject: str | None = None) -> list[AuditEntry]:
        """Return the last lines (about one subject), newest first."""
        async with self._db.reading() as read:
            rows = await read.rows(
                "SELECT id, uid, what, subject, why, at FROM audit"
                " WHERE ?1 IS NULL OR subject = ?1 ORDER BY id DESC LIMIT ?2",
                *(subject, limit),
            )
        return [AuditEntry(*row) for row in rows]

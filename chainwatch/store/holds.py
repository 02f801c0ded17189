"""What operators forbid: holds of one lease, and pauses of everything.

A hold blocks suspend, destroy and rebuild of a lease; a suspend (abuse) keeps it suspended whatever
the chain says. A pause stops every effect, or every destroy; ingestion goes on. All of it survives
a restart, and each change commits together with its line in the audit.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from chainwatch.domain.desired import Hold
from chainwatch.errors import OperatorError
from chainwatch.store import audit, workqueue
from chainwatch.store.database import Database, Reading

#: What is paused: everything that changes a machine, or only destroys.
Scope: TypeAlias = Literal["effects", "destroys"]


@dataclass(frozen=True, slots=True)
class HoldRow:
    """User `uid` holds a lease since `since` (wall seconds)."""

    lease: str
    kind: Hold
    reason: str
    uid: int
    since: int


@dataclass(frozen=True, slots=True)
class Pause:
    """User `uid` paused `scope` at `since` (wall seconds)."""

    scope: Scope
    reason: str
    uid: int
    since: int


class Holds:
    """Sets, lifts and lists; `now` is wall seconds. A reason is required for whatever is set."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def hold(self, lease: str, kind: Hold, reason: str, uid: int, *, now: int) -> None:
        """Hold a lease; a second hold of a kind keeps the first's reason. Its key becomes due."""
        _need(reason)
        async with self._db.transaction("hold") as tx:
            await tx.run(
                "INSERT INTO hold (lease, kind, reason, uid, since) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (lease, kind) DO NOTHING",
                *(lease, kind.value, reason, uid, now),
            )
            await audit.record(tx, uid, kind.value, lease, reason, now=now)
            workqueue.enqueue(tx, [lease], f"an operator asked for {kind.value}")

    async def release(self, lease: str, kind: Hold, reason: str, uid: int, *, now: int) -> None:
        """Lift a hold; its key becomes due. Raises OperatorError when there is none."""
        async with self._db.transaction("hold") as tx:
            lifted = await tx.rows(
                "DELETE FROM hold WHERE lease = ? AND kind = ? RETURNING lease", lease, kind.value
            )
            if not lifted:
                raise OperatorError(
                    f"{lease} has no {kind.value}; `chainwatch show` lists what it has"
                )
            await audit.record(tx, uid, f"release {kind.value}", lease, reason, now=now)
            workqueue.enqueue(tx, [lease], f"an operator lifted its {kind.value}")

    async def of(self, lease: str) -> list[HoldRow]:
        """Return the holds of a lease."""
        return [hold for hold in await self.all() if hold.lease == lease]

    async def all(self) -> list[HoldRow]:
        async with self._db.reading() as read:
            rows = await read.rows(
                "SELECT lease, kind, reason, uid, since FROM hold ORDER BY lease, kind"
            )
        return [HoldRow(lease, Hold(kind), *rest) for lease, kind, *rest in rows]

    async def pause(self, scope: Scope, reason: str, uid: int, *, now: int) -> None:
        """Pause; a second pause of a scope keeps the first's reason."""
        _need(reason)
        async with self._db.transaction("hold") as tx:
            await tx.run(
                "INSERT INTO pause (scope, reason, uid, since) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (scope) DO NOTHING",
                *(scope, reason, uid, now),
            )
            await audit.record(tx, uid, "pause", scope, reason, now=now)

    async def resume(self, reason: str, uid: int, *, now: int) -> list[Pause]:
        """Lift every pause and return what was lifted."""
        async with self._db.transaction("hold") as tx:
            lifted = await tx.rows("DELETE FROM pause RETURNING scope, reason, uid, since")
            for row in lifted:
                await audit.record(tx, uid, "resume", row["scope"], reason, now=now)
        return [Pause(*row) for row in lifted]

    async def paused(self, scope: Scope) -> Pause | None:
        """Return the pause of `scope` that stands."""
        return next((pause for pause in await self.pauses() if pause.scope == scope), None)

    async def pauses(self) -> list[Pause]:
        async with self._db.reading() as read:
            rows = await read.rows("SELECT scope, reason, uid, since FROM pause ORDER BY scope")
        return [Pause(*row) for row in rows]


async def hold_of(read: Reading, lease: str) -> Hold | None:
    """Return the strongest hold of a lease, within a view that reads more."""
    rows = await read.rows("SELECT kind FROM hold WHERE lease = ?", lease)
    kinds = {Hold(row["kind"]) for row in rows}
    return Hold.SUSPEND if Hold.SUSPEND in kinds else next(iter(kinds), None)


def _need(reason: str) -> None:
    if not reason.strip():
        raise OperatorError("say why: the reason is shown in status until it is lifted")

"""What is wanted of a machine, once: durable from when it is asked to how it ended.

Whoever asks leaves a row and a key that is due in one commit: an operator with a line in the
audit, an owner with the event that says so (`store/asked.py`). The oldest open order of a lease is
part of what its machine should be; it ends, done, refused or withdrawn with a sentence, exactly
once. One that has begun is not withdrawn: the intent of its first step and the withdrawal are
commits of one writer, and the first of them counts. Numbers grow with time and never come again.
"""

from dataclasses import dataclass, replace
from sqlite3 import Row
from typing import Final

from chainwatch.errors import OperatorError
from chainwatch.store import audit, workqueue
from chainwatch.store.database import Database, Reading, Transaction
from provisioner.model import Order, Verb

#: Orders that take something away from who uses the machine: they need a reason.
TAKING: Final = frozenset({Verb.STOP, Verb.KILL, Verb.ROLLBACK, Verb.REINSTALL})
#: Open orders of one lease at most: whoever sees nothing happen should look, not order again.
MOST: Final = 8

#: What an owner asks for that is no order: it changes what the machine is to be.
UPGRADE: Final = "upgrade"

_WISH: Final = (
    "SELECT number, lease, nonce, verb, name, uid, reason, asked_at, done_at, outcome, said, block,"
    " said_at FROM wish"
)


@dataclass(frozen=True, slots=True)
class Wish:
    """One wish; times are wall seconds. Three are None while it is open.

    `verb` is a `Verb`, or `UPGRADE`, of which `name` is the plan. `block` and `said_at` (chain
    time) are where the owner said it on the chain, None for an operator's.
    """

    number: int
    lease: str
    nonce: str
    verb: str
    name: str
    uid: int | None
    reason: str
    asked_at: int
    done_at: int | None = None
    outcome: str | None = None
    said: str | None = None
    block: int | None = None
    said_at: int | None = None

    @property
    def order(self) -> Order:
        """What the machine is to have done to it."""
        return Order(self.number, Verb(self.verb), self.name)


class Wishes:
    """Asks, ends and lists; `now` is wall seconds."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def ask(
        self, machine: tuple[str, str], order: tuple[Verb, str], reason: str, uid: int, *, now: int
    ) -> Wish:
        """Want (verb, name) of the machine (lease, nonce); its key becomes due.

        Raises OperatorError without the reason that it needs, and while too many are open.
        """
        (lease, nonce), (verb, name) = machine, order
        if verb in TAKING and not reason.strip():
            raise OperatorError("say why: a reason is required, and kept in the audit")
        async with self._db.transaction("wish") as tx:
            rows = await tx.rows(
                "SELECT 1 FROM wish WHERE lease = ? AND done_at IS NULL AND verb <> ?",
                *(lease, UPGRADE),
            )
            if len(rows) >= MOST:
                raise OperatorError(
                    f"{lease} has {len(rows)} orders that are not done yet: `chainwatch show` says "
                    "what they wait for"
                )
            (row,) = await tx.rows(
                "INSERT INTO wish (number, lease, nonce, verb, name, uid, reason, asked_at) VALUES"
                " (max(?7, 1 + (SELECT coalesce(max(number), 0) FROM wish)),"
                " ?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING number",
                *(lease, nonce, verb.value, name, uid, reason, now),
            )
            said = " ".join(filter(None, (verb.value, name)))
            await audit.record(tx, uid, said, lease, reason, now=now)
            workqueue.enqueue(tx, [lease], f"an operator asked for {verb.value}")
        return Wish(row["number"], lease, nonce, verb.value, name, uid, reason, now)

    async def end(self, lease: str, number: int, outcome: str, said: str, *, now: int) -> None:
        """Close a wish, and make its lease due: there may be another. The first end counts."""
        async with self._db.transaction("wish") as tx:
            await tx.run(
                "UPDATE wish SET done_at = ?, outcome = ?, said = ?"
                " WHERE number = ? AND done_at IS NULL",
                *(now, outcome, said, number),
            )
            workqueue.enqueue(tx, [lease], f"its order {number} has ended")

    async def withdraw(self, lease: str, number: int, reason: str, uid: int, *, now: int) -> Wish:
        """End an open wish for which nothing has begun; its key becomes due.

        Raises OperatorError for any other: one that ended, has begun, or is no operator's.
        """
        async with self._db.transaction("wish") as tx:
            row = await tx.one(f"{_WISH} WHERE lease = ? AND number = ?", lease, number)
            if row is None:
                raise OperatorError(f"{lease} has no order {number}; `chainwatch show` lists them")
            wish = _wish(row)
            begun = await tx.one(
                "SELECT step FROM operation WHERE wish = ? AND outcome IS NOT 'failed' LIMIT 1",
                number,
            )
            if refusal := _not_withdrawn(wish, None if begun is None else begun["step"]):
                raise OperatorError(refusal)
            said = f"withdrawn by user {uid}" + (f": {reason}" if reason else "")
            await tx.run(
                "UPDATE wish SET done_at = ?, outcome = 'withdrawn', said = ? WHERE number = ?",
                *(now, said, number),
            )
            await audit.record(tx, uid, f"withdraw {wish.verb} {number}", lease, reason, now=now)
            workqueue.enqueue(tx, [lease], f"its order {number} was withdrawn")
        return replace(wish, done_at=now, outcome="withdrawn", said=said)

    async def failures(self, number: int) -> int:
        """Count how often a step for a wish has failed."""
        async with self._db.reading() as read:
            row = await read.one(
                "SELECT count(*) FROM operation WHERE wish = ? AND outcome = 'failed'", number
            )
        return 0 if row is None else row[0]

    async def of(self, lease: str, limit: int) -> list[Wish]:
        """Return the last wishes of a lease, newest first."""
        async with self._db.reading() as read:
            rows = await read.rows(
                f"{_WISH} WHERE lease = ? ORDER BY number DESC LIMIT ?",
                *(lease, limit),
            )
        return [_wish(row) for row in rows]


async def end_upgrade(tx: Transaction, lease: str, plan: int, said: str, *, now: int) -> None:
    """Refuse the upgrade that an owner asked for, in the commit that says so on the chain."""
    await tx.run(
        "UPDATE wish SET done_at = ?, outcome = 'refused', said = ? WHERE lease = ? AND verb = ?"
        " AND name = ? AND done_at IS NULL",
        *(now, said, lease, UPGRADE, str(plan)),
    )


async def wish_of(read: Reading, lease: str) -> Wish | None:
    """Return the oldest open order of a lease, within a view that reads more."""
    row = await read.one(
        f"{_WISH} WHERE lease = ? AND verb <> ? AND done_at IS NULL ORDER BY number LIMIT 1",
        *(lease, UPGRADE),
    )
    return None if row is None else _wish(row)


def _not_withdrawn(wish: Wish, begun: str | None) -> str | None:
    """Say why an order can't be withdrawn; `begun` is the step that was taken for it."""
    number = wish.number
    if wish.done_at is not None:
        return f"order {number} has ended already ({wish.outcome}): {wish.said}"
    if wish.uid is None:
        return f"order {number} is the chain's, not an operator's: it is done"
    if begun is not None:
        return (
            f"order {number} has begun ({begun}) and can't be withdrawn any more: "
            "`chainwatch show` says how it goes on"
        )
    return None


def _wish(row: Row) -> Wish:
    return Wish(*row)

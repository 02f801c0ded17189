"""The durable log of intents (`provisioner.oplog.OperationLog`), and what can be counted from it.

Law: a row is committed before the call that it speaks of, and stays open until the call's end was
observed. So a crash leaves at worst an intent without an effect, which the next pass looks for by
its UPID, or by its VMID where even the reply is missing. At most one operation is open for each
machine (key, nonce). A VMID is ours from the clone's intent to the observed end of its destroy; a
clone that was seen to fail gives it back, and so does one that went elsewhere the next time,
because what stood there proved to be a stranger.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from chainwatch.domain.tellings import Life
from chainwatch.store.database import Database, Transaction
from chainwatch.store.operation_queries import (
    BIRTH,
    GIVEN_UP,
    INTENDED,
    OCCUPIED,
    OPEN,
    STANDING,
    SWITCHED,
)
from provisioner.errors import Locked, Withdrawn
from provisioner.model import OpenOperation
from provisioner.oplog import Birth
from provisioner.ports import Place


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the log; times are wall seconds, `outcome` is None while it is open."""

    id: int
    key: str
    nonce: str
    step: str
    attempt: int
    vmid: int
    node: str
    upid: str | None
    started: int
    finished: int | None
    outcome: str | None
    error: str | None


class Operations:
    """The log; `wall` tells the wall time in seconds, for the record and the destroy budget."""

    def __init__(self, db: Database, wall: Callable[[], int]) -> None:
        self._db = db
        self._wall = wall

    async def begin(
        self, key: str, step: str, vmid: int, node: str, nonce: str, *, order: int | None = None
    ) -> int:
        """Record the intent. Raises Locked while another operation on (key, nonce) is open.

        Raises Withdrawn for an order that has ended: whoever withdrew it was told that it had not
        begun.
        """
        async with self._db.transaction("operation_begin") as tx:
            other = await tx.one(f"{OPEN} AND key = ? AND nonce = ?", key, nonce)
            if other is not None:
                raise Locked(f"operation {other['id']} ({other['step']}) was not yet seen to end")
            if order is not None and await tx.one(
                "SELECT 1 FROM wish WHERE number = ? AND done_at IS NOT NULL", order
            ):
                raise Withdrawn(f"order {order} was withdrawn meanwhile: nothing was begun for it")
            (row,) = await tx.rows(
                "INSERT INTO operation (key, step, attempt, vmid, node, nonce, started, wish)"
                " VALUES (?1, ?2, 1 + (SELECT count(*) FROM operation"
                " WHERE key = ?1 AND nonce = ?5 AND step = ?2), ?3, ?4, ?5, ?6, ?7) RETURNING id",
                *(key, step, vmid, node, nonce, self._wall(), order),
            )
        return int(row["id"])

    async def record_task(self, operation: int, upid: str) -> None:
        async with self._db.transaction("operation_task") as tx:
            await tx.run(
                "UPDATE operation SET upid = ? WHERE id = ? AND finished IS NULL", upid, operation
            )

    async def finish(self, operation: int, outcome: str, error: str | None = None) -> None:
        """Close an operation; what was closed before stays as it was."""
        async with self._db.transaction("operation_finish") as tx:
            await tx.run(
                "UPDATE operation SET finished = ?, outcome = ?, error = ?"
                " WHERE id = ? AND finished IS NULL",
                *(self._wall(), outcome, error, operation),
            )

    async def adopt(self, key: str, nonce: str, vmid: int, node: str, *, since: int) -> None:
        """Record that the machine at `vmid`, which this log knew nothing of, is (key, nonce).

        Whoever saw it began to look at `since`: one that was destroyed meanwhile stays so.
        """
        async with self._db.transaction("operation_begin") as tx:
            if await tx.one(
                f"{OCCUPIED} AND key = ? AND nonce = ? AND vmid = ?", key, nonce, vmid
            ) or await tx.one(
                "SELECT 1 FROM operation WHERE key = ? AND nonce = ? AND vmid = ?"
                " AND step IN ('destroy', 'gone') AND outcome = 'ok' AND finished >= ?",
                *(key, nonce, vmid, since),
            ):
                return
            await self._note(tx, "adopt", (key, vmid, node, nonce))

    async def gone(self, key: str, nonce: str, vmid: int, node: str) -> None:
        """Record that the machine was proven gone though we did not destroy it."""
        async with self._db.transaction("operation_begin") as tx:
            await self._note(tx, "gone", (key, vmid, node, nonce))

    async def _note(self, tx: Transaction, step: str, machine: tuple[str, int, str, str]) -> None:
        """Write down what was seen of a machine (key, VMID, node, nonce), done as it is noted."""
        await tx.run(
            "INSERT INTO operation"
            " (key, step, attempt, vmid, node, nonce, started, finished, outcome)"
            " VALUES (?1, ?6, 1, ?2, ?3, ?4, ?5, ?5, 'ok')",
            *(*machine, self._wall(), step),
        )

    async def open_for(self, key: str, nonce: str) -> OpenOperation | None:
        async with self._db.reading() as read:
            row = await read.one(f"{OPEN} AND key = ? AND nonce = ?", key, nonce)
        return None if row is None else OpenOperation(*row[1:])

    async def open_all(self) -> list[tuple[str, OpenOperation]]:
        """Return every open operation with its key, oldest first."""
        async with self._db.reading() as read:
            rows = await read.rows(f"{OPEN} ORDER BY id")
        return [(key, OpenOperation(*rest)) for key, *rest in rows]

    async def place(self, key: str, nonce: str) -> Place | None:
        async with self._db.reading() as read:
            row = await read.one(
                "SELECT step, vmid, node FROM operation WHERE key = ? AND nonce = ?"
                " AND (step IN ('clone', 'restore', 'adopt')"
                " OR step IN ('destroy', 'gone') AND outcome = 'ok')"
                " ORDER BY id DESC LIMIT 1",
                *(key, nonce),
            )
        if row is None or row["step"] in ("destroy", "gone"):
            return None
        return Place(row["vmid"], row["node"])

    async def first_place(self, key: str, nonce: str) -> int | None:
        """Return the VMID at which (key, nonce) was first made or adopted, of those that stand."""
        async with self._db.reading() as read:
            row = await read.one(
                "SELECT vmid FROM operation AS made WHERE key = ? AND nonce = ?"
                " AND step IN ('clone', 'restore', 'adopt') AND outcome IS NOT 'failed'"
                " AND NOT EXISTS (SELECT 1 FROM operation AS ended WHERE ended.vmid = made.vmid"
                " AND ended.step IN ('destroy', 'gone') AND ended.outcome = 'ok'"
                " AND ended.id > made.id) ORDER BY id LIMIT 1",
                *(key, nonce),
            )
        return None if row is None else row["vmid"]

    async def places(self) -> Mapping[tuple[str, str], Place]:
        """Return where every machine (key, nonce) stands that was seen made and not seen to go.

        One whose last clone is not known to have come about has no place, and no two have the same.
        """
        async with self._db.reading() as read:
            rows = await read.rows(STANDING)
        found = {(key, nonce): Place(vmid, node) for key, nonce, vmid, node in rows}
        often = Counter(place.vmid for place in found.values())
        return {machine: place for machine, place in found.items() if often[place.vmid] == 1}

    async def birth(self, key: str, nonce: str) -> Birth | None:
        async with self._db.reading() as read:
            row = await read.one(BIRTH, key, nonce)
        if row is None:
            return None
        told = (row["step"], row["node"], row["upid"], row["outcome"])
        return Birth(
            *told,
            configured=bool(row["configured"]),
            begun=row["started"],
            started=bool(row["was_started"]),
        )

    async def intended(self, key: str, nonce: str, since: int) -> int | None:
        async with self._db.reading() as read:
            row = await read.one(INTENDED, key, nonce)
        if row is None or row["outcome"] not in (None, "lost"):
            return None
        counts = not row["tried_again"] or row["started"] >= since
        return int(row["vmid"]) if counts else None

    async def backed_up(self, key: str, nonce: str) -> bool:
        async with self._db.reading() as read:
            row = await read.one(
                "SELECT step FROM operation WHERE key = ? AND nonce = ?"
                " AND step IN ('backup', 'drop-backup', 'reinstall', 'clone') AND outcome = 'ok'"
                " ORDER BY id DESC LIMIT 1",
                *(key, nonce),
            )
        return row is not None and row["step"] == "backup"

    async def made_anew(self, key: str, nonce: str) -> int:
        async with self._db.reading() as read:
            row = await read.one(
                "SELECT max(finished) AS at FROM operation WHERE key = ? AND nonce = ?"
                " AND step = 'reinstall' AND outcome = 'ok'",
                *(key, nonce),
            )
        return 0 if row is None else row["at"] or 0

    async def switched_off(self, key: str, nonce: str) -> int:
        async with self._db.reading() as read:
            row = await read.one(SWITCHED, key, nonce)
        return row["finished"] if row is not None and row["step"] == "mark-ordered" else 0

    async def given_up(self, key: str, nonce: str) -> Sequence[OpenOperation]:
        async with self._db.reading() as read:
            rows = await read.rows(GIVEN_UP, key, nonce)
        return [OpenOperation(*row) for row in rows]

    async def life(self, key: str, nonce: str) -> Life:
        """Return which clone a machine is, and which start of ours was the last."""
        async with self._db.reading() as read:
            rows = await read.rows(
                "SELECT step, max(id) AS id, max(finished) AS at FROM operation"
                " WHERE key = ? AND nonce = ? AND outcome = 'ok'"
                " AND step IN ('clone', 'restore', 'adopt', 'mark-started') GROUP BY step",
                *(key, nonce),
            )
        ids, at = {row["step"]: row["id"] for row in rows}, {row["step"]: row["at"] for row in rows}
        return Life(
            made=ids.get("clone", 0),
            started=max(ids.values(), default=0),
            begun=max(at.get("clone", 0), at.get("restore", 0)),
        )

    async def kept(self, key: str, nonce: str) -> int | None:
        async with self._db.reading() as read:
            row = await read.one(
                "SELECT step, vmid FROM operation WHERE key = ? AND nonce = ? AND (step IN"
                " ('clone', 'restore', 'adopt') AND outcome IS NOT 'failed'"
                " OR step IN ('destroy', 'gone', 'reinstall') AND outcome = 'ok')"
                " ORDER BY id DESC LIMIT 1",
                *(key, nonce),
            )
        return row["vmid"] if row is not None and row["step"] == "reinstall" else None

    async def obeyed(self, order: int) -> bool:
        async with self._db.reading() as read:
            row = await read.one(
                "SELECT 1 FROM operation WHERE wish = ? AND upid IS NOT NULL AND outcome = 'ok'",
                order,
            )
        return row is not None

    async def knows(self, upid: str) -> bool:
        async with self._db.reading() as read:
            return await read.one("SELECT 1 FROM operation WHERE upid = ?", upid) is not None

    async def ever_cloned(self, key: str, nonce: str) -> bool:
        async with self._db.reading() as read:
            row = await read.one(
                "SELECT 1 FROM operation WHERE key = ? AND nonce = ?"
                " AND step IN ('clone', 'restore', 'adopt') AND outcome = 'ok'",
                *(key, nonce),
            )
        return row is not None

    async def nonces(self, key: str) -> frozenset[str]:
        """Return the nonces of every machine that was ever made or adopted for `key`."""
        async with self._db.reading() as read:
            rows = await read.rows(
                "SELECT DISTINCT nonce FROM operation"
                " WHERE key = ? AND step IN ('clone', 'restore', 'adopt')",
                key,
            )
        return frozenset(row["nonce"] for row in rows)

    async def occupant(self, vmid: int) -> str | None:
        """Return the key of whoever stands at a VMID by this log."""
        async with self._db.reading() as read:
            row = await read.one(
                "SELECT step, key FROM operation WHERE vmid = ? AND (step IN"
                " ('clone', 'restore', 'adopt') AND outcome IS NOT 'failed'"
                " OR step IN ('destroy', 'gone') AND outcome = 'ok') ORDER BY id DESC LIMIT 1",
                vmid,
            )
        return None if row is None or row["step"] in ("destroy", "gone") else row["key"]

    async def reserved(self) -> frozenset[int]:
        async with self._db.reading() as read:
            return frozenset(row["vmid"] for row in await read.rows(OCCUPIED))

    async def unfinished(self, step: str, since: int) -> Sequence[OpenOperation]:
        async with self._db.reading() as read:
            rows = await read.rows(f"{OPEN} AND step = ? AND started >= ?", step, since)
        return [OpenOperation(*row[1:]) for row in rows]

    async def is_empty(self) -> bool:
        """Say whether nothing was ever done or adopted: a new database."""
        async with self._db.reading() as read:
            return await read.one("SELECT 1 FROM operation LIMIT 1") is None

    async def destroyed_since(self, since: int) -> Sequence[int]:
        async with self._db.reading() as read:
            rows = await read.rows(
                "SELECT DISTINCT vmid FROM operation"
                " WHERE step IN ('destroy', 'gone') AND outcome = 'ok' AND finished >= ?"
                " ORDER BY vmid",
                since,
            )
        return [row["vmid"] for row in rows]

    async def destroys_since(self, since: int, other_than: tuple[str, str]) -> int:
        """Count the machines whose destroy was begun at or after `since`, however it ended.

        The shutdown that a reinstall begins with is its begin.
        The machine (key, nonce) `other_than` is not counted: trying again spends nothing.
        """
        async with self._db.reading() as read:
            row = await read.one(
                "SELECT count(*) FROM (SELECT DISTINCT key, nonce FROM operation"
                " WHERE (step IN ('destroy', 'reinstall', 'drop-backup') OR step = 'switch-off'"
                " AND wish IN (SELECT number FROM wish WHERE verb = 'reinstall')) AND started >= ?"
                " AND (key, nonce) <> (?, ?))",
                *(since, *other_than),
            )
        return 0 if row is None else row[0]

    async def recent(self, limit: int, key: str | None = None) -> list[Operation]:
        """Return the last operations (of one key), newest first."""
        async with self._db.reading() as read:
            rows = await read.rows(
                "SELECT id, key, nonce, step, attempt, vmid, node, upid, started, finished,"
                " outcome, error FROM operation WHERE ?1 IS NULL OR key = ?1"
                " ORDER BY id DESC LIMIT ?2",
                *(key, limit),
            )
        return [Operation(*row) for row in rows]

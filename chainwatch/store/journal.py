"""What the chains said, and how far they were read: the first law's one transaction.

Blocks, events, the lease fold, the keys that it makes dirty and the cursor commit together or not
at all. So after any crash the cursor says exactly what is stored, the same batch offered again
changes nothing, and one that does not fit (its `after` is not our cursor, its events lie outside
it) is refused before anything is written. A rewind marks events and refolds; it never deletes one,
and never reaches below the finalized block.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import lt
from typing import TypeAlias

from chainwatch.domain.batches import Batch, Rewind, Source, SourceState
from chainwatch.domain.credentials import folded
from chainwatch.domain.events import (
    Block,
    CredentialLinked,
    CredentialMoved,
    Logged,
    PlanEvent,
)
from chainwatch.errors import NotAChain, SourceHalted
from chainwatch.store import asked, credentials, projection, workqueue
from chainwatch.store.database import Database, Reading, Row, Transaction
from chainwatch.store.encoding import kind_of, packed, sortable
from chainwatch.store.installation import source_named

_STATE = (
    "SELECT head, halted, reread_to, reread_final, c.number, c.hash, c.parent, c.timestamp,"
    " f.number, f.hash, f.parent, f.timestamp FROM source"
    " LEFT JOIN block AS c ON c.source = name AND c.number = cursor"
    " LEFT JOIN block AS f ON f.source = name AND f.number = final WHERE name = ?"
)


@dataclass(frozen=True, slots=True)
class CommitResult:
    """The keys that a commit enqueued: leases that changed, and leases whose time has come."""

    dirty: frozenset[str] = frozenset()
    woken: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One line of the journal; `orphaned_at` (wall seconds) says that a reorg took it back."""

    id: int
    source: str
    logged: Logged
    seen_at: int
    orphaned_at: int | None


async def state_of(read: Reading, source: str) -> SourceState:
    """Return how far a source has been read, within a view that reads more."""
    row = await read.one(_STATE, source)
    if row is None:
        return SourceState()
    *rest, c_number, c_hash, c_parent, c_time, f_number, f_hash, f_parent, f_time = row
    cursor = None if c_number is None else Block(c_number, c_hash, c_parent, c_time)
    final = None if f_number is None else Block(f_number, f_hash, f_parent, f_time)
    return SourceState(cursor, final, *rest)


async def block_at(read: Reading, source: str, number: int | None) -> Block | None:
    row = await read.one(
        "SELECT number, hash, parent, timestamp FROM block WHERE source = ? AND number = ?",
        *(source, number),
    )
    return None if row is None else Block(*row)


def entry_from(row: Row) -> JournalEntry:
    logged = projection.logged_from(row)
    return JournalEntry(row["id"], row["source"], logged, row["seen_at"], row["orphaned_at"])


class Journal:
    """The journal; `wall` is wall seconds, for the record only."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def state(self, source: str) -> SourceState:
        """Return how far a source has been read; the empty state for an unknown one."""
        async with self._db.reading() as read:
            return await state_of(read, source)

    async def block(self, source: str, number: int) -> Block | None:
        """Return a stored canonical header; None for one that was never kept, or pruned."""
        async with self._db.reading() as read:
            return await block_at(read, source, number)

    async def events(
        self, source: str | None = None, *, limit: int, before: int | None = None
    ) -> list[JournalEntry]:
        """Return the last `limit` entries (with an id below `before`), newest first."""
        async with self._db.reading() as read:
            rows = await read.rows(
                f"{projection.EVENT} WHERE (?1 IS NULL OR source = ?1)"
                " AND (?2 IS NULL OR id < ?2) ORDER BY id DESC LIMIT ?3",
                *(source, before, limit),
            )
        return [entry_from(row) for row in rows]

    async def between(self, source: str, first: int, last: int) -> list[Logged]:
        """Return the canonical events of these blocks, in the order of the chain."""
        async with self._db.reading() as read:
            rows = await read.rows(
                f"{projection.EVENT} WHERE source = ? AND block BETWEEN ? AND ?"
                " AND orphaned_at IS NULL ORDER BY block, log_index",
                *(source, first, last),
            )
        return [projection.logged_from(row) for row in rows]

    async def credentials(self, source: str, tokens: Sequence[int], at: Block) -> Mapping[int, int]:
        """Return the credentials of these leases at a block, of those that had one."""
        async with self._db.reading() as read:
            return await credentials.credentials_of(read, source, tokens, at.number)

    async def commit_batch(self, source: str, batch: Batch, wall: int) -> CommitResult:
        """Store a batch whole. One that is stored already changes nothing.

        Raises NotAChain when it does not continue what is stored or contradicts itself, and
        SourceHalted for a halted source; nothing is written then.
        """
        _check(batch)
        async with self._db.transaction("batch") as tx:
            known, state = await _followed(tx, source)
            if await _is_stored(tx, source, batch, state):
                return CommitResult()
            if batch.after != state.cursor:
                raise NotAChain(
                    f"{source}: a batch after {_said(batch.after)} does not continue "
                    f"{_said(state.cursor)}"
                )
            await _store_blocks(tx, source, batch)
            about = await credentials.about(tx, known, batch.events)
            events = batch.events if about is None else list(folded(batch.events, about))
            before = await projection.stored(tx, known, events)
            _store_events(tx, source, batch.events, about, wall)
            tx.hand_over()  # SQLite stores while Python folds
            dirty = projection.extend(tx, known, before, events)
            blocks = (*batch.blocks, batch.cursor)
            await asked.heard(tx, known, before.leases, blocks, events, now=wall)
            workqueue.renew(tx, dirty, "the chain said something new about it")
            final = _later(state.final, batch.final)
            await _move(tx, source, batch.cursor, final, batch.head)
            await _prune(tx, source, state.final, final)
            return CommitResult(frozenset(dirty), await _wake(tx, source, batch.cursor, final))

    async def commit_rewind(self, source: str, rewind: Rewind, wall: int) -> CommitResult:
        """Take back everything above the ancestor. Raises SourceHalted below the finalized block.

        Raises NotAChain when the ancestor is not what is stored at its number.
        """
        async with self._db.transaction("rewind") as tx:
            known, state = await _followed(tx, source)
            await _check_ancestor(tx, source, rewind.ancestor, state)
            above = -1 if rewind.ancestor is None else rewind.ancestor.number
            marked = await tx.rows(
                "UPDATE event SET orphaned_at = ? WHERE source = ? AND block > ?"
                " AND orphaned_at IS NULL RETURNING token, plan",
                *(wall, source, above),
            )
            tokens = {row["token"] for row in marked} - {None}
            plans = {row["plan"] for row in marked} - {None}
            dirty = await projection.refold(tx, known, tokens, plans)
            await asked.taken_back(tx, source, above, tokens, now=wall)
            workqueue.renew(tx, dirty, "the chain took back what it had said about it")
            await _move(tx, source, rewind.ancestor, state.final, rewind.head)
            await tx.run("DELETE FROM block WHERE source = ? AND number > ?", source, above)
            return CommitResult(frozenset(dirty))

    async def halt(self, source: str, why: str) -> None:
        """Stop a source for good; the first reason stays."""
        async with self._db.transaction("source") as tx:
            await tx.run(
                "UPDATE source SET halted = ? WHERE name = ? AND halted IS NULL", why, source
            )


def _check(batch: Batch) -> None:
    """Refuse a batch that is not one stretch of one chain."""
    first = -1 if batch.after is None else batch.after.number
    hashes = {block.number: block.hash for block in (*batch.blocks, batch.cursor)}
    places = [(logged.block, logged.log_index) for logged in batch.events]
    if batch.cursor.number < first or any(number > batch.cursor.number for number in hashes):
        raise NotAChain(f"a batch up to {_said(batch.cursor)} goes back or beyond itself")
    if batch.final is not None and batch.final.number > batch.cursor.number:
        raise NotAChain(f"{_said(batch.final)} is called final above {_said(batch.cursor)}")
    if not all(map(lt, places, islice(places, 1, None))):
        raise NotAChain(f"the events up to {_said(batch.cursor)} are not in the chain's order")
    for logged in batch.events:
        if logged.block <= first or hashes.get(logged.block) != logged.block_hash:
            raise NotAChain(
                f"an event of block {logged.block} ({logged.block_hash}) is of no block in a batch"
                f" from {first + 1} to {_said(batch.cursor)}"
            )
    if any(not 0 <= block.timestamp < 2**63 for block in (*batch.blocks, batch.cursor)):
        raise NotAChain(f"a block up to {_said(batch.cursor)} has a time beyond all times")


def _said(block: Block | None) -> str:
    return "the start" if block is None else f"block {block.number} ({block.hash})"


def _later(stored: Block | None, said: Block | None) -> Block | None:
    """Return the higher of two finalized blocks: finality does not fall."""
    if stored is None or said is None:
        return said or stored
    return max(stored, said, key=lambda block: block.number)


async def _followed(read: Reading, source: str) -> tuple[Source, SourceState]:
    state = await state_of(read, source)
    if state.halted is not None:
        raise SourceHalted(f"{source} was halted: {state.halted}")
    return await source_named(read, source), state


async def _is_stored(read: Reading, source: str, batch: Batch, state: SourceState) -> bool:
    """Say whether a batch that does not start at our cursor ends at or below it, on our chain."""
    if batch.after == state.cursor:
        return False
    return await block_at(read, source, batch.cursor.number) == batch.cursor


async def _store_blocks(tx: Transaction, source: str, batch: Batch) -> None:
    """Store headers; one that is stored already must be the same."""
    blocks = {block.number: block for block in (*batch.blocks, batch.cursor)}
    if batch.final is not None:
        blocks.setdefault(batch.final.number, batch.final)
    stored = await tx.rows(
        "SELECT number, hash FROM block WHERE source = ?"
        " AND number IN (SELECT value FROM json_each(?))",
        *(source, json.dumps(list(blocks))),
    )
    for number, known in stored:
        if blocks.pop(number).hash != known:
            raise NotAChain(f"{source}: block {number} is stored as {known}, a batch differs")
    tx.insert(
        "block (source, number, hash, parent, timestamp)",
        [(source, b.number, b.hash, b.parent, b.timestamp) for b in blocks.values()],
    )


def _store_events(
    tx: Transaction,
    source: str,
    events: Sequence[Logged],
    about: Sequence[int | None] | None,
    wall: int,
) -> None:
    """Store events; `about` are the leases that they are about, where they don't say it."""
    rows = [_event_row(source, logged, wall) for logged in events]
    if about is not None:
        rows = list(map(_row_about, rows, events, about))
    tx.insert(
        "event (source, block, block_hash, log_index, tx_hash, kind, plan, fields, seen_at, token,"
        " credential)",
        rows,
        "ON CONFLICT (source, block, block_hash, log_index) DO UPDATE SET orphaned_at = NULL,"
        " tx_hash = excluded.tx_hash, kind = excluded.kind, token = excluded.token,"
        " plan = excluded.plan, fields = excluded.fields, credential = excluded.credential",
    )


_Cells: TypeAlias = tuple[str | int | None, ...]


def _event_row(source: str, logged: Logged, wall: int) -> _Cells:
    event = logged.event
    token = plan = None
    if isinstance(event, PlanEvent):
        plan = sortable(event.plan)
    elif not isinstance(event, CredentialMoved):
        token = sortable(event.token)
    return (
        source,
        logged.block,
        logged.block_hash,
        logged.log_index,
        logged.tx_hash,
        kind_of(event),
        plan,
        packed(event),
        wall,
        token,
        None,
    )


def _row_about(row: _Cells, logged: Logged, token: int | None) -> _Cells:
    """Return the row of an event that is about the lease `token`, or about none."""
    event = logged.event
    lease = None if token is None else sortable(token)
    if isinstance(event, CredentialLinked | CredentialMoved):
        return (*row[:-2], lease, sortable(event.credential))
    return (*row[:-2], lease, None)


async def _check_ancestor(
    read: Reading, source: str, ancestor: Block | None, state: SourceState
) -> None:
    if state.final is not None and (ancestor is None or ancestor.number < state.final.number):
        raise SourceHalted(
            f"{source}: the chain took back {_said(state.final)}, which it had called final; "
            f"it now agrees with us only up to {_said(ancestor)}"
        )
    if ancestor is not None and await block_at(read, source, ancestor.number) != ancestor:
        raise NotAChain(f"{source}: the ancestor {_said(ancestor)} is not a block that we stored")


async def _move(
    tx: Transaction, source: str, cursor: Block | None, final: Block | None, head: int
) -> None:
    where = cursor.number if cursor else None, final.number if final else None
    await tx.run(
        "UPDATE source SET cursor = ?, final = ?, head = ? WHERE name = ?", *where, head, source
    )
    await tx.run(
        "UPDATE source SET reread_to = NULL, reread_final = NULL WHERE name = ?"
        " AND reread_to <= ifnull(cursor, -1) AND ifnull(reread_final, -1) <= ifnull(final, -1)",
        source,
    )


async def _prune(tx: Transaction, source: str, before: Block | None, final: Block | None) -> None:
    """Drop headers below the finalized one that no event needs."""
    if final is None or final == before:
        return
    await tx.run(
        "DELETE FROM block WHERE source = ? AND number >= ? AND number < ? AND NOT EXISTS"
        " (SELECT 1 FROM event WHERE event.source = block.source AND event.block = block.number"
        " AND event.orphaned_at IS NULL)",
        *(source, before.number if before else 0, final.number),
    )


async def _wake(tx: Transaction, source: str, cursor: Block, final: Block | None) -> frozenset[str]:
    """Enqueue the leases whose chain time has come, and clear what woke them."""
    woken = await tx.rows(
        "UPDATE lease SET wake_at = NULL WHERE source = ? AND wake_at <= ? RETURNING id",
        *(source, cursor.timestamp),
    )
    if final is not None:
        woken += await tx.rows(
            "UPDATE lease SET wake_final_at = NULL WHERE source = ? AND wake_final_at <= ?"
            " RETURNING id",
            *(source, final.timestamp),
        )
    keys = frozenset(row["id"] for row in woken)
    workqueue.renew(tx, keys, "chain time reached its next deadline")
    return keys

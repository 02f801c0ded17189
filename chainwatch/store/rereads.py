"""What an operator orders about the reading of a source: to go on after a halt, or to read again.

A reread is the one act that may reach below the finalized block, because a person has looked. Like
a rewind it marks events and refolds, deletes none, and commits whole, together with the line of
the audit. It leaves behind how far the source had been read: until it is that far again its rows
say less than was known, and whoever asks `reread_to` does nothing about them, also after a restart
and whatever an endpoint that lags calls its head. The same goes for what was final: while less is,
the owner of a lease that was sold would count as one who may not be let in yet.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from chainwatch.domain.batches import Source, SourceState
from chainwatch.domain.events import Block
from chainwatch.errors import OperatorError
from chainwatch.store import audit, projection, workqueue
from chainwatch.store.database import Database, Reading, Transaction
from chainwatch.store.installation import source_named
from chainwatch.store.journal import state_of

_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Reread:
    """What is read again: blocks `first` to `last`, in which `events` about `leases` are stored.

    `below_final` says that some of it was final.
    """

    source: str
    first: int
    last: int
    events: int
    leases: int
    below_final: bool


class Rereads:
    """Carries the orders out; `now` is wall seconds, `uid` who gave them, a reason is required."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def foreseen(self, source: str, block: int) -> Reread:
        """Return what reading again from `block` would mean; changes nothing."""
        async with self._db.reading() as read:
            return (await _foreseen(read, source, block))[0]

    async def reread(self, source: str, block: int, reason: str, uid: int, *, now: int) -> Reread:
        """Take back what is stored from `block` on, so that it is read again; ends a halt.

        Raises OperatorError when the source has not been read as far as that.
        """
        _need(reason)
        async with self._db.transaction("reread") as tx:
            said, ancestor, state = await _foreseen(tx, source, block)
            await _take_back(tx, await source_named(tx, source), said.first, now)
            await _go_back(tx, said, ancestor, state)
            what = f"source reread from {said.first}"
            await audit.record(tx, uid, what, source, reason, now=now)
        return said

    async def resume(self, source: str, reason: str, uid: int, *, now: int) -> str:
        """End a halt, else the wait for all that is read again; returns why it stood still.

        Raises OperatorError for a source that does neither.
        """
        _need(reason)
        async with self._db.transaction("source") as tx:
            state = await state_of(tx, source)
            if state.halted is None and state.reread_to is None:
                raise OperatorError(f"source {source} is not halted, so there is nothing to resume")
            if state.halted is not None:
                await tx.run("UPDATE source SET halted = NULL WHERE name = ?", source)
            else:
                await tx.run(
                    "UPDATE source SET reread_to = NULL, reread_final = NULL WHERE name = ?", source
                )
            await audit.record(tx, uid, "source resume", source, reason, now=now)
        return state.halted or f"it was read again by order, up to block {state.reread_to}"


def _need(reason: str) -> None:
    if not reason.strip():
        raise OperatorError("say why: the reason is kept in the audit")


async def _foreseen(
    read: Reading, source: str, block: int
) -> tuple[Reread, Block | None, SourceState]:
    state, start = await state_of(read, source), (await source_named(read, source)).start_block
    if state.cursor is None or block > state.cursor.number:
        far = f"up to block {state.cursor.number}" if state.cursor else "not at all yet"
        raise OperatorError(f"source {source} has been read {far}: name a block that was read")
    row = await read.one(
        "SELECT number, hash, parent, timestamp FROM block WHERE source = ? AND number < ?"
        " ORDER BY number DESC LIMIT 1",
        *(source, max(block, 0)),
    )
    ancestor = Block(*row) if row is not None else None
    first = start if ancestor is None else ancestor.number + 1
    counted = await read.one(
        "SELECT count(*) AS events, count(DISTINCT token) AS leases FROM event"
        " WHERE source = ? AND block >= ? AND orphaned_at IS NULL",
        *(source, first),
    )
    events, leases = (counted["events"], counted["leases"]) if counted else (0, 0)
    below = state.final is not None and first <= state.final.number
    said = Reread(source, first, state.cursor.number, events, leases, below)
    return said, ancestor, state


async def _take_back(tx: Transaction, source: Source, first: int, now: int) -> None:
    """Mark the events from block `first` on and fold what they were about anew, part by part."""
    await tx.run(
        "UPDATE event SET orphaned_at = ? WHERE source = ? AND block >= ? AND orphaned_at IS NULL",
        *(now, source.name, first),
    )
    marked = (source.name, first, now)
    async for tokens in _tokens(tx, *marked):
        await _refold(tx, source, tokens, ())
    rows = await tx.rows(
        "SELECT DISTINCT plan FROM event"
        " WHERE source = ? AND block >= ? AND orphaned_at = ? AND plan IS NOT NULL",
        *marked,
    )
    await _refold(tx, source, (), [row["plan"] for row in rows])


async def _refold(
    tx: Transaction, source: Source, tokens: Sequence[str], plans: Sequence[str]
) -> None:
    dirty = await projection.refold(tx, source, tokens, plans)
    workqueue.renew(tx, dirty, "an operator has its source read again")


async def _tokens(
    read: Reading, source: str, first: int, marked_at: int
) -> AsyncIterator[Sequence[str]]:
    """Yield, some at a time, the tokens (as stored) that events marked just now were about."""
    last = ""
    while True:
        rows = await read.rows(
            "SELECT DISTINCT token FROM event WHERE source = ? AND token > ?"
            " AND block >= ? AND orphaned_at = ? ORDER BY token LIMIT ?",
            *(source, last, first, marked_at, _AT_ONCE),
        )
        if not rows:
            return
        yield [row["token"] for row in rows]
        last = rows[-1]["token"]


async def _go_back(
    tx: Transaction, said: Reread, ancestor: Block | None, state: SourceState
) -> None:
    """Set the cursor to `ancestor`, and what was final no higher; keep how far we had come."""
    cursor = None if ancestor is None else ancestor.number
    final = None
    if cursor is not None and state.final is not None:
        final = min(cursor, state.final.number)
    finals = [state.final.number] if state.final is not None else []
    finals += [state.reread_final] if state.reread_final is not None else []
    await tx.run(
        "UPDATE source SET cursor = ?, final = ?, halted = NULL, reread_to = ?, reread_final = ?"
        " WHERE name = ?",
        *(cursor, final, max(said.last, state.reread_to or 0), max(finals, default=None)),
        said.source,
    )
    await tx.run(
        "DELETE FROM block WHERE source = ? AND number > ?",
        *(said.source, -1 if cursor is None else cursor),
    )

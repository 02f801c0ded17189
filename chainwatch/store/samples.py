"""What is stored, as it is held against what is true: each sample is one view of the database.

So a lease is never compared with another block than the one that it is folded to, nor a block with
another moment's events.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from chainwatch.domain.batches import SourceState
from chainwatch.domain.events import Block, Logged
from chainwatch.store.database import Database, Reading
from chainwatch.store.encoding import number_of, sortable
from chainwatch.store.journal import state_of
from chainwatch.store.leases import LeaseRow, row_of, rows_from
from chainwatch.store.projection import EVENT, LEASE, logged_from

_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class Sample:
    """Some leases as they are at the cursor of `state`; `last` is where the next sample begins."""

    state: SourceState
    rows: tuple[LeaseRow, ...]
    last: int = 0


@dataclass(frozen=True, slots=True)
class Gap:
    """Token `missing` was never seen to be minted, though the higher one `seen` was."""

    missing: int
    seen: int


@dataclass(frozen=True, slots=True)
class Window:
    """The newest stored blocks above the final one, in their order, and all events in them.

    `floor` is the stored block below them; None when there is none.
    """

    state: SourceState
    floor: Block | None
    blocks: tuple[Block, ...]
    events: tuple[Logged, ...]


class Samples:
    """Takes samples of a source."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def after(self, source: str, lease: str, limit: int) -> Sample:
        """Return up to `limit` leases in the order of their ids, those after the id `lease`."""
        async with self._db.reading() as read:
            rows = await read.rows(
                f"{LEASE} WHERE source = ? AND id > ? ORDER BY id LIMIT ?", source, lease, limit
            )
            return Sample(await state_of(read, source), rows_from(rows))

    async def of(self, source: str, leases: Collection[str]) -> Sample:
        """Return these leases (CAIP-19 ids), as far as they are known."""
        async with self._db.reading() as read:
            rows = [await row_of(read, lease) for lease in leases]
            state = await state_of(read, source)
            return Sample(state, tuple(row for row in rows if row is not None))

    async def newer(self, source: str, last: int, limit: int) -> Sample:
        """Return up to `limit` leases first seen after the sample that ended at `last`."""
        async with self._db.reading() as read:
            rows = await read.rows(
                f"{LEASE} WHERE source = ? AND rowid > ? ORDER BY rowid LIMIT ?",
                *(source, last, limit),
            )
            end = await read.one(
                "SELECT rowid FROM lease WHERE id = ?", rows[-1]["id"] if rows else ""
            )
            state = await state_of(read, source)
            return Sample(state, rows_from(rows), last if end is None else end[0])

    async def newest(self, source: str) -> int:
        """Return where a sample of whatever is first seen from now on begins."""
        async with self._db.reading() as read:
            row = await read.one("SELECT max(rowid) FROM lease WHERE source = ?", source)
        return 0 if row is None or row[0] is None else int(row[0])

    async def window(self, source: str, most: int) -> Window:
        """Return up to `most` blocks of what is stored of a source and not final yet."""
        async with self._db.reading() as read:
            state = await state_of(read, source)
            final = -1 if state.final is None else state.final.number
            newest = await read.rows(
                "SELECT number, hash, parent, timestamp FROM block"
                " WHERE source = ? AND number > ? ORDER BY number DESC LIMIT ?",
                *(source, final, most + 1),
            )
            blocks = [Block(*row) for row in reversed(newest)]
            floor = blocks.pop(0) if len(blocks) > most else state.final
            events = await read.rows(
                f"{EVENT} WHERE source = ? AND block > ? AND orphaned_at IS NULL"
                " ORDER BY block, log_index",
                *(source, -1 if floor is None else floor.number),
            )
        return Window(state, floor, tuple(blocks), tuple(map(logged_from, events)))

    async def whole_up_to(self, source: str, above: int = 0) -> int | Gap:
        """Count the tokens above `above`: return the highest if none is missing, else the gap."""
        async with self._db.reading() as read:
            count, highest = await _minted(read, source, above)
            if count == highest - above:
                return highest
            return Gap(await _missing(read, source, above + 1), highest)


async def _minted(read: Reading, source: str, above: int) -> tuple[int, int]:
    """Return how many tokens above `above` were minted, and the highest of them."""
    row = await read.one(
        "SELECT count(*), max(token) FROM lease"
        " WHERE source = ? AND token > ? AND owner IS NOT NULL",
        *(source, sortable(above)),
    )
    return (0, above) if row is None or row[1] is None else (int(row[0]), number_of(row[1]))


async def _missing(read: Reading, source: str, expected: int) -> int:
    while True:
        rows = await read.rows(
            "SELECT token FROM lease WHERE source = ? AND token >= ? AND owner IS NOT NULL"
            " ORDER BY token LIMIT ?",
            *(source, sortable(expected), _PAGE),
        )
        for row in rows:
            if number_of(row["token"]) != expected:
                return expected
            expected += 1
        if not rows:
            return expected

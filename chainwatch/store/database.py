"""One SQLite file, one writer, and readers that see only what is committed.

Law: everything that belongs together is written in one named transaction, which a crash, an
exception or a cancellation leaves done or undone, never open. Reads go through a connection of
their own, one snapshot for each `reading`, so no decision is made on what may still be rolled back
or on halves of two commits. A lock beside the file keeps a second daemon out: two of them would
each be right about their own half of the world.
"""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Final, TypeAlias

import aiosqlite

from chainwatch.errors import Fatal
from chainwatch.store import schema
from provisioner import faultpoints

Value: TypeAlias = str | int | None
Row: TypeAlias = sqlite3.Row

_Statement: TypeAlias = tuple[str, Sequence[Sequence[Value]]]
"""A statement, and the rows of values that it is run for."""

WRITER = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "busy_timeout=5000",
    "cache_size=-8000",  # KiB: what a long batch changes is written once, not whenever it is full
)
READER = ("query_only=ON", "busy_timeout=5000")


_ROWS_AT_ONCE: Final = tuple(1 << power for power in range(10, -1, -1))
"""Rows in one statement, in few sizes so that few statements are kept prepared.

The most of them, times the columns of any table, are below SQLite's 32766 parameters.
"""


class Reading:
    """One consistent, committed view of the database."""

    __slots__ = ("_connection",)

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def rows(self, sql: str, *values: Value) -> list[Row]:
        return list(await self._connection.execute_fetchall(sql, values))

    async def one(self, sql: str, *values: Value) -> Row | None:
        """Return the first row, None when there is none."""
        found = await self.rows(sql, *values)
        return found[0] if found else None


class _Writer(aiosqlite.Connection):
    """A connection whose thread runs many statements without a word from the loop in between."""

    def start(self, statements: Sequence[_Statement]) -> asyncio.Future[None]:
        """Have each run for each of its rows of values, from now on; after one that fails, none.

        Whatever is asked of the connection later comes after it. Returns its end.
        """
        ended = asyncio.get_running_loop().create_future()
        self._tx.put_nowait((ended, partial(self._run_all, statements)))
        return ended

    def _run_all(self, statements: Sequence[_Statement]) -> None:
        for sql, rows in statements:
            self._conn.executemany(sql, rows)


class Transaction(Reading):
    """A view that also writes; it sees what it has written.

    What is inserted waits until it is handed over, until something else is asked for, or the
    commit, and then goes to SQLite whole, which works through it while Python does something else.
    So a row that is refused is refused there, and the transaction with it.
    """

    __slots__ = ("_handed", "_waiting", "_writer")

    def __init__(self, writer: _Writer) -> None:
        super().__init__(writer)
        self._writer = writer
        self._waiting: list[_Statement] = []
        self._handed: list[asyncio.Future[None]] = []

    async def rows(self, sql: str, *values: Value) -> list[Row]:
        await self.flush()
        return await super().rows(sql, *values)

    async def run(self, sql: str, *values: Value) -> None:
        await self.rows(sql, *values)

    async def many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        """Run one statement for each row."""
        if rows:
            self._waiting.append((sql, rows))
            await self.flush()

    def insert(self, into: str, rows: Sequence[Sequence[Value]], then: str = "") -> None:
        """Have `INSERT INTO {into} VALUES {rows} {then}` run, for hundreds of rows at once.

        One statement for many rows is what lets SQLite work while Python does: a statement for
        each has to wait for the interpreter as often.
        """
        start = 0
        for count in _ROWS_AT_ONCE:
            end = start + (len(rows) - start) // count * count
            if end > start:
                parts = [
                    list(chain.from_iterable(rows[place : place + count]))
                    for place in range(start, end, count)
                ]
                self._waiting.append((_insertion(into, len(rows[0]), count, then), parts))
                start = end

    def hand_over(self) -> None:
        """Have SQLite begin with what waits."""
        if self._waiting:
            self._handed.append(self._writer.start(self._waiting))
            self._waiting = []

    async def flush(self) -> None:
        """Run what waits, to its end. Raises what SQLite says of a row that it refuses."""
        self.hand_over()
        while self._handed:
            await self._handed.pop(0)

    def forget(self) -> None:
        """Leave what was handed over to its end, which no longer matters: it is rolled back."""
        for ended in self._handed:
            if not ended.cancel() and not ended.cancelled():
                ended.exception()  # who rolls back knows a reason already


@cache
def _insertion(into: str, columns: int, rows: int, then: str) -> str:
    places = f"({', '.join('?' * columns)})"
    return " ".join(("INSERT INTO", into, "VALUES", ", ".join([places] * rows), then))


class Database:
    """The open database; `open` makes one, `close` ends it."""

    def __init__(self, writer: _Writer, reader: aiosqlite.Connection, held: AsyncExitStack) -> None:
        self._writer = writer
        self._reader = reader
        self._held = held
        self._writing = asyncio.Lock()
        self._reading = asyncio.Lock()

    @classmethod
    async def open(cls, path: Path, *, create: bool) -> "Database":
        """Open the database at `path`, with the schema brought up to date.

        Raises Fatal when it is missing and `create` is false, when another process has it, when
        it is not a database, and when a newer program wrote it.
        """
        async with AsyncExitStack() as held:
            held.callback(os.close, _locked(path, create=create))
            try:
                writer = _Writer(_connector(path, "rw"), iter_chunk_size=1)
                await held.enter_async_context(writer)
                await _prepare(writer, WRITER)
                await schema.migrate(writer)
                reader = aiosqlite.Connection(_connector(path, "ro"), iter_chunk_size=1)
                await held.enter_async_context(reader)
                await _prepare(reader, READER)
            except sqlite3.DatabaseError as error:
                raise Fatal(
                    f"{path} cannot be used as a database ({error}); move it away and run "
                    "`chainwatch rebuild` to make it again from the chains and the machines"
                ) from error
            return cls(writer, reader, held.pop_all())

    async def close(self) -> None:
        """Finish what was queued, close the file and let go of its lock."""
        await self._held.aclose()

    @asynccontextmanager
    async def transaction(self, name: str) -> AsyncIterator[Transaction]:
        """Write everything inside the block, or nothing; `name` gives the fault points."""
        before, after = f"commit.{name}.before", f"commit.{name}.after"
        if before not in faultpoints.POINTS:
            raise ValueError(f"fault point {before!r} is not in the registry")
        async with self._writing, _undone_unless_committed(self._writer):
            await self._writer.execute_fetchall("BEGIN IMMEDIATE")
            tx = Transaction(self._writer)
            try:
                yield tx
                await tx.flush()
            finally:
                tx.forget()
            faultpoints.reach(before)
            await self._writer.execute_fetchall("COMMIT")
        faultpoints.reach(after)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Reading]:
        """Read one snapshot of what is committed; keep it short, readers take turns."""
        async with self._reading, _undone_unless_committed(self._reader):
            await self._reader.execute_fetchall("BEGIN")
            yield Reading(self._reader)


@asynccontextmanager
async def _undone_unless_committed(connection: aiosqlite.Connection) -> AsyncIterator[None]:
    """Roll back whatever is still open at the end, even while being cancelled.

    A connection's statements run in the order in which they were asked for, so a roll-back that
    was asked for is done before anything that comes later, also when nobody waits for it.
    """
    try:
        yield
    finally:
        await asyncio.shield(connection.rollback())


def _connector(path: Path, mode: str) -> Callable[[], sqlite3.Connection]:
    return partial(
        sqlite3.connect, f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None
    )


async def _prepare(connection: aiosqlite.Connection, pragmas: Sequence[str]) -> None:
    connection.row_factory = sqlite3.Row
    for pragma in pragmas:
        await connection.execute_fetchall(f"PRAGMA {pragma}")


def _locked(path: Path, *, create: bool) -> int:
    """Take the lock beside `path` and make the file, private to us, if that is wanted."""
    if not create and not path.exists():
        raise Fatal(
            f"there is no database at {path}; correct the path, or run `chainwatch rebuild` to "
            "make it from the chains and the machines"
        )
    try:
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Fatal(f"{path.parent} must be a folder that the daemon may write: {error}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except BlockingIOError:
        os.close(lock)
        raise Fatal(
            f"another chainwatch has {path} open; stop it first, or ask it through its socket"
        ) from None
    except OSError as error:
        os.close(lock)
        raise Fatal(f"{path} must be a file that the daemon may write: {error}") from error
    return lock

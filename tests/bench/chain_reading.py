"""The daemon's own reading of a chain, from an empty database to a block, with a stop-watch on it.

Everything is wired as in production and committed as in production; only the loops that act on
machines do not run. So what is timed is asking, checking, decoding, folding and committing.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from chainwatch.app import Adapters, Daemon, opened, wire
from chainwatch.chain.rpc import RpcPool
from chainwatch.chain.settings import SourceSettings
from chainwatch.control.ingest import Ingest
from chainwatch.runtime.clock import SystemClock
from chainwatch.store.database import Database
from chainwatch.store.encoding import sortable
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.direct import DirectApi
from tests.bench.rig import configured


@dataclass(frozen=True, slots=True)
class Reader:
    """A daemon that reads one source and does nothing else."""

    daemon: Daemon
    ingest: Ingest
    db: Database

    async def to(self, block: int) -> float:
        """Read until the cursor has come to `block`; returns the seconds that took."""
        began = time.monotonic()
        while await self.cursor() < block:
            await self.ingest.step()
        return time.monotonic() - began

    async def to_hash(self, block: int, digest: str) -> float:
        """Read until this very block is stored as the cursor; returns the seconds that took."""
        began = time.monotonic()
        while True:
            state = await self.daemon.stores.journal.state(self.ingest.name)
            if state.cursor and (state.cursor.number, state.cursor.hash) == (block, digest):
                return time.monotonic() - began
            await self.ingest.step()

    async def taken_back(self) -> int:
        """Count the events that a reorg took back."""
        async with self.db.reading() as read:
            row = await read.one("SELECT count(*) FROM event WHERE orphaned_at IS NOT NULL")
        return 0 if row is None else int(row[0])

    async def cursor(self) -> int:
        """Return the number of the last block that is stored; -1 before the first."""
        state = await self.daemon.stores.journal.state(self.ingest.name)
        return -1 if state.cursor is None else state.cursor.number

    async def events(self) -> int:
        """Count the events that are stored, and make sure that every lease is due."""
        async with self.db.reading() as read:
            row = await read.one(
                "SELECT (SELECT count(*) FROM event), (SELECT count(*) FROM lease),"
                " (SELECT count(*) FROM lease JOIN work ON work.key = lease.id)"
            )
        if row is None or row[1] != row[2]:
            raise AssertionError(f"leases are stored and not due: {row and tuple(row)}")
        return int(row[0])

    async def seq(self, token: int) -> int:
        """Return how often a lease was made due; 0 before the first time."""
        async with self.db.reading() as read:
            row = await read.one(
                "SELECT seq FROM work JOIN lease ON lease.id = work.key WHERE token = ?",
                sortable(token),
            )
        return 0 if row is None else int(row[0])


@asynccontextmanager
async def reader(source: SourceSettings) -> AsyncIterator[Reader]:
    """A reader of `source` with an empty database."""
    pool = RpcPool(source.http, timeout=source.timeout)
    with TemporaryDirectory() as folder:
        config = configured(Path(folder), source)
        ways = Adapters({source.source.name: pool}, DirectApi(Cluster()))
        try:
            async with opened(config, Path(folder) / "bench.db", create=True) as db:
                daemon = wire(config, ways, db, SystemClock(), lambda: None)
                (ingest,) = daemon.supervisor.ingests
                yield Reader(daemon, ingest, db)
        finally:
            await pool.close()

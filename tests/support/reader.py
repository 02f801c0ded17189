"""One source read for real: endpoints over HTTP, scanner, journal and ingest over a database.

The daemon is wired as it always is and its ingest is turned by hand; nothing sleeps. Between two
turns time can leap: the event loop's own clock, by which endpoints rest, and the daemon's are set
forward together, so that a rest of ten minutes is over at once.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from unittest.mock import patch

from chainwatch.app import Adapters, Daemon, opened, wire
from chainwatch.chain.rpc import RpcPool
from chainwatch.chain.settings import SourceSettings
from chainwatch.control.ingest import Ingest
from chainwatch.domain.batches import Source, SourceState
from chainwatch.domain.events import Logged
from chainwatch.store.journal import JournalEntry
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.direct import DirectApi
from tests.support.anvil import CHAIN_ID
from tests.support.lease_contract import LeaseContract
from tests.support.oracle import truth
from tests.support.realm import ClusterClock, config

NAME: Final = "shop"
#: Seconds between two looks at a source that has nothing new or cannot be read.
POLL: Final = 2.0


class Leaps:
    """The event loop's clock, which `leap` sets forward."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._true = loop.time
        self._ahead = 0.0

    def time(self) -> float:
        return self._true() + self._ahead

    def leap(self, seconds: float) -> None:
        self._ahead += seconds


@dataclass(frozen=True, slots=True)
class Reader:
    """A source, read into a database of its own."""

    shop: LeaseContract
    settings: SourceSettings
    daemon: Daemon
    pool: RpcPool
    cluster: Cluster
    loop: Leaps

    @property
    def ingest(self) -> Ingest:
        (ingest,) = self.daemon.supervisor.ingests
        return ingest

    @property
    def trouble(self) -> str | None:
        """What the last look at the source failed of."""
        return self.ingest.status.trouble

    async def state(self) -> SourceState:
        return await self.ingest.journal.state(NAME)

    def leap(self, seconds: float = POLL) -> None:
        """Let time pass for everybody."""
        self.loop.leap(seconds)
        self.cluster.advance(seconds)

    async def look(self, times: int = 1) -> None:
        """Look at the source so many times, as often as it is due."""
        for _ in range(times):
            if not await self.ingest.attempt():
                self.leap()

    async def entries(self) -> list[JournalEntry]:
        """Every row there is, those that a reorg took back too."""
        return await self.ingest.journal.events(NAME, limit=1_000_000)

    async def rows(self) -> list[Logged]:
        """What is believed, in the order of the chain."""
        rows = [each.logged for each in await self.entries() if each.orphaned_at is None]
        return sorted(rows, key=lambda row: (row.block, row.log_index))

    async def final_rows(self) -> list[Logged]:
        """What is believed for ever."""
        final = (await self.state()).final
        return [row for row in await self.rows() if final and row.block <= final.number]

    async def at_rest(self, *, final: bool = True) -> bool:
        """Whether all there is to know is known: the confirmed head, and what is final too."""
        chain, state = self.shop.deployed.anvil, await self.state()
        confirmed = (await chain.block()).number - self.settings.confirmations
        if state.cursor is None or state.halted:
            return False
        if state.cursor.hash != (await chain.block(confirmed)).hash:
            return False
        stored = -1 if state.final is None else state.final.number
        wanted = min(confirmed, await self._final_number())
        return not final or stored >= wanted or wanted < self.settings.source.start_block

    async def _final_number(self) -> int:
        chain, finality = self.shop.deployed.anvil, self.settings.finality
        if isinstance(finality, int):
            return (await chain.block()).number - finality
        return (await chain.block(finality)).number

    async def settle(self, *, final: bool = True, most: int = 400) -> None:
        """Look until everything is known; AssertionError when that never comes.

        Without `final` it is enough to stand at the confirmed head: an endpoint that is left alone
        may follow, but what is final takes two.
        """
        for _ in range(most):
            if await self.ingest.attempt():
                continue
            if await self.at_rest(final=final):
                return
            self.leap()
        raise AssertionError(f"never read to the end: {self.trouble}; {await self.state()}")

    async def truth(self) -> list[Logged]:
        """What the receipts say, up to the confirmed head."""
        head = await self.shop.deployed.anvil.block()
        return await truth(self.shop, head.number - self.settings.confirmations)

    async def alarms(self) -> dict[str, str]:
        """The alarms that stand, by name."""
        return {alarm.name: alarm.text for alarm in await self.daemon.stores.alarms.all()}


def source_of(shop: LeaseContract, *urls: str, max_range: int = 7) -> SourceSettings:
    """The source that reads `shop` from `urls`: a confirmation, and finality by the tag."""
    return SourceSettings(
        source=Source(NAME, CHAIN_ID, shop.address.lower(), 1, "lease"),
        http=urls,
        ws=(),
        confirmations=1,
        finality="finalized",
        poll_interval=POLL,
        stale_after=60,
        max_range=max_range,
        timeout=5,
    )


@asynccontextmanager
async def reader(
    folder: Path, shop: LeaseContract, settings: SourceSettings
) -> AsyncIterator[Reader]:
    """Read `shop` into the database in `folder`, for as long as the block lasts."""
    all_settings, cluster = replace(config(folder), sources=(settings,)), Cluster()
    loop = asyncio.get_running_loop()
    leaps = Leaps(loop)
    pool = RpcPool(settings.http, timeout=settings.timeout)
    with patch.object(loop, "time", leaps.time):
        try:
            async with opened(all_settings, folder / "chainwatch.db", create=True) as db:
                ways = Adapters({NAME: pool}, DirectApi(cluster))
                daemon = wire(all_settings, ways, db, ClusterClock(cluster), lambda: None)
                yield Reader(shop, settings, daemon, pool, cluster, leaps)
        finally:
            await pool.close()


def kinds(rows: Sequence[Logged]) -> set[str]:
    """The kinds of events in rows."""
    return {type(row.event).__name__ for row in rows}

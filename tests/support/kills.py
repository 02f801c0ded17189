"""The many lives of a daemon amid a busy chain, and what is left of them: rows and machines.

Each life ends by SIGKILL: at a commit point that the daemon was armed with, or wherever it is when
some more blocks have been mined. Between two lives blocks are reorganized too. What is left is read
from the database's file and from the simulator's inventory, never asked of the daemon.
"""

import asyncio
import signal
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from random import Random
from typing import Final

from chainwatch.domain.events import Logged
from chainwatch.store.database import Database
from chainwatch.store.journal import Journal
from tests.support.daemon import Installation
from tests.support.processes import PATIENCE, Life
from tests.support.trade import Trade

#: How many leases are bought, one in each of the first lives.
LEASES: Final = 5


@dataclass(slots=True)
class Lives:
    """A daemon's many lives amid a trade; `died_at` are the points that killed it."""

    it: Installation
    trade: Trade
    random: Random
    died_at: set[str] = field(default_factory=set)

    @property
    def daemon(self) -> Life:
        return self.it.daemon

    async def happen(self) -> None:
        """One thing: a reorg above finality now and then, blocks with deals mostly."""
        if self.random.random() < 0.2:
            await self.trade.reorg(self.random.randint(1, 3))
        else:
            await self.trade.mine(self.random.randint(0, 3))

    async def live(self, point: str | None) -> None:
        """One life, which ends at `point` or soon after the daemon has begun its work."""
        if self.trade.tokens < LEASES:
            await self.trade.buy()
            await self.trade.mine(0, 0, 0)
        await self.trade.reorg(self.random.randint(1, 3))
        await self.daemon.start(point)
        if point is None:
            await self._until_some_moment()
        else:
            await self._until_dead(point)
        await self.daemon.kill()
        assert await self.daemon.end() == -signal.SIGKILL

    async def _until_some_moment(self) -> None:
        """Now and then it has not even begun."""
        if self.random.random() < 0.8:
            await self.it.until("it works", self.it.status.ready)
        for _ in range(self.random.randint(0, 12)):
            await self.happen()

    async def _until_dead(self, point: str) -> None:
        """Give it all that makes it commit, a reorg of what it has read above all."""
        for _ in range(3):
            if not await self._lives_and_has_read():
                self.died_at.add(point)
                return
            await self.trade.reorg(3)

    async def _lives_and_has_read(self) -> bool:
        """Whether it reads to the end before it dies; nobody but itself knows when that is."""
        async with asyncio.timeout(PATIENCE):
            while self.daemon.alive:
                if await self.it.status.ready() and await all_is_read(self.it):
                    return True
                await asyncio.sleep(0.03)
        return False


async def rows(it: Installation) -> list[Logged]:
    """The rows that are believed, each as often as it stands there."""
    db = await Database.open(it.database, create=False)
    try:
        entries = await Journal(db).events("anvil", limit=1_000_000)
    finally:
        await db.close()
    believed = [each.logged for each in entries if each.orphaned_at is None]
    return sorted(believed, key=lambda row: (row.block, row.log_index))


async def all_is_read(it: Installation) -> bool:
    """Whether the cursor that is stored is the confirmed head."""
    with closing(sqlite3.connect(f"file:{it.database}?mode=ro", uri=True)) as stored:
        ((cursor,),) = stored.execute("SELECT cursor FROM source")
    return bool(cursor == (await it.grounds.chain.block()).number - 1)


async def leases_of_machines(it: Installation) -> list[str]:
    """The leases that the machines in our range say they belong to, one for each machine."""
    return sorted(str(guest.config["description"]).split()[0] for guest in await it.machines())

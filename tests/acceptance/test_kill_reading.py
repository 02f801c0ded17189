"""Killed again and again while a chain is busy: nothing lost, nothing twice, one machine a lease.

Each life of the daemon ends by SIGKILL: at a commit point that it was armed with, or wherever it is
when some more blocks have been mined. Meanwhile leases are bought, renewed and handed over, and
blocks are reorganized, also while no daemon lives. What became of the rows is judged by the
receipts, what became of the machines by the simulator's inventory. `CHAINWATCH_SOAK=n` kills twice
as often, in storms that have seeds of their own.
"""

import asyncio
import os
import signal
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import Final

import pytest

from chainwatch.domain.events import Logged
from chainwatch.store.database import Database
from chainwatch.store.journal import Journal
from provisioner import faultpoints
from tests.support.daemon import PATIENCE, Grounds, Installation, Life, installation
from tests.support.oracle import truth
from tests.support.trade import Trade

SOAK: Final = int(os.environ.get("CHAINWATCH_SOAK", "0"))
#: Lives of one daemon; a longer soak has more daemons.
KILLS: Final = min(2 * SOAK, 50) or 30
SEEDS: Final = [int.from_bytes(os.urandom(4)) for _ in range(2 * SOAK // KILLS)] or [1]
LEASES: Final = 5

#: Commits that a life passes in which nobody gives orders; a soak arms all there are.
PASSED: Final = ("batch", "rewind", "enqueue", "work", "operation_begin", "operation_task")
COMMITS: Final = faultpoints.COMMITS if SOAK else [f"commit.{name}" for name in PASSED]
ARMED: Final = [f"{name}.{edge}" for name in COMMITS for edge in ("before", "after")]
#: The points that no daemon can pass by while there is something to read.
READING: Final = {point for point in ARMED if point.startswith(("commit.batch", "commit.rewind"))}

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(60 + 6 * KILLS),
]


@dataclass(slots=True)
class Storm:
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


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"{KILLS} kills with seed {seed}")
async def test_killed_at_any_moment_rows_are_the_receipts_and_each_lease_has_one_machine(
    place: Grounds, folder: Path, seed: int
) -> None:
    random = Random(seed)
    async with installation(place, folder) as it:
        people = (await place.chain.accounts())[1:4]
        trade = Trade(place.chain, it.shop, people, random, lasts=10**7, on_purpose=True)
        storm = Storm(it, trade, random)
        it.configure(source={"finality": 8})
        points = [*islice(cycle([*ARMED, *(None,) * len(ARMED)]), KILLS)]
        for point in points:
            await storm.live(point)
        await it.daemon.start()
        await it.until("it works", it.status.ready)
        await it.until("all is read", partial(all_is_read, it))
        for token in range(1, LEASES + 1):
            await it.until(f"lease {token} is settled", partial(it.settled, token))
        assert await it.daemon.stop() == 0
        head = await place.chain.block()
        assert await rows(it) == await truth(it.shop, head.number - 1)
        assert await leases_of_machines(it) == [it.lease(n) for n in range(1, LEASES + 1)]
        await it.judge(machines=LEASES)
        assert storm.died_at >= READING.intersection(points)

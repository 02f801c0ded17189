"""Killed again and again while a chain is busy: nothing lost, nothing twice, one machine a lease.

Leases are bought, renewed and handed over and blocks are reorganized, also while no daemon lives.
What became of the rows is judged by the receipts, what became of the machines by the simulator's
inventory. `CHAINWATCH_SOAK=n` kills 2 n times, fifty times each daemon, with seeds of its own.
"""

import os
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import Final

import pytest

from provisioner import faultpoints
from tests.support.daemon import Grounds, installation
from tests.support.kills import LEASES, Lives, all_is_read, leases_of_machines, rows
from tests.support.oracle import truth
from tests.support.trade import Trade

SOAK: Final = int(os.environ.get("CHAINWATCH_SOAK", "0"))
#: Lives of one daemon; a longer soak has more daemons.
KILLS: Final = min(2 * SOAK, 50) or 30
#: New ones in every run, and the same in each of its processes.
RUN: Final = Random(os.environ.get("PYTEST_XDIST_TESTRUNUID") or os.urandom(8))
SEEDS: Final = [RUN.getrandbits(32) for _ in range(2 * SOAK // KILLS)] or [1]

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


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"{KILLS} kills with seed {seed}")
async def test_killed_at_any_moment_rows_are_the_receipts_and_each_lease_has_one_machine(
    place: Grounds, folder: Path, seed: int
) -> None:
    random = Random(seed)
    async with installation(place, folder) as it:
        people = (await place.chain.accounts())[1:4]
        trade = Trade(place.chain, it.shop, people, random, lasts=10**7, on_purpose=True)
        lives = Lives(it, trade, random)
        it.configure(source={"finality": 8})
        points = [*islice(cycle([*ARMED, *(None,) * len(ARMED)]), KILLS)]
        for point in points:
            await lives.live(point)
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
        assert lives.died_at >= READING.intersection(points)

"""One liar among three endpoints, whatever it does, while the chain grows and forks: rows are true.

Every seed is another storm: what the liar does changes all the time, and it never stops lying. At
no time is anything final that the receipts do not say, and at the end, when all has become final,
the rows are what they say. Mostly the liar is whom the operator prefers.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Final, TypeAlias

import pytest

from chainwatch.domain.events import Logged
from tests.support import faults
from tests.support.faultproxy import Fault, FaultProxy, proxy
from tests.support.reader import Reader, reader, source_of
from tests.support.town import founded
from tests.support.trade import Trade

FINALITY: Final = 8
DEEPEST: Final = 5
ROUNDS: Final = 10

Lies: TypeAlias = Sequence[Callable[[], Sequence[Fault]]]

#: What is left out or changed: everything, the logs of some blocks, some logs.
UNTRUTHS: Final[Lies] = (
    lambda: [faults.no_logs()],
    lambda: [faults.no_logs(proof=True)],
    lambda: [faults.no_logs(proof=True), faults.blank_blooms()],
    lambda: [faults.lost_blocks()],
    lambda: [faults.lost_blocks(proof=True), faults.blank_blooms()],
    lambda: [faults.empty_range()],
    lambda: [faults.pruned(30, silent=True)],
    lambda: [faults.lost_logs()],
    lambda: [faults.lost_logs(proof=True)],
    lambda: [faults.one_lost_log()],
    lambda: [faults.one_lost_log(proof=True)],
    lambda: [faults.forged_logs()],
    lambda: [faults.forged_logs(proof=True)],
)

#: What else goes wrong.
MISHAPS: Final[Lies] = (
    lambda: [faults.pruned(20, silent=False)],
    lambda: [faults.logs_of_another_fork()],
    lambda: [faults.duplicate_logs(), faults.logs_backwards()],
    lambda: [faults.stale_head(9)],
    lambda: [faults.head_back(3)],
    lambda: [faults.null_block()],
    lambda: [faults.wrong_chain()],
    lambda: [faults.too_wide(2, "block range is too wide")],
    lambda: [faults.http_status(429, {"Retry-After": "9"})],
    lambda: [faults.http_status(500)],
    lambda: [faults.html_page(502)],
    lambda: [faults.truncated_json()],
    lambda: [faults.reset()],
    lambda: [faults.swapped_batch(), faults.short_batch()],
)


@dataclass(slots=True)
class Storm:
    """A chain, a liar in front of it, and somebody who reads it."""

    trade: Trade
    liar: FaultProxy
    reading: Reader
    random: Random

    async def blow(self) -> list[Logged]:
        """Let a few things happen, and give what is called final then."""
        if self.random.random() < 0.3:
            await self.trade.reorg(self.random.randint(1, DEEPEST))
        else:
            await self.trade.grow(self.random.randint(1, 4))
        if self.random.random() < 0.6:
            self.lie()
        if self.random.random() < 0.5:
            self.reading.leap(self.random.choice((40, 700)))
        await self.reading.look(self.random.randint(1, 3))
        assert (await self.reading.state()).halted is None
        return await self.reading.final_rows()

    def lie(self) -> None:
        """Do something else from now on: say what is not true, now and then in disorder."""
        self.liar.disarm()
        for fault in self.random.choice(UNTRUTHS)():
            self.liar.arm(fault)
        if self.random.random() < 0.5:
            for fault in self.random.choice(MISHAPS)():
                self.liar.arm(fault, probability=self.random.choice((0.1, 0.5)))

    async def calm(self) -> None:
        """Let all become final, while the liar goes on."""
        await self.trade.mine(*(0,) * (FINALITY + 2))
        self.reading.leap(700)
        await self.reading.settle()


@asynccontextmanager
async def endpoints(trade: Trade, seed: int) -> AsyncIterator[tuple[FaultProxy, list[str]]]:
    """Three ways to a chain, of which the first that is returned will lie; and all addresses."""
    async with AsyncExitStack() as stack:
        ways = [
            await stack.enter_async_context(proxy(trade.chain.url, seed + place))
            for place in range(3)
        ]
        yield ways[max(seed % 5 - 2, 0)], [way.url for way in ways]


@pytest.fixture
async def trade(seed: int) -> AsyncIterator[Trade]:
    async with founded() as town:
        made = Trade(town.anvil, town.shop, (town.alice, town.bob, town.carol), Random(seed))
        await made.grow(30)
        yield made


async def weather(storm: Storm) -> None:
    """A whole storm and the calm after it, judged by the receipts."""
    storm.lie()
    finals = [await storm.blow() for _ in range(ROUNDS)]
    await storm.calm()
    rows = await storm.reading.rows()
    assert rows == await storm.reading.truth()
    assert all(final == rows[: len(final)] for final in finals)
    assert (await storm.reading.state()).halted is None


@pytest.mark.parametrize("seed", range(32))
async def test_one_liar_among_three_endpoints_changes_no_row(
    trade: Trade, tmp_path: Path, seed: int
) -> None:
    async with endpoints(trade, seed) as (liar, urls):
        plain, proofs = source_of(trade.shop, *urls), seed % 4 == 3
        settings = replace(plain, finality=FINALITY, verify="receipts" if proofs else "bloom")
        async with reader(tmp_path, trade.shop, settings) as reading:
            await weather(Storm(trade, liar, reading, Random(seed)))

"""A subscription is a hint and no more: whatever becomes of it, every row is read.

Each test reads by the real loop of the ingest. Where nothing but the subscription wakes it, polling
is put off for an hour, so that what was read is what the hints have led to.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from chainwatch.chain import heads
from chainwatch.control.supervisor import RootTask
from tests.support import faults
from tests.support.faultproxy import FaultProxy, SocketFault, proxy
from tests.support.reader import Reader, reader, source_of
from tests.support.town import founded
from tests.support.trade import Trade

HOUR = 3600.0


@pytest.fixture
async def trade() -> AsyncIterator[Trade]:
    async with founded() as town:
        yield Trade(town.anvil, town.shop, (town.alice, town.bob), Random(4))


async def _for_ever(run: RootTask) -> None:
    await run()


@asynccontextmanager
async def listening(
    folder: Path, trade: Trade, endpoint: FaultProxy, poll: float
) -> AsyncIterator[Reader]:
    """Read `trade` for real, with a subscription through `endpoint`."""
    plain = source_of(trade.shop, endpoint.url)
    settings = replace(plain, ws=(endpoint.ws_url,), poll_interval=poll, stale_after=2 * poll)
    async with reader(folder, trade.shop, settings) as reading, asyncio.TaskGroup() as tasks:
        feeds = reading.daemon.supervisor.feeds.values()
        loops = [tasks.create_task(_for_ever(run)) for run in (reading.ingest.run, *feeds)]
        yield reading
        for loop in loops:
            loop.cancel()


async def read_up_to(reading: Reader, block: int) -> None:
    """Return once the cursor has reached a block; whoever commits rings the bell."""
    bell = reading.daemon.supervisor.worker.bell
    while True:
        bell.clear()
        cursor = (await reading.state()).cursor
        if cursor is not None and cursor.number >= block:
            return
        await bell.wait()


async def rows_are_true(reading: Reader, up_to: int) -> bool:
    told = [row for row in await reading.truth() if row.block <= up_to]
    assert told != []
    return [row for row in await reading.rows() if row.block <= up_to] == told


async def test_a_thousand_disconnects_lose_nothing(
    trade: Trade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "_FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(heads, "_LONGEST_PAUSE_S", 0.0)
    async with proxy(trade.chain.url) as endpoint:
        hanging_up = endpoint.arm(faults.closing_socket())
        async with listening(tmp_path, trade, endpoint, HOUR) as reading:
            while hanging_up.struck < 1000:
                await trade.grow(2)
                await read_up_to(reading, (await trade.chain.block()).number - 1)
            assert await reading.rows() == await reading.truth()
            assert len(await reading.rows()) > 100


@pytest.mark.parametrize(
    "fault",
    [faults.doubling_socket(), faults.late_socket(), faults.reordering_socket()],
    ids=lambda fault: fault.name,
)
async def test_heads_told_late_twice_or_in_disorder_lose_nothing(
    trade: Trade, tmp_path: Path, fault: SocketFault
) -> None:
    async with proxy(trade.chain.url) as endpoint:
        armed = endpoint.arm(fault)
        async with listening(tmp_path, trade, endpoint, HOUR) as reading:
            for _ in range(6):
                await trade.mine(2)
                last = (await trade.chain.block()).number
                await trade.mine(0, 0, 0)
                await read_up_to(reading, last)
                assert await rows_are_true(reading, last)
            assert armed.struck >= 18


async def test_while_a_subscription_says_nothing_polling_reads_on(
    trade: Trade, tmp_path: Path
) -> None:
    async with proxy(trade.chain.url) as endpoint:
        endpoint.arm(faults.stalling_socket())
        async with listening(tmp_path, trade, endpoint, 0.02) as reading:
            for _ in range(6):
                await trade.mine(2, 0)
                last = (await trade.chain.block()).number - 1
                await read_up_to(reading, last)
                assert await rows_are_true(reading, last)

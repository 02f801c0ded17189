"""Reorgs on a real chain, of any depth and at any time: what is stored is what the receipts say.

Depth is counted above finality, except where a test goes below it on purpose; then nothing is lost
and the source halts. Two nodes that share a past come from one chain's dumped state, so each can go
on by itself and a reader can be led from one story to the other and back.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pytest

from tests.support.anvil import twin
from tests.support.faultproxy import Ask, CallFault, GoOn, proxy
from tests.support.faults import HEADERS
from tests.support.reader import reader, source_of
from tests.support.town import founded
from tests.support.trade import Trade


@pytest.fixture
async def trade() -> AsyncIterator[Trade]:
    """A shop that is five blocks old."""
    async with founded() as town:
        made = Trade(town.anvil, town.shop, (town.alice, town.bob, town.carol), Random(1))
        await made.mine(2, 1, 1)
        yield made


@dataclass(slots=True)
class Forking:
    """A fault in time: at the `left`-th header that is asked for, the chain is reorganized."""

    trade: Trade
    depth: int
    left: int

    def fault(self) -> CallFault:
        return CallFault("a reorg meanwhile", HEADERS, self._act)

    async def _act(self, ask: Ask, go_on: GoOn) -> object:
        self.left -= 1
        if self.left == 0:
            await self.trade.reorg(self.depth)
        return await go_on(ask)


@pytest.mark.parametrize("depth", [1, 2, 3, 7, 32, 60])
async def test_a_reorg_above_finality_leaves_what_the_new_receipts_say(
    trade: Trade, tmp_path: Path, depth: int
) -> None:
    await trade.grow(depth + 4)
    await trade.mine(5)
    settings = replace(source_of(trade.shop, trade.chain.url), confirmations=0, finality=70)
    async with reader(tmp_path, trade.shop, settings) as reading:
        await reading.settle()
        before = await reading.rows()
        await trade.reorg(depth)
        await reading.settle()
        rows = await reading.rows()
        assert rows == await reading.truth()
        assert rows != before
        marked = {each.logged for each in await reading.entries() if each.orphaned_at is not None}
        assert marked == {*before} - {*rows}


async def test_a_reorg_of_256_blocks_is_followed_where_finality_is_deeper(
    trade: Trade, tmp_path: Path
) -> None:
    await trade.mine(*(number % 16 == 0 for number in range(260)))
    settings = replace(source_of(trade.shop, trade.chain.url, max_range=100), finality=300)
    async with reader(tmp_path, trade.shop, settings) as reading:
        await reading.settle()
        before = await reading.rows()
        await trade.reorg(256)
        await reading.settle()
        assert await reading.rows() == await reading.truth()
        assert len(await reading.rows()) < len(before)


async def test_reorgs_while_catching_up_leave_what_the_last_receipts_say(
    trade: Trade, tmp_path: Path
) -> None:
    await trade.grow(40)
    settings = replace(source_of(trade.shop, trade.chain.url), finality=20)
    async with reader(tmp_path, trade.shop, settings) as reading:
        for depth in (3, 7, 12, 1):
            await reading.look()
            await trade.reorg(depth)
        await reading.settle()
        assert await reading.rows() == await reading.truth()


@pytest.mark.parametrize("moment", [1, 2, 3, 4, 6, 9, 14])
async def test_a_reorg_in_the_middle_of_following_another_is_followed_too(
    trade: Trade, tmp_path: Path, moment: int
) -> None:
    await trade.grow(14)
    async with proxy(trade.chain.url) as endpoint:
        settings = replace(source_of(trade.shop, endpoint.url), finality=30)
        async with reader(tmp_path, trade.shop, settings) as reading:
            await reading.settle()
            await trade.reorg(7)
            meanwhile = endpoint.arm(Forking(trade, 5, moment).fault())
            await reading.settle()
            assert meanwhile.struck >= moment
            assert await reading.rows() == await reading.truth()


async def test_back_on_the_first_fork_its_rows_are_back(trade: Trade, tmp_path: Path) -> None:
    async with twin(trade.chain) as other, proxy(trade.chain.url) as endpoint:
        settings = replace(source_of(trade.shop, endpoint.url), finality=30)
        async with reader(tmp_path, trade.shop, settings) as reading:
            await trade.grow(6)
            await reading.settle()
            first = await reading.rows()
            await trade.on(other, seed=2).grow(9)
            endpoint.lead_to(other.url)
            await reading.look(8)
            assert not {*first} <= {*await reading.rows()}
            await trade.grow(6)
            endpoint.lead_to(trade.chain.url)
            await reading.settle()
            assert await reading.rows() == await reading.truth()
            assert (await reading.rows())[: len(first)] == first


async def test_a_reorg_below_finality_halts_and_no_row_is_lost(
    trade: Trade, tmp_path: Path
) -> None:
    await trade.grow(12)
    async with reader(tmp_path, trade.shop, source_of(trade.shop, trade.chain.url)) as reading:
        await reading.settle()
        before = await reading.entries()
        await trade.reorg(9)
        await trade.grow(6)
        await reading.look(5)
        state = await reading.state()
        assert state.halted is not None
        assert "was final as 0x" in state.halted
        assert (await reading.alarms()).keys() >= {"source-halted"}
        assert await reading.entries() == before
        assert all(each.orphaned_at is None for each in before)


async def test_a_node_restored_from_an_older_snapshot_is_stale_and_no_reorg(
    trade: Trade, tmp_path: Path
) -> None:
    async with (
        twin(trade.chain) as restored,
        proxy(trade.chain.url) as endpoint,
        reader(tmp_path, trade.shop, source_of(trade.shop, endpoint.url, max_range=500)) as reading,
    ):
        await trade.grow(4)
        await trade.chain.mine(1000)
        await trade.grow(4)
        await reading.settle()
        before = await reading.entries()
        endpoint.lead_to(restored.url)
        await reading.look(20)
        assert await reading.entries() == before
        assert (await reading.state()).halted is None
        assert reading.trouble is not None
        reading.leap(reading.settings.stale_after)
        assert reading.ingest.status.stale
        endpoint.lead_to(trade.chain.url)
        await trade.grow(4)
        await reading.settle()
        assert await reading.rows() == await reading.truth()

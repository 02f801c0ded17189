"""Who lies is found out and named; where all tell the same lie, the contract's state says so."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random

import pytest
import pytest_asyncio

from tests.support import faults
from tests.support.anvil import twin
from tests.support.faultproxy import Ask, CallFault, Fault, FaultProxy, GoOn, proxy
from tests.support.reader import Reader, reader, source_of
from tests.support.town import founded
from tests.support.trade import Trade

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: Lies that last, each told by one endpoint that has an answer to every question.
LIES: dict[str, list[Fault]] = {
    "no logs": [faults.no_logs()],
    "no logs, no proof": [faults.no_logs(proof=True)],
    "no logs, no proof, no bloom": [faults.no_logs(proof=True), faults.blank_blooms()],
    "lost blocks": [faults.lost_blocks()],
    "lost blocks, no proof, no bloom": [faults.lost_blocks(proof=True), faults.blank_blooms()],
    "lost logs": [faults.lost_logs()],
    "one lost log": [faults.one_lost_log()],
    "one lost log, no proof": [faults.one_lost_log(proof=True)],
    "forged logs": [faults.forged_logs()],
    "forged logs, forged receipts": [faults.forged_logs(proof=True)],
    "empty range": [faults.empty_range()],
    "pruned in silence": [faults.pruned(20, silent=True)],
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def past() -> AsyncIterator[Trade]:
    """A shop with a past of thirty blocks, all final."""
    async with founded() as town:
        made = Trade(town.anvil, town.shop, (town.alice, town.bob), Random(5))
        await made.grow(30)
        await made.mine(0, 0, 0)
        yield made


@asynccontextmanager
async def honest(trade: Trade, count: int) -> AsyncIterator[list[FaultProxy]]:
    """So many endpoints of the chain, all honest yet."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(proxy(trade.chain.url)) for _ in range(count)]


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("name", LIES)
async def test_of_three_endpoints_the_liar_alone_is_blamed_and_changes_no_row(
    past: Trade, tmp_path: Path, name: str, place: int
) -> None:
    async with honest(past, 3) as ways:
        for fault in LIES[name]:
            ways[place].arm(fault)
        settings = source_of(past.shop, *(way.url for way in ways))
        async with reader(tmp_path, past.shop, settings) as reading:
            await reading.settle()
            assert await reading.rows() == await reading.truth()
            blamed = [way.last_error is not None for way in reading.pool.health()]
            assert blamed == [number == place for number in range(3)]


@pytest.mark.parametrize("name", [name for name in LIES if "log" in name])
async def test_who_told_other_logs_than_two_others_is_quarantined_and_an_alarm_names_it(
    past: Trade, tmp_path: Path, name: str
) -> None:
    async with honest(past, 3) as (first, liar, third):
        for fault in LIES[name]:
            liar.arm(fault)
        settings = source_of(past.shop, first.url, liar.url, third.url)
        async with reader(tmp_path, past.shop, settings) as reading:
            await reading.settle()
            await reading.ingest.quarantines.tell()
            told = (await reading.alarms())["endpoint-quarantined"]
            assert f"127.0.0.1:{liar.port}" in told
            assert f":{first.port}" not in told
            assert f":{third.port}" not in told


def later(seconds: int) -> CallFault:
    """The true blocks, but of a time to come."""

    async def act(ask: Ask, go_on: GoOn) -> object:
        block = await go_on(ask)
        if not isinstance(block, dict):
            return block
        return block | {"timestamp": hex(int(str(block["timestamp"]), 16) + seconds)}

    return CallFault("later", faults.HEADERS, act)


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_of_three_endpoints_one_that_tells_other_times_ends_nobodys_lease(
    past: Trade, tmp_path: Path, place: int
) -> None:
    async with honest(past, 3) as ways:
        ways[place].arm(later(10**9))
        settings = source_of(past.shop, *(way.url for way in ways))
        async with reader(tmp_path, past.shop, settings) as reading:
            await reading.settle()
            state = await reading.state()
            for block in (state.cursor, state.final):
                assert block is not None
                assert block.timestamp == (await past.chain.block(block.number)).timestamp
            assert await reading.rows() == await reading.truth()


async def test_of_two_endpoints_receipts_prove_who_lies(past: Trade, tmp_path: Path) -> None:
    async with honest(past, 2) as (first, second):
        first.arm(faults.lost_logs(proof=True))
        settings = source_of(past.shop, first.url, second.url)
        async with reader(tmp_path, past.shop, settings) as reading:
            await reading.settle(final=False)
            assert await reading.rows() == await reading.truth()


async def test_of_two_endpoints_without_receipts_nobody_is_believed_until_they_agree(
    past: Trade, tmp_path: Path
) -> None:
    async with honest(past, 2) as (first, second):
        first.arm(faults.lost_logs())
        for endpoint in (first, second):
            endpoint.arm(faults.no_receipts())
        settings = source_of(past.shop, first.url, second.url)
        async with reader(tmp_path, past.shop, settings) as reading:
            await reading.look(20)
            rows = await reading.rows()
            assert rows == (await reading.truth())[: len(rows)]
            assert not await reading.at_rest()
            assert reading.trouble is not None
            first.disarm()
            await reading.settle()
            assert await reading.rows() == await reading.truth()


@asynccontextmanager
async def forked(trade: Trade) -> AsyncIterator[tuple[Trade, Trade]]:
    """A chain and another one that parted from it ten blocks ago and is longer."""
    async with twin(trade.chain) as chain, twin(trade.chain) as other:
        true, fork = trade.on(chain, seed=6), trade.on(other, seed=7)
        await true.grow(10)
        await fork.grow(14)
        yield true, fork


@pytest.mark.parametrize("looks", [0, 2, 40])
async def test_of_three_endpoints_one_on_a_longer_chain_of_its_own_is_outvoted(
    past: Trade, tmp_path: Path, looks: int
) -> None:
    async with forked(past) as (trade, fork), honest(trade, 3) as (first, second, third):
        settings = source_of(trade.shop, first.url, second.url, third.url)
        async with reader(tmp_path, trade.shop, settings) as reading:
            await reading.look(looks)
            first.lead_to(fork.chain.url)
            await reading.settle()
            await trade.grow(5)
            await reading.settle()
            assert await reading.rows() == await reading.truth()
            assert reading.pool.health()[0].last_error is not None
            assert [way.last_error for way in reading.pool.health()[1:]] == [None, None]


@pytest.mark.parametrize("looks", [0, 40])
async def test_of_two_endpoints_on_chains_of_their_own_neither_is_believed(
    past: Trade, tmp_path: Path, looks: int
) -> None:
    async with forked(past) as (trade, fork), honest(trade, 2) as (first, second):
        settings = source_of(trade.shop, first.url, second.url)
        async with reader(tmp_path, trade.shop, settings) as reading:
            await reading.look(looks)
            second.lead_to(fork.chain.url)
            await trade.grow(5)
            await reading.look(40)
            told = await reading.truth()
            assert await reading.final_rows() == told[: len(await reading.final_rows())]
            assert not await reading.at_rest()
            second.lead_to(trade.chain.url)
            reading.leap(600)
            await reading.settle()
            assert await reading.rows() == await reading.truth()


async def audited(reading: Reader) -> None:
    """Let the audit look twice, at two blocks."""
    (lookout,) = reading.daemon.supervisor.lookouts
    await lookout.audit.look()
    await reading.shop.deployed.anvil.mine()
    await reading.settle()
    await lookout.audit.look()


async def test_where_all_hide_the_same_the_audit_halts_the_source_and_no_row_is_lost(
    past: Trade, tmp_path: Path
) -> None:
    async with honest(past, 2) as (first, second):
        settings = source_of(past.shop, first.url, second.url)
        async with reader(tmp_path, past.shop, settings) as reading:
            await reading.look()
            for fault in LIES["no logs, no proof, no bloom"]:
                first.arm(fault)
                second.arm(fault)
            await reading.settle()
            before = await reading.entries()
            assert await reading.rows() != await reading.truth()
            await audited(reading)
            assert (await reading.state()).halted is not None
            assert "audit" in await reading.alarms()
            assert await reading.entries() == before

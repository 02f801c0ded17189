"""The reader on a real chain: catching up, following, forks, and what it refuses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp.test_utils import unused_port

from chainwatch.chain import profiles
from chainwatch.chain.heads import HeadFeed
from chainwatch.chain.latest import LatestReader
from chainwatch.chain.reorg import Behind
from chainwatch.chain.rpc import RpcPool
from chainwatch.chain.scanner import Scanner
from chainwatch.chain.settings import SourceSettings
from chainwatch.domain.batches import LatestLease, Rewind, Source
from chainwatch.errors import Fatal, RpcUnavailable, SourceHalted
from tests.support.anvil import CHAIN_ID
from tests.support.lease_contract import PlanOffer
from tests.support.ledger import Ledger
from tests.support.oracle import truth
from tests.support.town import COIN, Town, founded

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILXVTDnmZnHJcxufRx5YXYJizU9Ulj8Mkwgtjc8zTUx4 alice@x"


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with founded() as town:
        yield town


def settings_for(town: Town) -> SourceSettings:
    return SourceSettings(
        source=Source("shop", CHAIN_ID, town.shop.address, 0, "lease"),
        http=(town.anvil.url,),
        ws=(town.anvil.ws_url,),
        confirmations=0,
        finality="finalized",
        poll_interval=1,
        stale_after=60,
        max_range=7,
        timeout=5,
    )


@asynccontextmanager
async def reading(settings: SourceSettings) -> AsyncIterator[tuple[Scanner, Ledger]]:
    ledger = Ledger()
    pool = RpcPool(settings.http, timeout=settings.timeout)
    try:
        yield Scanner(settings, pool, profiles.get("lease"), ledger), ledger
    finally:
        await pool.close()


async def a_busy_day(town: Town) -> None:
    """Everything that the contract can say, with idle blocks between."""
    shop, alice, bob = town.shop, town.alice, town.bob
    token, _ = await shop.mint(1, alice, ssh_key=KEY, encryption_key=b"\x01\x02")
    await town.anvil.mine(9)
    await shop.deliver(token, b"sealed")
    await shop.renew(token, 600, bob)
    await shop.transfer(token, alice, bob)
    await shop.set_keys(token, bob, KEY)
    await shop.cancel(token, bob)
    await shop.set_terms(1, 9, cap=4, on_sale=True)
    await shop.pause_sales(True)
    await shop.pause_sales(False)
    await town.anvil.mine(11)
    await shop.mint(1, bob)
    await shop.deployed.send("requestAction", token, 4, b"debian-12", sender=bob)
    larger = await shop.create_plan(PlanOffer(name="large", cores=2))
    await shop.deployed.send("requestUpgrade", token, larger, COIN, sender=bob, value=COIN)
    wanted = await shop.deployed.call(tuple, "upgradeOf", token)
    await shop.deployed.send("completeUpgrade", token, *wanted[:2], sender=shop.provisioner)
    await shop.end(token, bob)
    await shop.burn(token, bob)


async def test_catching_up_reads_what_the_receipts_say(town: Town) -> None:
    await a_busy_day(town)
    async with reading(settings_for(town)) as (scanner, ledger):
        await scanner.check()
        await ledger.follow(scanner)
        head = await town.anvil.block()
        told = await truth(town.shop, head.number)
        assert len(told) > 15
        assert ledger.canonical() == told
        assert ledger.state.cursor == ledger.blocks[head.number]
        assert ledger.state.cursor.hash == head.hash
        assert ledger.state.final is not None
        assert ledger.state.final.number == head.number - 2
        assert scanner.take_unread() == ()


async def test_confirmations_hold_back_what_is_too_new(town: Town) -> None:
    await a_busy_day(town)
    async with reading(replace(settings_for(town), confirmations=3)) as (scanner, ledger):
        await ledger.follow(scanner)
        head = await town.anvil.block()
        assert ledger.canonical() == await truth(town.shop, head.number - 3)


async def test_each_new_head_wakes_and_what_it_brought_is_read(town: Town) -> None:
    woken = asyncio.Event()
    settings = settings_for(town)
    async with reading(settings) as (scanner, ledger), asyncio.TaskGroup() as group:
        feed = group.create_task(HeadFeed(settings.ws, woken.set, poll=1.0).run())
        await woken.wait()
        for _ in range(5):
            woken.clear()
            _, receipt = await town.shop.mint(1, town.alice)
            while ledger.state.cursor is None or ledger.state.cursor.number < receipt.block_number:
                await woken.wait()
                woken.clear()
                await ledger.follow(scanner)
            assert ledger.canonical() == await truth(town.shop, receipt.block_number)
        feed.cancel()


@pytest.mark.parametrize("depth", [1, 2, 7])
async def test_a_reorg_leaves_what_the_new_receipts_say(town: Town, depth: int) -> None:
    settings = replace(settings_for(town), finality=20)
    async with reading(settings) as (scanner, ledger):
        for _ in range(depth + 2):
            await town.shop.mint(1, town.alice)
        await ledger.follow(scanner)
        before = await town.anvil.block()
        await town.anvil.reorg(depth)
        await town.shop.mint(1, town.bob)
        await ledger.follow(scanner)
        rewinds = [step for step in ledger.steps if isinstance(step, Rewind)]
        assert [r.ancestor and r.ancestor.number for r in rewinds] == [before.number - depth]
        head = await town.anvil.block()
        assert ledger.canonical() == await truth(town.shop, head.number)
        assert ledger.state.cursor is not None
        assert ledger.state.cursor.hash == head.hash


async def test_a_reorg_below_the_finalized_block_halts_and_loses_nothing(town: Town) -> None:
    async with reading(settings_for(town)) as (scanner, ledger):
        for _ in range(8):
            await town.shop.mint(1, town.alice)
        await ledger.follow(scanner)
        stored = ledger.canonical()
        await town.anvil.reorg(7)
        with pytest.raises(SourceHalted, match="was final as 0x"):
            await ledger.follow(scanner)
        assert ledger.canonical() == stored


async def test_a_node_that_went_back_is_stale_until_it_tells_another_story_as_long(
    town: Town,
) -> None:
    settings = replace(settings_for(town), finality=20)
    async with reading(settings) as (scanner, ledger):
        await town.shop.mint(1, town.alice)
        snapshot = await town.anvil.snapshot()
        await town.shop.mint(1, town.alice)
        await town.shop.mint(1, town.alice)
        await ledger.follow(scanner)
        stored = ledger.canonical()
        await town.anvil.revert(snapshot)
        with pytest.raises(Behind):
            await ledger.follow(scanner)
        await town.shop.mint(1, town.bob)
        with pytest.raises(Behind, match="on another fork"):
            await ledger.follow(scanner)
        assert ledger.canonical() == stored
        await town.shop.mint(1, town.bob)
        await ledger.follow(scanner)
        head = await town.anvil.block()
        assert ledger.canonical() == await truth(town.shop, head.number)


async def test_a_wrong_chain_id_is_refused_at_start(town: Town) -> None:
    right = settings_for(town)
    wrong = replace(right, source=replace(right.source, chain_id=8453))
    async with reading(wrong) as (scanner, _):
        with pytest.raises(Fatal, match=f"serves chain {CHAIN_ID}, .* chain 8453"):
            await scanner.check()


async def test_an_address_without_code_is_refused_at_start(town: Town) -> None:
    right = settings_for(town)
    wrong = replace(right, source=replace(right.source, contract=town.alice))
    async with reading(wrong) as (scanner, _):
        with pytest.raises(Fatal, match="there is no contract at"):
            await scanner.check()


async def test_a_node_that_is_gone_is_unavailable_and_not_fatal(town: Town) -> None:
    nobody = replace(settings_for(town), http=(f"http://127.0.0.1:{unused_port()}/key",))
    async with reading(nobody) as (scanner, ledger):
        with pytest.raises(RpcUnavailable):
            await scanner.check()
        with pytest.raises(RpcUnavailable):
            await ledger.follow(scanner)


async def test_the_lease_at_latest_is_what_the_contract_says_now(town: Town) -> None:
    token, _ = await town.shop.mint(1, town.alice)
    settings = settings_for(town)
    pool = RpcPool(settings.http * 2, timeout=settings.timeout)
    latest = LatestReader(settings, pool, profiles.get("lease"))
    try:
        async with reading(settings) as (scanner, ledger):
            await ledger.follow(scanner)
        cursor = ledger.state.cursor
        assert cursor is not None
        await town.shop.renew(token, 600, town.bob)
        head = await town.anvil.block()
        until = await town.shop.expires_at(token)
        told = await latest.lease_at_latest(token, cursor)
        assert told == LatestLease(head.number, head.timestamp, town.alice.lower(), until)
        missing = await latest.lease_at_latest(token + 1, cursor)
        assert missing == LatestLease(head.number, head.timestamp, None, 0)
    finally:
        await pool.close()

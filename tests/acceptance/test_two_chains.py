"""One daemon over two chains, each a node of its own: what one of them does is its own affair."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from chainwatch.demo.cluster import Guest
from tests.support.anvil import Anvil, running
from tests.support.daemon import GRACE, HOUR, Grounds, Installation, installation
from tests.support.subscription import SubscriptionContract, open_subscriptions

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

CHAIN_ID = 4711
NAME = "subscriptions"
TOKEN = 77
WEEK = 7 * 24 * HOUR


@dataclass(frozen=True, slots=True)
class Abroad:
    """Another chain, with somebody else's contract on it."""

    chain: Anvil
    shop: SubscriptionContract

    async def sell(self, token: int, *, lasts: int) -> None:
        until = (await self.chain.block()).timestamp + lasts
        await self.shop.announce_and_mint(self.shop.sender, token, until)
        await self.chain.mine()

    async def pass_time(self, seconds: int) -> None:
        await self.chain.advance(seconds)
        await self.chain.mine(3)


@asynccontextmanager
async def abroad(it: Installation) -> AsyncIterator[Abroad]:
    """A second source for a daemon, on a chain of its own."""
    async with running(chain_id=CHAIN_ID) as chain:
        shop = await open_subscriptions(chain)
        it.settings[f"source {NAME}"] = {
            **it.settings["source"],
            "name": NAME,
            "chain_id": CHAIN_ID,
            "contract": shop.address,
            "start_block": 0,
            "profile": "erc5643",
            "http": [chain.url],
        }
        it.settings["source.plan"] = {
            "cores": 1,
            "memory_mib": 1024,
            "disk_gib": 20,
            "grace": GRACE,
        }
        it.configure()
        yield Abroad(chain, shop)


async def machines(it: Installation) -> dict[int, Guest]:
    """The machines that a daemon made, by the tokens that they are named after.

    One that is being cloned has no such name yet.
    """
    made = (guest for guest in await it.machines() if guest.lock is None)
    return {int(guest.name.split("-")[1]): guest for guest in made}


async def until_running(it: Installation, *tokens: int) -> None:
    """Wait until the machines of exactly these tokens run."""

    async def they_do() -> bool:
        found = await machines(it)
        return {token for token, guest in found.items() if guest.booted} == set(tokens)

    await it.until(f"the machines of {tokens} run, and no others", they_do)


async def test_each_chain_clocks_its_own_leases(place: Grounds, folder: Path) -> None:
    async with installation(place, folder) as it, abroad(it) as other:
        token = await it.buy(seconds=WEEK)
        await other.sell(TOKEN, lasts=HOUR)
        await it.daemon.start()
        await until_running(it, token, TOKEN)
        await other.pass_time(2 * HOUR)
        await until_running(it, token)
        await other.shop.renew(TOKEN, WEEK)
        await other.chain.mine()
        await until_running(it, token, TOKEN)
        await it.judge(machines=2)


async def test_a_node_that_hangs_holds_up_its_own_leases_only(place: Grounds, folder: Path) -> None:
    async with installation(place, folder) as it, abroad(it) as other:
        await other.sell(TOKEN, lasts=HOUR)
        await it.daemon.start()
        await until_running(it, TOKEN)
        os.kill(other.chain.pid, signal.SIGSTOP)
        try:
            first, second = await it.buy(seconds=HOUR), await it.buy(seconds=WEEK)
            await until_running(it, TOKEN, first, second)
            await place.chain.advance(2 * HOUR)
            await place.chain.mine(3)
            await until_running(it, TOKEN, second)
        finally:
            os.kill(other.chain.pid, signal.SIGCONT)
        await other.pass_time(2 * HOUR)
        await until_running(it, second)
        await it.judge(machines=3)

"""A contract of each profile's kind on a real chain, with one way to sell, and who reads it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from chainwatch.chain import profiles
from chainwatch.chain.latest import LatestReader
from chainwatch.chain.rpc import RpcPool
from chainwatch.chain.scanner import Scanner
from chainwatch.chain.settings import SourceSettings
from chainwatch.domain.batches import Source
from chainwatch.domain.credentials import Links, folded
from chainwatch.domain.events import (
    ExpiryUpdated,
    Logged,
    Subscribed,
    Transferred,
)
from chainwatch.domain.lease import Lease, fold_all
from tests.support.anvil import CHAIN_ID, Anvil
from tests.support.hosting import Hosting, hosting_truth, open_hosting
from tests.support.lease_contract import LeaseContract, PlanOffer, open_shop
from tests.support.ledger import Ledger
from tests.support.oracle import Watched
from tests.support.subscription import SubscriptionContract, open_subscriptions
from tests.support.unlock import Lock, lock_truth, open_lock


@dataclass(frozen=True, slots=True)
class Shop:
    """A contract of the profile's kind; `sell` mints to an owner and returns the token."""

    watched: Watched
    sell: Callable[[str], Awaitable[int]]
    renew: Callable[[int], Awaitable[object]]
    transfer: Callable[[int, str, str], Awaitable[object]]
    burn: Callable[[int, str], Awaitable[object]]
    expiry: str = "expiresAt"
    truth: Callable[[int], Awaitable[list[Logged]]] | None = None
    start_block: int = 0
    credential: str = ""
    answers: Callable[[int], Awaitable[tuple[str, int]]] | None = None

    def read(self, anvil: Anvil, profile: str) -> AbstractAsyncContextManager["Reader"]:
        return reading(
            anvil,
            self.watched.address,
            profile,
            start_block=self.start_block,
            credential=self.credential,
        )

    async def asked(self, token: int) -> tuple[str, int]:
        """The owner and the expiry that the contract answers."""
        if self.answers is not None:
            return await self.answers(token)
        asked = self.watched.deployed
        return await asked.call(str, "ownerOf", token), await asked.call(int, self.expiry, token)


async def _lease_shop(anvil: Anvil) -> Shop:
    shop: LeaseContract = await open_shop(anvil)
    await shop.create_plan(PlanOffer())
    payer = shop.admin

    async def sell(owner: str) -> int:
        token, _ = await shop.mint(1, payer, recipient=owner)
        await shop.deliver(token)
        return token

    async def burn(token: int, owner: str) -> object:
        await shop.end(token, owner)
        return await shop.burn(token, owner)

    return Shop(shop, sell, lambda token: shop.renew(token, 600, payer), shop.transfer, burn)


async def _subscription_shop(anvil: Anvil) -> Shop:
    shop: SubscriptionContract = await open_subscriptions(anvil)
    last = 0

    async def sell(owner: str) -> int:
        nonlocal last
        last += 1
        until = (await anvil.block()).timestamp + 3600
        how = shop.announce_and_mint if last % 2 else shop.mint
        await how(owner, last, until)
        return last

    return Shop(
        shop,
        sell,
        lambda token: shop.renew(token, 600),
        shop.transfer,
        lambda token, _: shop.burn(token),
    )


async def _lock_shop(anvil: Anvil) -> Shop:
    lock: Lock = await open_lock(anvil)
    return Shop(
        lock,
        lock.buy,
        lambda token: lock.extend(token, lock.manager),
        lock.transfer,
        lock.burn,
        "keyExpirationTimestampFor",
        lambda up_to: lock_truth(lock, up_to),
        lock.made_in + 1,
    )


async def _hosting_shop(anvil: Anvil) -> Shop:
    shop: Hosting = await open_hosting(anvil)

    async def answers(token: int) -> tuple[str, int]:
        return await shop.owner(token), await shop.expiry(token)

    return Shop(
        shop,
        shop.sell,
        lambda token: shop.extend(token, 600),
        shop.transfer,
        shop.burn,
        truth=lambda up_to: hosting_truth(shop, up_to),
        credential=shop.credentials.address,
        answers=answers,
    )


SHOPS = {
    "blockhost": _hosting_shop,
    "erc5643": _subscription_shop,
    "lease": _lease_shop,
    "unlock": _lock_shop,
}


@dataclass(frozen=True, slots=True)
class Reader:
    scanner: Scanner
    ledger: Ledger
    latest: LatestReader

    def leases(self) -> dict[int, Lease]:
        """What the read events fold to, token by token."""
        tokens: dict[int, list[Logged]] = {}
        read = self.ledger.canonical()
        for logged in folded(read, Links().about(read)):
            if isinstance(logged.event, Subscribed | Transferred | ExpiryUpdated):
                tokens.setdefault(logged.event.token, []).append(logged)
        states = {token: fold_all(history) for token, history in tokens.items()}
        return {token: lease for token, lease in states.items() if lease is not None}


@asynccontextmanager
async def reading(
    anvil: Anvil,
    contract: str,
    profile: str,
    *ignored: str,
    start_block: int = 0,
    credential: str = "",
) -> AsyncIterator[Reader]:
    settings = SourceSettings(
        source=Source("shop", CHAIN_ID, contract, start_block, profile, credential),
        http=(anvil.url,),
        ws=(),
        confirmations=0,
        finality="finalized",
        poll_interval=1,
        stale_after=60,
        max_range=7,
        timeout=5,
        ignore_events=ignored,
    )
    pool, ledger, read_by = RpcPool(settings.http, timeout=5), Ledger(), profiles.of(settings)
    try:
        yield Reader(
            Scanner(settings, pool, read_by, ledger),
            ledger,
            LatestReader(settings, pool, read_by, ledger.credentials),
        )
    finally:
        await pool.close()

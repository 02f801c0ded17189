"""The daemon over a real lock of Unlock Protocol, whose keys are machines, and a simulated cluster.

It is an `Estate` whose shop is the published `PublicLock` on a chain of its own: the loops are
turned by hand in the same way. A lock is told nothing, so there is no hot key; who gets in is read
in the guest, in what its account says of whose it is.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, cast

from chainwatch.chain.settings import SourceSettings
from chainwatch.domain.batches import Source
from chainwatch.domain.lease import Plan
from chainwatch.store.verify import verify
from tests.support.anvil import CHAIN_ID, running
from tests.support.estate import GRACE, HOUR, Estate, founded, shop_at
from tests.support.lease_contract import LeaseContract
from tests.support.realm import config
from tests.support.unlock import Lock, open_lock

SOLD: Final = Plan(0, "shop", 0, 3, 3072, 30, GRACE, defined=True)


@dataclass(slots=True)
class Lodge:
    """One daemon over a lock, whose keys last an hour; `daemon` turns its loops."""

    daemon: Estate
    lock: Lock

    @property
    def alice(self) -> str:
        return self.daemon.alice

    @property
    def bob(self) -> str:
        return self.daemon.bob

    async def buy(self) -> int:
        """Alice buys a key, and has the machine that it is, for good."""
        token = await self.lock.buy(self.alice)
        await self.settle()
        return token

    async def settle(self) -> None:
        """Let what was said become final, and everything that follows happen."""
        await self.daemon.finalize()
        await self.daemon.turns()

    async def pass_time(self, seconds: int) -> None:
        """Let chain time pass for good, and everything that follows happen."""
        await self.daemon.pass_time(seconds)
        await self.daemon.turns()

    async def left(self, token: int) -> int:
        """For how many seconds the lock says that a key is good."""
        return await self.lock.expiry(token) - (await self.daemon.anvil.block()).timestamp

    def whose(self) -> str:
        """What the account in the guest says of its owner."""
        return self.daemon.guest().os.comments.get("debian", "")

    async def agrees(self, token: int) -> bool:
        """Whether the lease is as the lock says, and every row as the journal."""
        row = await self.daemon.daemon.stores.leases.get(self.daemon.lease(token))
        assert row is not None
        assert row.lease is not None
        said = (await self.lock.owner(token)).lower(), await self.lock.expiry(token)
        rows_differ = await verify(self.daemon.db)
        return (row.lease.owner, row.lease.expires_at) == said and not rows_differ


def _source(lock: Lock, url: str) -> SourceSettings:
    source = Source("shop", CHAIN_ID, lock.address.lower(), lock.made_in + 1, "unlock")
    return replace(shop_at(url, source), plan=SOLD)


@asynccontextmanager
async def lodge(folder: Path) -> AsyncIterator[Lodge]:
    """Open a lodge: a lock as Unlock makes it, and a daemon that knows what its keys are."""
    async with running() as anvil:
        lock = await open_lock(anvil, duration=HOUR)
        plain = config(folder)
        settings = replace(
            plain,
            sources=(_source(lock, anvil.url),),
            machines=replace(plain.machines, wallet_login=True),
        )
        shop = cast("LeaseContract", lock)  # its address is all that an estate needs of it
        async with founded(folder, anvil, shop, settings) as made:
            yield Lodge(made, lock)

"""The daemon over hosting subscriptions, whose credentials it mints, and a simulated cluster.

It is an `Estate` whose shop is another contract: the loops are turned by hand in the same way. Who
gets in is read in the guest: what its account says of whose it is.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, cast

from chainwatch.chain.settings import SourceSettings
from chainwatch.config.sender import SenderChainConfig, SenderConfig
from chainwatch.credentials import Secret
from chainwatch.domain.batches import Source
from chainwatch.domain.lease import Plan
from chainwatch.domain.sendings import Kind, Sending
from chainwatch.store.verify import verify
from tests.support.anvil import CHAIN_ID, running
from tests.support.estate import GRACE, Estate, founded, shop_at
from tests.support.hosting import Hosting, checksum, open_hosting
from tests.support.lease_contract import LeaseContract
from tests.support.post import ADDRESS, CEILING, COIN, KEY
from tests.support.realm import config

SOLD: Final = {
    1: Plan(1, "shop", 0, 2, 2048, 20, GRACE, defined=True),
    2: Plan(2, "shop", 0, 4, 4096, 40, GRACE, defined=True),
}


@dataclass(slots=True)
class Hotel:
    """One daemon over both contracts; `daemon` turns its loops."""

    daemon: Estate
    hosting: Hosting

    @property
    def alice(self) -> str:
        return self.daemon.alice

    @property
    def bob(self) -> str:
        return self.daemon.bob

    async def buy(self, *, plan: int = 1, seconds: int = 86_400) -> int:
        """Alice subscribes, and that is final."""
        token = await self.hosting.subscribe(self.alice, plan=plan, seconds=seconds)
        await self.daemon.finalize()
        return token

    async def is_minted(self, token: int) -> int:
        """Turn until a subscription has its credential, final and read; return its number."""

        async def there() -> bool:
            return await self.hosting.all_of(token) > 0

        await self.daemon.until(there)
        await self.settle()
        return await self.hosting.credential(token)

    async def settle(self) -> None:
        """Let what was said become final, and everything that follows happen."""
        await self.daemon.finalize()
        await self.daemon.turns(12)

    async def mints(self, token: int) -> Sequence[Sending]:
        return await self.daemon.sendings(token, Kind.MINT)

    def whose(self) -> str:
        """What the account in the guest says of its owner."""
        return self.daemon.guest().os.comments.get("debian", "")

    async def agrees(self, token: int) -> None:
        """Hold the lease against both contracts, and every row against the journal."""
        row = await self.daemon.daemon.stores.leases.get(self.daemon.lease(token))
        assert row is not None
        assert row.lease is not None
        assert row.lease.owner == (await self.hosting.owner(token)).lower()
        assert row.lease.expires_at == await self.hosting.expiry(token)
        assert await verify(self.daemon.db) == []


def source_of(hosting: Hosting, url: str) -> SourceSettings:
    """Both contracts as one source."""
    addresses = hosting.address.lower(), hosting.credentials.address.lower()
    source = Source("shop", CHAIN_ID, addresses[0], 0, "blockhost", addresses[1])
    return replace(shop_at(url, source), sells=SOLD)


@asynccontextmanager
async def hotel(folder: Path) -> AsyncIterator[Hotel]:
    """Open a hotel: two contracts, and a daemon whose key may mint credentials."""
    async with running() as anvil:
        hosting = await open_hosting(anvil)
        await hosting.credentials.send("setMinter", checksum(ADDRESS), sender=hosting.admin)
        await anvil.rpc("anvil_setBalance", ADDRESS, hex(COIN))
        sender = SenderConfig(Secret(KEY), (SenderChainConfig(CHAIN_ID, CEILING, COIN // 100),))
        plain = config(folder)
        settings = replace(
            plain,
            sources=(source_of(hosting, anvil.url),),
            sender=sender,
            machines=replace(plain.machines, wallet_login=True),
        )
        shop = cast("LeaseContract", hosting)  # its address is all that an estate needs of it
        async with founded(folder, anvil, shop, settings) as made:
            yield Hotel(made, hosting)

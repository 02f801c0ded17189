"""Where the tests of the contract take place: a chain of their own, a shop, three people."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.support.anvil import Anvil, running
from tests.support.lease_contract import LeaseContract, PlanOffer, Receipt, open_shop, purchase

HOUR = 3600
GRACE = 2 * HOUR
DELIVERY = HOUR
PRICE = 1_000
COIN = 10**18
OFFER = PlanOffer(grace=GRACE, price_per_second=PRICE, delivery_time=DELIVERY, end_fee=1000)


@dataclass(frozen=True, slots=True)
class Town:
    """A shop with one plan (id 1), and three people with coins."""

    anvil: Anvil
    shop: LeaseContract
    alice: str
    bob: str
    carol: str

    async def balance(self, who: str) -> int:
        return int(str(await self.anvil.rpc("eth_getBalance", who, "latest")), 16)

    async def delivered(self, *, ssh_key: str = "") -> int:
        """Alice's lease of an hour, whose time runs; returns its token."""
        token, _ = await self.shop.mint(1, self.alice, seconds=HOUR, ssh_key=ssh_key)
        await self.shop.deliver(token)
        return token

    async def next_second(self, token: int, seconds_after_expiry: int) -> None:
        """The next transaction is mined that long after the expiry of the lease."""
        timestamp = await self.shop.expires_at(token) + seconds_after_expiry
        await self.anvil.advance_to(timestamp - 1)
        await self.anvil.rpc("evm_setNextBlockTimestamp", timestamp)

    async def mint_raw(
        self, *, value: int, seconds: int = HOUR, maximum: int = COIN, deadline: int = 2**63
    ) -> Receipt:
        """Alice's purchase of plan 1 with guards and value as she likes."""
        return await self.shop.deployed.send(
            "mint",
            purchase(1, self.alice, seconds, maximum, deadline),
            sender=self.alice,
            value=value,
        )


@asynccontextmanager
async def founded() -> AsyncIterator[Town]:
    async with running() as anvil:
        shop = await open_shop(anvil)
        await shop.create_plan(OFFER)
        _, alice, bob, carol, *_ = await anvil.accounts()
        yield Town(anvil, shop, alice, bob, carol)


def said(receipt: Receipt) -> list[tuple[object, ...]]:
    return [(event.name, *event.values.values()) for event in receipt.events]


async def timestamp_of(town: Town, receipt: Receipt) -> int:
    return (await town.anvil.block(receipt.block_number)).timestamp

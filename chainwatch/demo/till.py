"""What the chain itself says of money, whom it belongs to, and what a lease is.

Asked at every question, of the contract and of the token alone: never of the daemon, and never
added up from what the story remembers to have paid.
"""

from dataclasses import dataclass
from typing import TypeAlias

from chainwatch.chain.wallet.amounts import Money
from chainwatch.demo.anvil import Anvil
from chainwatch.demo.buyer import LeaseContract
from chainwatch.demo.deployed import Deployed, Reverted

#: So much of the ERC-20, and so much of the chain's coin, each in its smallest unit.
Sum: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Till:
    """The money of the story: the chain's coin, and the ERC-20 `token`, whose name is `money`."""

    chain: Anvil
    shop: LeaseContract
    token: Deployed
    money: Money

    async def of(self, account: str) -> Sum:
        """Return what an account has."""
        coin = await self.chain.rpc("eth_getBalance", account, "latest")
        return await self.tokens_of(account), int(str(coin), 16)

    async def tokens_of(self, account: str) -> int:
        """Return how much of the ERC-20 an account has, in its smallest unit."""
        return await self.token.call(int, "balanceOf", account)

    async def may_take(self, account: str) -> int:
        """Return how much of somebody's ERC-20 the shop may take."""
        return await self.token.call(int, "allowance", account, self.shop.address)

    async def sent_by(self, account: str) -> int:
        """Return how many transactions an account has sent."""
        return int(str(await self.chain.rpc("eth_getTransactionCount", account, "latest")), 16)

    async def in_escrow(self, lease: int) -> int:
        """Return what the shop holds for a lease, earned or not."""
        return sum(await self.shop.deployed.call(list, "escrowOf", lease))

    async def delivered_at(self, lease: int) -> int:
        """Return since when a lease's time runs (seconds, UTC); 0 while it was not delivered."""
        return await self.shop.deployed.call(int, "deliveredAt", lease)

    async def connection(self, lease: int) -> bytes:
        """Return the sealed bytes that say how to get in, as anybody can read them."""
        return await self.shop.deployed.call(bytes, "connectionOf", lease)

    async def exists(self, lease: int) -> bool:
        """Say whether there is such a token."""
        try:
            await self.shop.owner_of(lease)
        except Reverted:
            return False
        return True

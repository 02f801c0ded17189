"""The chain as the story listens to it: every block once, and what the shop said in it.

Nobody tells the story what was sent: it reads blocks as everybody can, so that what the daemon
sends by itself is told like what people send, each with its sender.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from chainwatch.demo.anvil import Anvil
from chainwatch.demo.deployed import Deployed, Receipt
from chainwatch.demo.sayings import Sayings


@dataclass(slots=True)
class Blocks:
    """The blocks behind `height`, the last that needs no telling; `read` are their transactions."""

    chain: Anvil
    shop: Deployed
    sayings: Sayings
    height: int
    read: list[Receipt] = field(default_factory=list)

    async def new(self) -> AsyncIterator[tuple[int, str]]:
        """Yield the time (seconds) of each new block, and what was said in it; '' for nothing."""
        head = await self.chain.block()
        while self.height < head.number:
            block = await self.chain.block(self.height + 1)
            self.height = block.number
            receipts = [await self.shop.receipt(each) for each in block.transactions]
            self.read.extend(receipts)
            said = filter(None, map(self.sayings.told, receipts))
            yield block.timestamp, "; ".join(said)

    def sender_of(self, event: str, lease: int) -> str | None:
        """Return who sent what said this event of a lease last, None when nobody has."""
        senders = [
            receipt.sender
            for receipt in self.read
            for said in receipt.events
            if (said.name, said.values.get("tokenId")) == (event, lease)
        ]
        return senders[-1] if senders else None

    def fees_of(self, account: str) -> int:
        """Return what all transactions of an account have cost it, in wei."""
        return sum(receipt.fee for receipt in self.read if receipt.sender == account)

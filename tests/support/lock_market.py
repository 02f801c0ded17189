"""A lock of Unlock Protocol on a chain of its own, its customers, and somebody who reads it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from chainwatch.chain import profiles
from chainwatch.chain.latest import LatestReader
from chainwatch.chain.rpc import RpcPool
from chainwatch.chain.scanner import Scanner
from chainwatch.chain.settings import SourceSettings
from chainwatch.demo.buyer import issue_token
from chainwatch.domain.batches import Source
from chainwatch.domain.events import CredentialMoved, PlanDefined, PlanTerms
from chainwatch.domain.lease import Lease, fold_all
from tests.support.anvil import CHAIN_ID, Anvil, running
from tests.support.ledger import Ledger
from tests.support.unlock import LATEST, MONTH, PRICE, Lock, open_lock

GAS: Final = 1_500_000


@dataclass(frozen=True, slots=True)
class Market:
    """A chain with a lock, and somebody who reads it."""

    anvil: Anvil
    lock: Lock
    people: Sequence[str]
    ledger: Ledger
    scanner: Scanner
    latest: LatestReader

    async def read(self) -> None:
        await self.ledger.follow(self.scanner)

    async def lease(self, token: int) -> Lease:
        """What is read of a key, up to the head."""
        await self.read()
        lease = self.at(token, (await self.anvil.block()).number)
        assert lease is not None
        return lease

    def at(self, token: int, block: int) -> Lease | None:
        return fold_all(
            logged
            for logged in self.ledger.canonical()
            if logged.block <= block
            and not isinstance(logged.event, PlanDefined | PlanTerms | CredentialMoved)
            and logged.event.token == token
        )

    async def now(self) -> int:
        return (await self.anvil.block()).timestamp

    async def is_as_the_lock_says(self, token: int) -> bool:
        lease = await self.lease(token)
        owner, until = await self.lock.owner(token), min(await self.lock.expiry(token), LATEST)
        return (lease.owner, lease.expires_at) == (owner.lower(), until)

    async def in_one_block(self, *calls: tuple[str, str, tuple[object, ...]]) -> None:
        """Send these (sender, function, arguments), and only then mine: one block has them all."""
        await self.anvil.rpc("evm_setAutomine", False)
        sent = []
        for sender, function, arguments in calls:
            method = self.lock.deployed.contract.get_function_by_name(function)(*arguments)
            value = PRICE if function == "extend" else 0
            sent.append(await method.transact({"from": sender, "gas": GAS, "value": value}))
        await self.anvil.mine()
        await self.anvil.rpc("evm_setAutomine", True)
        eth = self.lock.deployed.contract.w3.eth
        receipts = [await eth.get_transaction_receipt(each) for each in sent]
        assert [each["status"] for each in receipts] == [1] * len(calls)
        assert len({each["blockHash"] for each in receipts}) == 1


@asynccontextmanager
async def lock_market(
    *, duration: int = MONTH, paid_in_coin: bool = False
) -> AsyncIterator[Market]:
    async with running() as anvil:
        manager, *people = await anvil.accounts()
        coin = await issue_token(anvil, manager, 10**15) if paid_in_coin else None
        lock = await open_lock(anvil, duration=duration, coin=coin)
        for each in people:
            if coin is not None:
                await coin.send("transfer", each, 10**9, sender=manager)
                await coin.send("approve", lock.address, 10**9, sender=each)
        settings = SourceSettings(
            source=Source("lock", CHAIN_ID, lock.address, lock.made_in + 1, "unlock"),
            http=(anvil.url,),
            ws=(),
            confirmations=0,
            finality="finalized",
            poll_interval=1,
            stale_after=60,
            max_range=7,
            timeout=5,
        )
        pool, ledger, profile = RpcPool(settings.http, timeout=5), Ledger(), profiles.of(settings)
        scanner = Scanner(settings, pool, profile, ledger)
        latest = LatestReader(settings, pool, profile)
        try:
            yield Market(anvil, lock, people, ledger, scanner, latest)
        finally:
            await pool.close()
        assert scanner.take_unread() == ()

"""A lease that was bought and nobody delivered, a post that tells of it, and what happens to it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from chainwatch.chain.ethereum import keccak
from chainwatch.chain.sender import lease_calls
from chainwatch.domain.lease import LeaseId
from chainwatch.domain.sendings import Call, Intent, Kind
from chainwatch.store.dealings import dealings_of
from tests.support.anvil import Anvil, is_mined
from tests.support.lease_contract import LeaseContract, PlanOffer, open_shop
from tests.support.post import ADDRESS, NAME, Post, blind, post
from tests.support.wanting import want

HOUR = 3_600
SMALL = PlanOffer()
LARGE = PlanOffer(name="large", cores=2, price_per_second=2_000)


@dataclass(frozen=True, slots=True)
class Shop:
    """A lease of an hour that somebody bought and nobody delivered, and a post that tells of it."""

    it: Post
    contract: LeaseContract
    owner: str
    token: int

    @property
    def id(self) -> LeaseId:
        return LeaseId(self.it.chain_id, self.contract.address.lower(), self.token)

    async def by_itself(self, wanted: bool) -> None:
        """Have the chain mine what it is given, or only on purpose."""
        await self.it.anvil.rpc("evm_setAutomine", wanted)

    async def role(self, function: str) -> None:
        """Have the admin grant our key its role, or revoke it."""
        role = keccak(b"PROVISIONER_ROLE")
        checked = self.contract.deployed.contract.w3.to_checksum_address(ADDRESS)
        await self.contract.deployed.send(function, role, checked, sender=self.contract.admin)

    async def want(self, kind: Kind, call: Call, cause: str = "") -> None:
        self.it.look_by(blind, kind)
        intent = Intent(NAME, kind, str(self.id), cause or f"because of {kind}", call)
        await want(self.it.daemon.stores.db, intent, now=self.it.cluster_now())

    async def upgrade(self) -> tuple[int, int, int, int]:
        """Return the upgrade that is asked for: plan, deadline, price, and what is set aside."""
        return await self.contract.deployed.call(tuple, "upgradeOf", self.token)

    async def ask(self, plan: int) -> None:
        """Ask for an upgrade and pay it."""
        most = 10**9
        await self.contract.deployed.send(
            "requestUpgrade", self.token, plan, most, sender=self.owner, value=most
        )

    async def ask_at(self, plan: int, time: int) -> str:
        """Ask for an upgrade in a block of that time; returns the transaction, as it was sent."""
        await self.it.anvil.rpc("evm_setNextBlockTimestamp", time)
        await self.ask(plan)
        (tx,) = (await self.it.anvil.block()).transactions
        return str(await self.it.anvil.rpc("eth_getRawTransactionByHash", tx))

    async def mine_at(self, time: int, raw: str) -> None:
        """Have a transaction be mined, also for the second time, in a block of that time."""
        await self.it.anvil.rpc("evm_setNextBlockTimestamp", time)
        sent = str(await self.it.anvil.rpc("eth_sendRawTransaction", raw))
        await is_mined(self.it.anvil, sent)
        assert (await self.it.anvil.block()).timestamp == time

    async def cause(self) -> str:
        """Return because of what the upgrade that is asked for is answered."""
        async with self.it.db.reading() as read:
            row = await read.one("SELECT nonce FROM lease WHERE id = ?", str(self.id))
            found = await dealings_of(read, NAME, str(self.id), self.token)
        assert row is not None
        assert found.upgrade is not None
        return found.upgrade.cause(row["nonce"])

    async def in_vain(self) -> None:
        """Have what is sent next revert in its block, for our role is away just then; finally."""
        await self.by_itself(False)
        await self.it.turn()
        (flying,) = await self.it.pending()
        raw = str(await self.it.anvil.rpc("eth_getRawTransactionByHash", flying))
        await self.it.drop(flying)
        await self.by_itself(True)
        await self.role("revokeRole")
        await self.it.anvil.rpc("eth_sendRawTransaction", raw)
        await self.role("grantRole")
        await self.it.mine(4)
        await self.it.turn()

    async def later(self, seconds: int) -> None:
        """Let the chain's time pass; that is not final yet."""
        await self.it.anvil.advance(seconds)


@asynccontextmanager
async def opened(folder: Path, anvil: Anvil) -> AsyncIterator[Shop]:
    await anvil.rpc("evm_setAutomine", True)
    contract = await open_shop(anvil)
    await contract.create_plan(SMALL)
    await contract.create_plan(LARGE)
    _, alice, *_ = await anvil.accounts()
    token, _ = await contract.mint(1, alice, seconds=HOUR)
    async with post(folder, anvil, address=contract.address, profile="lease") as it:
        shop = Shop(it, contract, alice, token)
        await shop.by_itself(True)
        await shop.role("grantRole")
        yield shop


Happens: TypeAlias = Callable[[Shop], Awaitable[object]]


async def nothing(_: Shop) -> None: ...


async def delivered(shop: Shop) -> None:
    await shop.contract.deliver(shop.token)


async def cancelled(shop: Shop) -> None:
    await shop.contract.cancel_undelivered(shop.token)


async def overdue(shop: Shop) -> None:
    await shop.later(HOUR + 1)


async def ended(shop: Shop) -> None:
    await shop.contract.end(shop.token, shop.owner)
    await shop.contract.burn(shop.token, shop.owner)


async def burnt(shop: Shop) -> None:
    await delivered(shop)
    await ended(shop)


async def expired(shop: Shop) -> None:
    await upgrade_asked(shop)
    await shop.later(HOUR + 1)


async def upgrade_asked(shop: Shop) -> None:
    await delivered(shop)
    await shop.ask(2)


async def upgrade_overdue(shop: Shop) -> None:
    await upgrade_asked(shop)
    await shop.contract.renew(shop.token, 2 * HOUR, shop.owner)
    await shop.later(HOUR + 1)


async def upgrade_refused(shop: Shop) -> None:
    plan, deadline, *_ = await shop.upgrade()
    await shop.contract.deployed.send(
        *("refuseUpgrade", shop.token, plan, deadline), sender=shop.contract.provisioner
    )


async def sold(shop: Shop) -> None:
    await shop.contract.transfer(shop.token, shop.owner, shop.contract.admin)


async def disowned(shop: Shop) -> None:
    await shop.role("revokeRole")


async def disowned_when_over(shop: Shop) -> None:
    await delivered(shop)
    await shop.later(2 * HOUR + 1)
    await disowned(shop)


async def called(kind: Kind, shop: Shop) -> Call:
    plan, deadline, *_ = await shop.upgrade()
    match kind:
        case Kind.DELIVER:
            return lease_calls.deliver(shop.id, shop.owner, b"sealed")
        case Kind.PUBLISH:
            return lease_calls.publish(shop.id, shop.owner, b"sealed")
        case Kind.CANCEL:
            return lease_calls.cancel(shop.id)
        case Kind.BURN:
            return lease_calls.burn(shop.id)
        case Kind.UPGRADE:
            return lease_calls.upgrade(shop.id, plan, deadline)
    return lease_calls.refuse(shop.id, plan, deadline)

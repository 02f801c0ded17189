"""Two leases whose owner asks for larger plans, and a post that delivers them and answers.

What is owed follows from the journal, as it does in the daemon's own passes: a delivery of what was
bought, and of each request one answer. Which one, the transaction that asks decides here.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from eth_utils.address import to_checksum_address
from web3.types import EventData

from chainwatch.chain.ethereum import keccak
from chainwatch.chain.sender import lease_calls
from chainwatch.domain.dealings import Upgrade
from chainwatch.domain.lease import LeaseId
from chainwatch.domain.sendings import Call, Intent, Kind
from chainwatch.store.dealings import dealings_of
from tests.support.anvil import Anvil
from tests.support.lease_contract import LeaseContract, PlanOffer, open_shop
from tests.support.post import ADDRESS, NAME, Post, post
from tests.support.wanting import want

PLANS: Final = 6
TOKENS: Final = (1, 2)
DAY: Final = 86_400
#: More than any upgrade costs.
_MOST: Final = 10**12


def answer_of(tx_hash: str) -> Kind:
    """Return how the request of a transaction is answered."""
    return Kind.UPGRADE if int(tx_hash, 16) % 2 else Kind.REFUSE


@dataclass(frozen=True, slots=True)
class Request:
    """An upgrade that was asked for, on the chain as it is now; `answers` are what was said then.

    A plan that was changed to is an answer `upgrade`, one that was only forgotten a `refuse`.
    """

    tx: str
    deadline: int
    answers: tuple[Kind, ...]


@dataclass(frozen=True, slots=True)
class Upgrading:
    """The post, the contract, and the owner of both leases."""

    it: Post
    contract: LeaseContract
    owner: str

    def lease(self, token: int) -> LeaseId:
        return LeaseId(self.it.chain_id, self.contract.address.lower(), token)

    async def ask(self, token: int) -> None:
        """Send a request for the next plan; it is in no block yet, and may be refused there."""
        plan = 1 + await self.contract.deployed.call(int, "planOf", token)
        data = self.contract.deployed.contract.encode_abi("requestUpgrade", [token, plan, _MOST])
        fees = {"maxFeePerGas": hex(10**12), "maxPriorityFeePerGas": hex(10**9)}
        request = {"from": self.owner, "to": self.contract.address, "data": str(data)}
        request |= {"value": hex(_MOST), "gas": hex(500_000)} | fees
        await self.it.anvil.rpc("eth_sendTransaction", request)

    async def owe(self, it: Post) -> None:
        """Want what the journal says is owed."""
        for token in TOKENS:
            lease = self.lease(token)
            async with it.db.reading() as read:
                row = await read.one("SELECT * FROM lease WHERE id = ?", str(lease))
                said = await dealings_of(read, NAME, str(lease), token)
            assert row is not None
            if not row["delivered_at"]:
                call = lease_calls.deliver(lease, row["owner"], b"sealed")
                await self._want(it, Kind.DELIVER, lease, row["nonce"], call)
            elif said.upgrade is not None:
                kind = answer_of(said.upgrade.tx)
                cause, call = said.upgrade.cause(row["nonce"]), _answer(kind, lease, said.upgrade)
                await self._want(it, kind, lease, cause, call)

    async def _want(self, it: Post, kind: Kind, lease: LeaseId, cause: str, call: Call) -> None:
        intent = Intent(NAME, kind, str(lease), cause, call)
        await want(it.daemon.stores.db, intent, now=it.cluster_now())

    # ------------------------------------------------------------------------ what stands on chain

    async def deliveries(self) -> Mapping[int, int]:
        """Return how often each lease was delivered."""
        tokens = [each["args"]["tokenId"] for each in await self._events("LeaseDelivered")]
        return {token: tokens.count(token) for token in TOKENS}

    async def requests(self, token: int) -> list[Request]:
        """Return what was asked for, the oldest first."""
        done = {each["transactionHash"] for each in await self._events("PlanChanged")}
        found: list[Request] = []
        for each in await self._events("UpgradeUpdate"):
            said = each["args"]
            if said["tokenId"] != token:
                continue
            if said["planId"]:
                found.append(Request(each["transactionHash"].to_0x_hex(), said["deadline"], ()))
                continue
            answer = Kind.UPGRADE if each["transactionHash"] in done else Kind.REFUSE
            last = found.pop()
            found.append(Request(last.tx, last.deadline, (*last.answers, answer)))
        return found

    async def _events(self, name: str) -> list[EventData]:
        event = self.contract.deployed.contract.get_event_by_name(name)
        return list(await event.get_logs(from_block=0))


def _answer(kind: Kind, lease: LeaseId, wanted: Upgrade) -> Call:
    call = lease_calls.upgrade if kind is Kind.UPGRADE else lease_calls.refuse
    return call(lease, wanted.plan, wanted.deadline)


@asynccontextmanager
async def upgrading(folder: Path, anvil: Anvil) -> AsyncIterator[Upgrading]:
    """Open a post over two leases of thirty days that are bought, and not delivered."""
    contract = await open_shop(anvil)
    for number in range(1, PLANS + 1):
        offer = PlanOffer(name=f"{number}", cores=number, price_per_second=1_000 * number)
        await contract.create_plan(offer)
    _, owner, *_ = await anvil.accounts()
    for _ in TOKENS:
        await contract.mint(1, owner, seconds=30 * DAY)
    role = keccak(b"PROVISIONER_ROLE")
    await contract.deployed.send(
        *("grantRole", role, to_checksum_address(ADDRESS)), sender=contract.admin
    )
    async with post(folder, anvil, address=contract.address, profile="lease") as it:
        made = Upgrading(it, contract, owner)
        it.owe = made.owe
        yield made

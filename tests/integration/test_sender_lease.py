"""The hot key at the lease contract itself: it delivers, once, and can do no more than that."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from web3 import Web3

from chainwatch.chain.ethereum import keccak
from chainwatch.chain.profiles.signatures import selector
from chainwatch.chain.sender.looks import WANTED, Answer, Look, Seen, Word
from chainwatch.control.departures import LET_ALONE
from chainwatch.domain.lease import LeaseId
from chainwatch.domain.sendings import Call, Intent, Kind, Sending, State
from tests.support import wanting
from tests.support.anvil import running
from tests.support.lease_contract import NATIVE, LeaseContract, PlanOffer, open_shop
from tests.support.post import ADDRESS, BOX, NAME, Post, blind, post


def is_delivered(sending: Sending) -> Look:
    """Look whether a lease's time has begun."""
    token = LeaseId.parse(sending.intent.lease).token

    def judge(answers: Sequence[Answer]) -> Seen:
        (since,) = answers
        done = isinstance(since, bytes) and int.from_bytes(since) > 0
        return Seen(Word.DONE, "it is delivered") if done else WANTED

    return Look(
        ((sending.intent.call.to, f"{selector('deliveredAt(uint256)')}{token:064x}"),), judge
    )


@asynccontextmanager
async def sold(folder: Path) -> AsyncIterator[tuple[Post, LeaseContract]]:
    """A shop that has sold lease 1, and a post that reads it; our key has no role there yet."""
    async with running() as anvil:
        shop = await open_shop(anvil)
        await shop.create_plan(PlanOffer())
        _, alice, *_ = await anvil.accounts()
        await shop.mint(1, alice, seconds=3600)
        async with post(folder, anvil, address=shop.address, profile="lease") as it:
            it.look_by(is_delivered)
            yield it, shop


def _checksummed(address: str) -> str:
    return Web3.to_checksum_address(address)


def call(shop: LeaseContract, function: str, *arguments: object) -> Call:
    data = str(shop.deployed.contract.encode_abi(function, list(arguments)))
    return Call(shop.address.lower(), data)


async def want(it: Post, shop: LeaseContract, cause: str, wanted: Call) -> None:
    lease = str(LeaseId(it.chain_id, shop.address.lower(), 1))
    intent = Intent(NAME, Kind.DELIVER, lease, cause, wanted)
    await wanting.want(it.daemon.stores.db, intent, now=it.cluster_now())


async def grant(it: Post, shop: LeaseContract) -> None:
    """Have the admin make our key a provisioner."""
    role = keccak(b"PROVISIONER_ROLE")
    data = call(shop, "grantRole", role, _checksummed(ADDRESS)).data
    await it.anvil.rpc(
        "eth_sendTransaction", {"from": shop.admin, "to": shop.address, "data": data}
    )
    await it.mine()


async def test_a_lease_is_delivered_once_by_a_provisioner_and_by_nobody_else(
    tmp_path: Path,
) -> None:
    async with sold(tmp_path) as (it, shop):
        owner = await shop.owner_of(1)
        await want(it, shop, "its machine runs", call(shop, "deliver", 1, owner, b"sealed"))
        await it.turn()
        assert "the contract refuses it" in str((await it.only()).why)
        assert await it.nonce() == 0
        await grant(it, shop)
        it.wait(LET_ALONE)
        await it.turn()
        await it.turns(6)
        assert await it.states() == [State.FINAL]
        assert await it.nonce() == 1
        since = await shop.deployed.call(int, "deliveredAt", 1)
        assert since > 0
        await want(it, shop, "a second cause", call(shop, "deliver", 1, owner, b"sealed"))
        await it.turns(6)
        assert await it.states() == [State.FINAL, State.FINAL]
        assert (await it.nonce(), await shop.deployed.call(int, "deliveredAt", 1)) == (1, since)


async def test_with_the_key_of_a_provisioner_no_coin_leaves_the_contract(tmp_path: Path) -> None:
    async with sold(tmp_path) as (it, shop):
        await grant(it, shop)
        it.look_by(blind)
        box = _checksummed(BOX)
        for function, arguments in {
            "withdraw": (NATIVE, box, 1),
            "grantRole": (keccak(b"TREASURER_ROLE"), box),
            "transferFrom": (await shop.owner_of(1), box, 1),
            "setSalesPaused": (True,),
        }.items():
            await want(it, shop, function, call(shop, function, *arguments))
        await it.turn()
        assert await it.states() == [State.WANTED] * 4
        whys = [str(each.why) for each in await it.sendings()]
        assert all("the contract refuses it" in why for why in whys)
        assert await it.nonce() == 0

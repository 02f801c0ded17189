"""A delivery is that of one purchase, whatever its owner or a reorg does to the token meanwhile."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chainwatch.domain.sendings import MOST_REVERTS, Kind, State
from chainwatch.store.sender_alarms import FAILED
from tests.support.estate import HOUR, Estate, estate
from tests.support.post import GWEI

LONG = 24 * HOUR


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Estate]:
    async with estate(tmp_path) as made:
        yield made


async def until_owed(it: Estate, token: int, kind: Kind = Kind.DELIVER) -> None:
    """Turn until something is owed, and send nothing; the chain does not go on by itself."""
    it.sends = False
    for _ in range(120):
        await it.turns(1)
        if await it.sendings(token, kind):
            break
    it.sends = True
    assert [each.state for each in await it.sendings(token, kind)] == [State.WANTED]


async def mine_dearly(it: Estate, request: dict[str, str]) -> None:
    """Have somebody's transaction wait who pays more than we do, so that it is before ours."""
    dear = {"maxFeePerGas": hex(400 * GWEI), "maxPriorityFeePerGas": hex(300 * GWEI)}
    await it.anvil.rpc("eth_sendTransaction", request | dear)


# ------------------------------------------------------------------------------------- its owner


async def test_an_owner_who_lets_go_of_a_token_while_it_is_tried_makes_no_delivery_fail(
    it: Estate,
) -> None:
    token = await it.buy(seconds=LONG)
    await until_owed(it, token)
    await it.shop.transfer(token, it.alice, it.bob)
    await it.anvil.rpc("evm_setAutomine", False)
    back = it.shop.deployed.contract.encode_abi("transferFrom", [it.bob, it.alice, token])
    await mine_dearly(it, {"from": it.bob, "to": it.shop.address, "data": str(back)})
    (sender,) = it.daemon.supervisor.senders
    await sender.attempt()
    assert [each.state for each in await it.sendings(token)] == [State.BROADCAST]
    await it.anvil.mine(1)
    assert await it.delivered_at(token)
    assert await it.shop.owner_of(token) == it.alice
    assert (await it.read_by(it.alice, token)).user == "debian"


async def test_a_delivery_that_fails_again_and_again_is_kept_at_until_its_time_is_over(
    it: Estate,
) -> None:
    token = await it.buy(seconds=LONG)
    await until_owed(it, token)
    stores = it.daemon.stores
    (waiting,) = await it.sendings(token)
    now = it.daemon.supervisor.clock.now()
    for _ in range(2 * MOST_REVERTS):
        await stores.sendings.released(waiting.id, "it reverted", reverted=True, now=int(now))
    assert FAILED in {alarm.name for alarm in await stores.alarms.all()}
    await it.turns(4, 1)
    assert not await it.delivered_at(token)
    await it.turns(4, 3_600)
    await it.is_delivered(token)
    assert [each.state for each in await it.sendings(token)] == [State.FINAL]
    assert FAILED not in {alarm.name for alarm in await stores.alarms.all()}


# --------------------------------------------------------------------------------------- a reorg


async def bought_by_bob(it: Estate) -> int:
    """Bob gets the token that Alice had, confirmed and not final."""
    token, _ = await it.shop.mint(1, it.bob, seconds=HOUR, encryption_key=it.public(it.bob))
    await it.anvil.mine(1)
    return token


async def test_what_a_reorg_gives_to_somebody_else_is_not_delivered_to_him_before_his_machine_runs(
    it: Estate,
) -> None:
    before = await it.anvil.rpc("evm_snapshot")
    token = await it.buy()
    await until_owed(it, token)
    await it.anvil.rpc("evm_revert", before)
    assert await bought_by_bob(it) == token
    await it.turns(2, 1)
    assert not await it.delivered_at(token)
    (alices,) = await it.sendings(token, Kind.DELIVER)
    assert "a reorg gave the token to another purchase" in str(alices.why)
    assert alices.state is State.WANTED, "it may be taken back again"
    await it.is_delivered(token)
    guests = it.cluster.inventory().guests
    assert [vmid for vmid, guest in guests.items() if guest.power == "running"] != []
    assert (await it.read_by(it.bob, token)).user == "debian"
    await it.finalize()
    await it.turns(4, 60)
    ends = [each.state for each in await it.sendings(token, Kind.DELIVER)]
    assert ends == [State.FAILED, State.FINAL]
    assert len(await it.said("LeaseDelivered")) == 1


async def test_what_is_under_way_when_a_reorg_gives_the_token_away_is_replaced_by_nothing(
    it: Estate,
) -> None:
    before = await it.anvil.rpc("evm_snapshot")
    token = await it.buy()
    await until_owed(it, token)
    await it.anvil.rpc("evm_setAutomine", False)
    await it.turns(1)
    (flying,) = await it.sendings(token)
    assert flying.state is State.BROADCAST
    await it.anvil.rpc("evm_revert", before)
    await it.anvil.rpc("anvil_dropTransaction", flying.last.hash)
    await it.anvil.rpc("evm_setAutomine", True)
    await bought_by_bob(it)
    await it.anvil.rpc("evm_setAutomine", False)
    await it.anvil.rpc("eth_sendRawTransaction", flying.last.raw)
    await it.turns(1)
    (voided,) = await it.sendings(token, Kind.DELIVER)
    assert (voided.last.void, voided.nonce) == (True, flying.nonce)
    await it.anvil.mine(1)
    assert not await it.delivered_at(token)
    await it.anvil.rpc("evm_setAutomine", True)
    await it.is_delivered(token)
    assert (await it.read_by(it.bob, token)).user == "debian"


async def test_a_purchase_that_a_reorg_takes_back_and_brings_again_is_delivered(
    it: Estate,
) -> None:
    before = await it.anvil.rpc("evm_snapshot")
    token = await it.buy()
    bought = await purchase_of(it)
    await until_owed(it, token)
    await it.anvil.rpc("evm_revert", before)
    await it.anvil.mine(3)
    await it.turns(2, 60)
    (waiting,) = await it.sendings(token)
    assert "a reorg took back the purchase" in str(waiting.why)
    assert str(waiting.why).endswith("nothing is sent unless that comes back")
    assert waiting.state is State.WANTED
    await it.anvil.rpc("eth_sendRawTransaction", bought)
    await it.anvil.mine(1)
    await it.turns(2, 60)
    await it.is_delivered(token)
    assert [each.state for each in await it.sendings(token, Kind.DELIVER)] == [State.FINAL]


async def test_what_an_operator_gives_back_is_not_the_lease_of_who_got_the_token_by_a_reorg(
    it: Estate,
) -> None:
    before = await it.anvil.rpc("evm_snapshot")
    token = await it.buy()
    it.sends = False
    await it.daemon.stores.holds.pause("effects", "no machine yet", 0, now=1)
    await it.turns(2)
    await it.desk().cancel(str(token), "there is no room", 0)
    await it.daemon.stores.holds.resume("go on", 0, now=2)
    await it.anvil.rpc("evm_revert", before)
    await bought_by_bob(it)
    it.sends = True
    await it.turns(2, 1)
    assert await it.shop.owner_of(token) == it.bob
    await it.is_delivered(token)
    await it.finalize()
    await it.turns(4, 60)
    (cancel,) = await it.sendings(token, Kind.CANCEL)
    assert cancel.state is State.FAILED
    assert await it.shop.owner_of(token) == it.bob


async def purchase_of(it: Estate) -> str:
    """The raw transaction of the last purchase."""
    head = (await it.anvil.block()).number
    for number in range(head, 0, -1):
        block = await it.anvil.block(number)
        for tx in block.transactions:
            return str(await it.anvil.rpc("eth_getRawTransactionByHash", tx))
    raise LookupError("nothing was bought")

"""Whatever keeps a delivery off, it is delivered once in the end, and operators read what for.

The whole daemon in one process, over the real contract: what it says is what its desk answers, the
same as `chainwatch status` and `show` print.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from eth_utils.address import to_checksum_address

from chainwatch.chain.ethereum import keccak
from chainwatch.control.departures import LET_ALONE_AT_MOST
from chainwatch.control.flights import STUCK, STUCK_AFTER
from chainwatch.control.hand import FEES
from chainwatch.control.readings import SendingReading
from chainwatch.domain.sendings import Kind, State
from chainwatch.store.sender_alarms import REFUSED
from tests.support.estate import HOUR, SMALL, Estate, estate
from tests.support.post import ADDRESS, CEILING, GWEI

SPIKE = 100 * GWEI
USUAL = GWEI
#: More than anything is begun at, and less than what is under way may be raised to.
DEAR = 40 * GWEI
BLOCK = 12.0


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Estate]:
    async with estate(tmp_path) as made:
        yield made


async def block(it: Estate, base_fee: int = USUAL) -> None:
    """Mine a block that asks so much for a unit of gas, and have the daemon see it."""
    await it.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(base_fee))
    await it.anvil.mine(1)
    await it.turns(1, BLOCK)


async def until_wanted(it: Estate, token: int, base_fee: int = USUAL) -> None:
    """Mine until the machine runs, so that the lease is to be delivered."""
    while not await it.sendings(token, Kind.DELIVER):
        await block(it, base_fee)


async def waits(it: Estate) -> str:
    """What `status` says that transactions wait for."""
    (sender,) = (await it.desk().status()).senders
    return "\n".join(sender.waits)


async def shown(it: Estate, token: int) -> SendingReading:
    """The newest transaction that `show` tells of."""
    return (await it.desk().show(str(token))).sendings[0]


async def awaited(it: Estate, token: int) -> str | None:
    """What `show` says that the lease waits for."""
    return (await it.desk().show(str(token))).waits


async def listed(it: Estate) -> list[str]:
    """What `status` says of each transaction that has not ended."""
    (sender,) = (await it.desk().status()).senders
    return [str(each.why) for each in sender.sendings]


async def is_there_once(it: Estate, token: int) -> None:
    """Mine until the delivery is final, and hold what was sent against the chain."""
    for _ in range(60):
        if (await shown(it, token)).state is State.FINAL:
            break
        await block(it)
    assert [each.state for each in await it.sendings(token, Kind.DELIVER)] == [State.FINAL]
    assert len(await it.said("LeaseDelivered")) == 1
    assert (await waits(it), await listed(it), await awaited(it, token)) == ("", [], None)


async def test_while_gas_costs_a_hundredfold_nothing_is_signed_and_then_it_is_delivered(
    it: Estate,
) -> None:
    token = await it.buy()
    await it.anvil.rpc("evm_setAutomine", False)
    await until_wanted(it, token, SPIKE)
    for _ in range(5):
        await block(it, SPIKE)
    assert await it.anvil.rpc("eth_getTransactionCount", ADDRESS, "pending") == "0x0"
    assert "the chain asks 100 gwei for a unit of gas, and nothing is begun above 25" in (
        await waits(it)
    )
    assert FEES in {alarm.name for alarm in await it.desk().alarms()}
    assert (await shown(it, token)).why == "it waits to be signed"
    said = "its delivery is under way: it waits to be signed; the chain asks 100 gwei"
    assert str(await awaited(it, token)).startswith(said)
    await is_there_once(it, token)
    (sent,) = await it.sendings(token, Kind.DELIVER)
    assert len(sent.attempts) == 1


async def test_what_a_spike_overtakes_is_raised_up_to_what_it_may_cost_and_told_as_stuck(
    it: Estate,
) -> None:
    token = await it.buy()
    await it.anvil.rpc("evm_setAutomine", False)
    await until_wanted(it, token)
    assert "it waits for a block, at " in str((await shown(it, token)).why)
    for _ in range(round(STUCK_AFTER / BLOCK) + 10):
        await block(it, SPIKE)
    said = await waits(it)
    assert "has been waiting for" in said
    assert str(await awaited(it, token)).startswith("its delivery is under way: ")
    assert "has been waiting for" in str(await awaited(it, token))
    assert "most_fee_gwei (50)" in said
    assert {FEES, STUCK} <= {alarm.name for alarm in await it.desk().alarms()}
    (sent,) = await it.sendings(token, Kind.DELIVER)
    assert [attempt.offer.cap < DEAR for attempt in sent.attempts] == [True]
    while not await it.delivered_at(token):
        await block(it, DEAR)
    (sent,) = await it.sendings(token, Kind.DELIVER)
    offered = [attempt.offer.cap for attempt in sent.attempts]
    assert len({attempt.nonce for attempt in sent.attempts}) == 1
    assert DEAR <= offered[-1] <= CEILING
    await is_there_once(it, token)


async def test_a_delivery_that_a_reorg_takes_back_is_told_so_and_stands_once_in_the_end(
    it: Estate,
) -> None:
    token = await it.buy()
    await it.anvil.rpc("evm_setAutomine", False)
    await until_wanted(it, token)
    while not await it.delivered_at(token):
        await block(it)
    mined = await shown(it, token)
    assert mined.why == f"it is in block {mined.block}, and waits until that is final"
    assert (await listed(it), await awaited(it, token)) == ([mined.why], None)
    await it.anvil.reorg(1)
    assert not await it.delivered_at(token)
    await it.turns(1)
    back = await shown(it, token)
    assert (back.state, back.why) == (State.BROADCAST, "a reorg took it back")
    assert await listed(it) == ["a reorg took it back"]
    assert await awaited(it, token) == "its delivery is under way: a reorg took it back"
    await is_there_once(it, token)
    (sent,) = await it.sendings(token, Kind.DELIVER)
    assert sent.nonce == mined.nonce


async def test_a_lease_that_nobody_could_deliver_says_why_and_its_buyer_has_all_back_in_the_end(
    it: Estate,
) -> None:
    role = (keccak(b"PROVISIONER_ROLE"), to_checksum_address(ADDRESS))
    await it.shop.deployed.send("revokeRole", *role, sender=it.shop.admin)
    token = await it.buy()
    await until_wanted(it, token)
    assert f"`chainwatch contract role grant provisioner {ADDRESS}`" in str(
        (await shown(it, token)).why
    )
    assert str(await awaited(it, token)).count("role grant provisioner") == 1
    assert REFUSED in {alarm.name for alarm in await it.desk().alarms()}
    await it.pass_time(HOUR + 1)
    await it.turns(30, LET_ALONE_AT_MOST / 10)
    (delivery,) = await it.sendings(token, Kind.DELIVER)
    assert delivery.state is State.WANTED, "its role is missing, and that is said first"
    await it.shop.deployed.send("grantRole", *role, sender=it.shop.admin)
    await it.finalize()
    await it.desk().retry(str(token), "the role is granted", 0)
    await it.turns(4, LET_ALONE_AT_MOST)
    (delivery,) = await it.sendings(token, Kind.DELIVER)
    assert (delivery.state, delivery.why) == (
        State.FAILED,
        "the contract refuses it for good: the time in which it was promised is over",
    )
    await it.finalize()
    await it.turns(8, LET_ALONE_AT_MOST)
    (back,) = await it.sendings(token, Kind.CANCEL)
    assert back.state is State.FINAL
    assert await it.credit(it.alice) == HOUR * SMALL.price_per_second
    assert REFUSED not in {alarm.name for alarm in await it.desk().alarms()}

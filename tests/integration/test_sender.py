"""The daemon's own transactions, on a real chain: each effect once, whatever the chain does."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from chainwatch.chain.sender.looks import Look
from chainwatch.control.departures import LET_ALONE, WINDOW
from chainwatch.control.flights import (
    PATIENCE_BLOCKS,
    PATIENCE_S,
    STUCK,
)
from chainwatch.control.hand import FEES
from chainwatch.domain.sendings import Sending, State
from chainwatch.store.sender_alarms import REFUSED
from tests.support.anvil import running
from tests.support.post import BOX, CEILING, GWEI, Post, blind, delivered, post


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Post]:
    async with running() as anvil, post(tmp_path, anvil) as made:
        yield made


async def finalized(it: Post) -> None:
    """Mine until what stands in a block is final, and let the daemon see it."""
    await it.turns(6)


async def test_a_delivery_is_signed_sent_mined_and_ends_when_it_is_final(it: Post) -> None:
    await it.want(7)
    assert await it.states() == [State.WANTED]
    await it.turn()
    assert await it.states() == [State.BROADCAST]
    await it.turns(1)
    assert await it.states() == [State.MINED]
    await finalized(it)
    assert await it.states() == [State.FINAL]
    assert (await it.times(7), await it.nonce()) == (1, 1)


async def test_what_is_wanted_twice_for_one_cause_is_done_once(it: Post) -> None:
    await it.want(7)
    await it.want(7)
    await it.turn()
    await finalized(it)
    await it.want(7)
    await it.turns(4)
    assert (await it.times(7), await it.nonce(), len(await it.sendings())) == (1, 1, 1)


async def test_what_a_node_forgets_is_sent_again_by_the_same_bytes(it: Post) -> None:
    await it.want(7)
    await it.turn()
    (before,) = await it.pending()
    await it.drop(before)
    assert await it.pending() == []
    await it.turn()
    assert await it.pending() == [before]
    await finalized(it)
    assert (await it.times(7), await it.nonce()) == (1, 1)


async def test_many_are_under_way_at_once_and_no_more_than_a_node_keeps(it: Post) -> None:
    for token in range(WINDOW + 4):
        await it.want(token)
    await it.turn()
    assert len(await it.pending()) == WINDOW
    await finalized(it)
    assert [await it.times(token) for token in range(WINDOW + 4)] == [1] * (WINDOW + 4)
    assert await it.nonce() == WINDOW + 4


# ----------------------------------------------------------------------------------------- fees


async def test_while_the_chain_asks_a_hundred_times_as_much_it_waits_and_says_so(it: Post) -> None:
    await it.base_fee(100 * GWEI)
    await it.mine()
    await it.want(7)
    await it.turn()
    assert await it.states() == [State.WANTED]
    assert "nothing is begun above 25" in (await it.alarms())[FEES]
    assert any("asks 100 gwei" in why for why in it.sender.waits)
    await it.base_fee(GWEI)
    await it.mine()
    await it.turn()
    await finalized(it)
    assert (await it.times(7), await it.nonce()) == (1, 1)
    assert FEES not in await it.alarms()


async def test_what_offers_too_little_is_replaced_by_what_offers_more(it: Post) -> None:
    await it.want(7)
    await it.turn()
    first = (await it.only()).last
    await it.base_fee(2 * first.offer.cap)
    await it.turns(1)
    assert await it.nonce() == 0
    for _ in range(PATIENCE_BLOCKS):
        await it.base_fee(2 * first.offer.cap)
        await it.mine()
    it.wait(PATIENCE_S)
    await it.turn()
    second = (await it.only()).last
    assert second.nonce == first.nonce
    assert 8 * second.offer.cap >= 9 * first.offer.cap
    assert second.offer.cap <= CEILING
    assert await it.pending() == [second.hash]
    await finalized(it)
    assert (await it.times(7), await it.nonce()) == (1, 1)
    assert await it.states() == [State.FINAL]


async def test_a_spike_that_overtakes_what_is_under_way_holds_it_up_and_never_passes_the_ceiling(
    it: Post,
) -> None:
    await it.want(7)
    await it.turn()
    for _ in range(30):
        await it.base_fee(100 * GWEI)
        await it.mine()
        it.wait(PATIENCE_S)
        await it.turn()
    assert await it.nonce() == 0
    assert FEES in await it.alarms()
    assert STUCK in await it.alarms()
    assert all(each.offer.cap <= CEILING for each in (await it.only()).attempts)
    await it.base_fee(GWEI)
    await it.turns(8)
    assert (await it.times(7), await it.nonce()) == (1, 1)
    assert await it.alarms() == {}


async def test_a_chain_with_one_price_is_offered_that_price(tmp_path: Path) -> None:
    async with running(hardfork="berlin") as anvil, post(tmp_path, anvil, address=BOX) as it:
        it.look_by(blind)
        await it.want_coins(BOX, 5)
        await it.turn()
        first = (await it.only()).last
        assert first.offer.tip is None
        await it.drop(first.hash)
        await it.mine(PATIENCE_BLOCKS)
        it.wait(PATIENCE_S)
        await it.turn()
        second = (await it.only()).last
        assert 10 * second.offer.cap >= 11 * first.offer.cap
        assert await it.pending() == [second.hash]
        await finalized(it)
        assert await it.states() == [State.FINAL]
        assert (int(str(await anvil.rpc("eth_getBalance", BOX, "latest")), 16)) == 5


# --------------------------------------------------------------------------------------- reorgs


@pytest.mark.parametrize("look", [delivered, blind])
async def test_what_a_reorg_takes_back_is_sent_again_with_the_same_nonce(
    it: Post, look: Callable[[Sending], Look]
) -> None:
    it.look_by(look)
    await it.want(7)
    await it.turn()
    await it.turns(1)
    mined = await it.only()
    assert mined.state is State.MINED
    await it.anvil.reorg(1)
    assert await it.times(7) == 0
    await it.turn()
    again = await it.only()
    assert (again.state, again.nonce) == (State.BROADCAST, mined.nonce)
    assert again.attempts[0].hash == mined.attempts[0].hash
    await finalized(it)
    assert (await it.times(7), await it.nonce()) == (1, 1)
    assert await it.states() == [State.FINAL]


# ---------------------------------------------------------------------------- looking before acting


async def test_what_somebody_else_did_is_not_sent_and_ends_when_that_is_final(it: Post) -> None:
    await it.mine()
    deployer, *_ = await it.anvil.accounts()
    await it.anvil.rpc("evm_setAutomine", True)
    await it.contract.send("deliver", 7, b"y", sender=deployer)
    await it.anvil.rpc("evm_setAutomine", False)
    await it.want(7)
    await it.turn()
    assert await it.states() == [State.WANTED]
    await finalized(it)
    it.wait(LET_ALONE)
    await it.turn()
    assert await it.states() == [State.FINAL]
    assert (await it.times(7), await it.nonce()) == (1, 0)


async def test_a_refusal_costs_nothing_is_told_and_tried_again(it: Post) -> None:
    it.look_by(blind)
    await it.anvil.rpc("evm_setAutomine", True)
    deployer, *_ = await it.anvil.accounts()
    await it.contract.send("set", 7, True, sender=deployer)
    await it.anvil.rpc("evm_setAutomine", False)
    await it.want(7)
    await it.turn()
    assert (await it.only()).why is not None
    assert "the contract refuses it" in str((await it.only()).why)
    assert "deliver: the contract refuses it" in (await it.alarms())[REFUSED]
    await it.anvil.rpc("evm_setAutomine", True)
    await it.contract.send("set", 7, False, sender=deployer)
    await it.anvil.rpc("evm_setAutomine", False)
    it.wait(LET_ALONE)
    await it.turns(1)
    await finalized(it)
    assert (await it.times(7), await it.nonce()) == (1, 1)
    assert REFUSED not in await it.alarms()


async def withdraw_before(it: Post, token: int) -> None:
    """Have a token take no delivery from the next block on, before whatever else is in it."""
    deployer, *_ = await it.anvil.accounts()
    data = it.contract.contract.encode_abi("set", [token, True])
    await it.anvil.rpc(
        "eth_sendTransaction",
        {"from": deployer, "to": it.contract.address, "data": data, "gasPrice": hex(400 * GWEI)},
    )


async def test_what_reverts_in_its_block_fails_with_a_reason_once_that_is_final(it: Post) -> None:
    await it.want(7)
    await withdraw_before(it, 7)
    await it.turn()
    await it.turns(1)
    assert (await it.nonce(), await it.times(7)) == (1, 0)
    assert await it.states() == [State.MINED]
    await finalized(it)
    it.wait(LET_ALONE)
    await it.turns(4)
    failed = await it.only()
    assert (failed.state, failed.why) == (State.FAILED, "it takes no delivery")
    assert await it.nonce() == 1


async def test_what_is_not_wanted_any_more_is_replaced_by_what_does_nothing(it: Post) -> None:
    await it.want(7)
    await it.want(8)
    await it.turn()
    pending = await it.pending()
    await it.drop(pending[1])
    await it.drop(pending[0])
    await withdraw_before(it, 7)
    await it.mine()
    await it.turn()
    first, second = await it.sendings()
    assert first.last.void
    assert not second.last.void
    await finalized(it)
    it.wait(LET_ALONE)
    await it.turns(4)
    assert await it.states() == [State.FAILED, State.FINAL]
    assert (await it.times(7), await it.times(8), await it.nonce()) == (0, 1, 2)

"""The daemon's own transactions, on a real chain: each effect once, whatever the chain does."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from chainwatch.chain.rpc import Call as RpcCall
from chainwatch.chain.rpc import Rpc, RpcError, RpcPool
from chainwatch.chain.sender.looks import Look
from chainwatch.chain.standing import Health
from chainwatch.control.departures import LET_ALONE, REFUSED, WINDOW
from chainwatch.control.flights import (
    GAP,
    KEY_USED,
    PATIENCE_BLOCKS,
    PATIENCE_S,
    STUCK,
)
from chainwatch.control.hand import BALANCE, FEES
from chainwatch.control.sender import IDLE, OTHER_KEY
from chainwatch.credentials import Secret
from chainwatch.domain.desired import Hold
from chainwatch.domain.sendings import Kind, Sending, State
from tests.support.anvil import running
from tests.support.post import ADDRESS, BOX, CEILING, GWEI, Post, blind, delivered, post


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
    async with running(hardfork="berlin") as anvil, post(tmp_path, anvil, bare=True) as it:
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


# ------------------------------------------------------------------------------------- the account


async def test_a_nonce_that_somebody_else_used_is_told_and_another_taken_when_that_is_final(
    it: Post,
) -> None:
    it.look_by(blind)
    await it.want(7)
    await it.turn()
    (pending,) = await it.pending()
    await it.drop(pending)
    await it.impersonate(to=ADDRESS, nonce="0x0")
    await it.mine()
    await it.turn()
    assert (await it.only()).nonce == 0
    await it.turns(3)
    assert "is stolen" in (await it.alarms())[KEY_USED]
    await it.turns(3)
    await finalized(it)
    assert (await it.times(7), await it.nonce()) == (1, 2)
    assert await it.states() == [State.FINAL]


async def test_somebody_elses_pending_transaction_of_our_key_is_told(it: Post) -> None:
    for _ in range(4):
        await it.base_fee(GWEI)
        await it.impersonate(to=ADDRESS, nonce="0x0", gasPrice=hex(10 * GWEI))
        it.wait(IDLE)
        await it.turn()
        await it.base_fee(20 * GWEI)
        await it.mine()
    assert "has a pending transaction that is not ours" in (await it.alarms())[KEY_USED]


async def test_a_nonce_that_the_chain_still_waits_for_is_used_up(it: Post) -> None:
    await it.impersonate(to=ADDRESS, nonce="0x0")
    await it.mine()
    await it.want(7)
    await it.turn()
    assert (await it.only()).nonce == 1
    await it.anvil.reorg(1)
    assert await it.nonce() == 0
    for pending in await it.pending():
        await it.drop(pending)
    await it.turns(3)
    assert GAP in await it.alarms()
    await finalized(it)
    await it.turns(4)
    assert (await it.times(7), await it.nonce()) == (1, 2)
    assert set(await it.states()) == {State.FINAL}
    assert GAP not in await it.alarms()


async def test_an_account_that_cannot_pay_signs_nothing_and_is_told(tmp_path: Path) -> None:
    async with running() as anvil, post(tmp_path, anvil, coins=1000) as it:
        await it.want(7)
        await it.turn()
        assert await it.states() == [State.WANTED]
        assert "can't pay" in (await it.alarms())[BALANCE]
        await it.anvil.rpc("anvil_setBalance", ADDRESS, hex(10**18))
        await it.turns(1)
        await finalized(it)
        assert (await it.times(7), await it.nonce()) == (1, 1)
        assert BALANCE not in await it.alarms()


async def test_a_low_balance_is_told_before_it_is_too_late(tmp_path: Path) -> None:
    async with running() as anvil, post(tmp_path, anvil, coins=10**15) as it:
        assert "less than the 0.01 of least_balance" in (await it.alarms())[BALANCE]


async def test_sources_of_one_chain_share_one_line_of_nonces(tmp_path: Path) -> None:
    async with running() as anvil, post(tmp_path, anvil, sources=2) as it:
        await it.want(7)
        await it.want(8, source="post-1")
        await it.want(9)
        await it.turn()
        await finalized(it)
        assert [each.nonce for each in await it.sendings()] == [0, 1, 2]
        assert [await it.times(token) for token in (7, 8, 9)] == [1, 1, 1]


# -------------------------------------------------------------------------------------- operators


async def test_a_pause_stops_signing_and_sending_and_what_is_under_way_is_still_observed(
    it: Post,
) -> None:
    await it.want(7)
    await it.turn()
    await it.daemon.stores.holds.pause("effects", "a look", 0, now=1)
    await it.want(8)
    await finalized(it)
    assert await it.states() == [State.FINAL, State.WANTED]
    await it.daemon.stores.holds.resume("on", 0, now=2)
    await it.turn()
    await finalized(it)
    assert await it.states() == [State.FINAL, State.FINAL]


async def test_what_another_key_signed_is_left_alone_and_told(it: Post) -> None:
    await it.want(7)
    await it.turn()
    sender = it.config.sender
    assert sender is not None
    it.config = replace(it.config, sender=replace(sender, key=Secret(bytes.fromhex("0a" * 32))))
    await it.restart()
    await it.turn()
    assert f"that {ADDRESS} signed" in (await it.alarms())[OTHER_KEY]
    it.config = replace(it.config, sender=sender)
    await it.restart()
    await finalized(it)
    assert await it.states() == [State.FINAL]
    assert OTHER_KEY not in await it.alarms()


@pytest.mark.parametrize("kind", [Kind.BURN, Kind.CANCEL])
async def test_a_hold_stops_what_takes_a_lease_away_though_it_is_under_way(
    it: Post, kind: Kind
) -> None:
    it.look_by(blind, kind)
    await it.want(7, kind=kind)
    await it.turn()
    sent = await it.only()
    await it.daemon.stores.holds.hold(sent.intent.lease, Hold.HOLD, "a dispute", 0, now=1)
    await it.turn()
    assert (await it.only()).last.void
    await finalized(it)
    assert (await it.only()).why == "the lease is held"
    assert (await it.times(7), await it.nonce()) == (0, 1)
    await it.daemon.stores.holds.release(sent.intent.lease, Hold.HOLD, "settled", 0, now=2)
    it.wait(LET_ALONE)
    await it.turn()
    await finalized(it)
    assert (await it.times(7), await it.nonce()) == (1, 2)
    assert await it.states() == [State.FINAL]


# -------------------------------------------------------------------------------------- endpoints


class Inventive:
    """An endpoint that tells of receipts that never were."""

    def __init__(self, honest: Rpc) -> None:
        self._honest = honest

    name = "a liar's"

    def __getattr__(self, name: str) -> object:
        return getattr(self._honest, name)

    async def batch(self, calls: Sequence[RpcCall]) -> list[object | RpcError]:
        answers = await self._honest.batch(calls)
        return [
            _invented(params[0]) if method == "eth_getTransactionReceipt" else answer
            for (method, params), answer in zip(calls, answers, strict=True)
        ]


def _invented(tx_hash: object) -> dict[str, object]:
    where = {"blockNumber": "0x1", "blockHash": "0x" + "11" * 32}
    return {"transactionHash": tx_hash, "status": "0x1", **where}


class Both:
    """The liar first, then an honest endpoint."""

    def __init__(self, honest: RpcPool) -> None:
        self._honest = honest

    def ranked(self) -> Sequence[Rpc]:
        (rpc,) = self._honest.ranked()
        return [cast("Rpc", Inventive(rpc)), rpc]

    def health(self) -> Sequence[Health]:
        (known,) = self._honest.health()
        return [replace(known, host="a liar's"), known]


async def test_one_endpoint_alone_does_not_end_what_another_knows_nothing_of(it: Post) -> None:
    it.look_by(blind)
    await it.want(7)
    await it.turn()
    (pending,) = await it.pending()
    await it.drop(pending)
    (pool,) = it.pools.values()
    it.sender.gateway._pools = (Both(pool),)
    await it.turns(4)
    doubted = await it.only()
    assert doubted.state is State.MINED
    assert doubted.why == "a second endpoint tells otherwise than a liar's what became of it"
    it.sender.gateway._pools = (pool,)
    await it.turn()
    await finalized(it)
    assert (await it.times(7), await it.nonce()) == (1, 1)
    assert await it.states() == [State.FINAL]

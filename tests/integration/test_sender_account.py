"""Our account on a chain: nonces, coins, who else uses the key, and what operators forbid."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from chainwatch.chain.rpc import Call as RpcCall
from chainwatch.chain.rpc import Rpc, RpcError, RpcPool
from chainwatch.chain.standing import Health
from chainwatch.control.departures import LET_ALONE
from chainwatch.control.flights import (
    GAP,
    KEY_USED,
)
from chainwatch.control.hand import BALANCE
from chainwatch.control.sender import IDLE, OTHER_KEY
from chainwatch.credentials import Secret
from chainwatch.domain.desired import Hold
from chainwatch.domain.sendings import Kind, State
from tests.support.anvil import running
from tests.support.post import ADDRESS, GWEI, Post, blind, post


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Post]:
    async with running() as anvil, post(tmp_path, anvil) as made:
        yield made


async def finalized(it: Post) -> None:
    """Mine until what stands in a block is final, and let the daemon see it."""
    await it.turns(6)


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

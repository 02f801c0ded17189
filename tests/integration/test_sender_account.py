"""Our account on a chain: nonces, coins, who else uses the key, and what operators forbid."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from chainwatch.chain.rpc import RpcError
from chainwatch.control.departures import LET_ALONE
from chainwatch.control.flights import GAP, KEY_USED, STUCK, STUCK_AFTER
from chainwatch.control.hand import BALANCE, Told
from chainwatch.control.sender import IDLE, LINGERS, OTHER_KEY
from chainwatch.credentials import Secret
from chainwatch.domain.desired import Hold
from chainwatch.domain.sendings import Kind, State
from chainwatch.errors import RpcUnavailable
from tests.support.anvil import running
from tests.support.post import ADDRESS, BOX, COIN, GWEI, KEY, NAME, Post, Spoilt, blind, post


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Post]:
    async with running() as anvil, post(tmp_path, anvil) as made:
        yield made


async def finalized(it: Post) -> None:
    """Mine until what stands in a block is final, and let the daemon see it."""
    await it.turns(6)


def silent(method: str, _: Sequence[object], answer: object) -> object:
    """Answer no call of a contract, as a node does that has dropped the state."""
    return RpcError(-32000, "missing trie node") if method == "eth_call" else answer


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
    await it.restart()
    await it.turn()
    assert KEY_USED in await it.alarms(), "a thief is gone in a moment"
    it.wait(LINGERS[KEY_USED])
    await it.turn()
    assert KEY_USED not in await it.alarms()


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


async def test_the_same_nonce_of_two_keys_is_used_up_for_each(it: Post) -> None:
    sender = it.config.sender
    assert sender is not None
    for key in (KEY, bytes.fromhex("0a" * 32)):
        it.config = replace(it.config, sender=replace(sender, key=Secret(key)))
        await it.restart()
        await it.anvil.rpc("anvil_setBalance", it.sender.key.address, hex(COIN))
        view = await it.sender.gateway.account(None, None)
        assert await it.sender._hand().fill(view, 0, NAME, Told())
    filled = [(each.intent.kind, each.signer, each.nonce) for each in await it.sendings()]
    assert filled == [(Kind.FILL, ADDRESS, 0), (Kind.FILL, it.sender.key.address, 0)]


async def test_what_waits_long_and_cannot_be_looked_for_is_told_as_stuck(it: Post) -> None:
    await it.want(7)
    await it.turn()
    (pool,) = it.pools.values()
    it.sender.gateway._pools = (Spoilt(pool, silent),)
    it.wait(STUCK_AFTER)
    await it.turn()
    assert (await it.alarms())[STUCK].endswith("the node does not tell: missing trie node")


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


def invented(method: str, params: Sequence[object], answer: object) -> object:
    """Tell of receipts that never were."""
    if method != "eth_getTransactionReceipt":
        return answer
    where = {"blockNumber": "0x1", "blockHash": "0x" + "11" * 32}
    return {"transactionHash": params[0], "status": "0x1", **where}


async def test_one_endpoint_alone_does_not_end_what_another_knows_nothing_of(it: Post) -> None:
    it.look_by(blind)
    await it.want(7)
    await it.turn()
    (pending,) = await it.pending()
    await it.drop(pending)
    (pool,) = it.pools.values()
    it.sender.gateway._pools = (Spoilt(pool, invented, beside=True),)
    await it.turns(4)
    doubted = await it.only()
    assert doubted.state is State.MINED
    assert doubted.why == "a second endpoint tells otherwise than spoilt what became of it"
    it.sender.gateway._pools = (pool,)
    await it.turn()
    await finalized(it)
    assert (await it.times(7), await it.nonce()) == (1, 1)
    assert await it.states() == [State.FINAL]


async def test_a_call_that_no_node_can_try_holds_up_nobody_else(it: Post) -> None:
    it.look_by(blind)
    await it.want_coins(BOX, 10**30)
    await it.want(7)
    await it.turn()
    await finalized(it)
    poor, other = await it.sendings()
    assert (poor.state, other.state) == (State.WANTED, State.FINAL)
    assert "the node can't try it" in str(poor.why)
    assert (await it.times(7), await it.nonce()) == (1, 1)


async def test_what_cannot_be_looked_for_is_not_sent(it: Post) -> None:
    (pool,) = it.pools.values()
    it.sender.gateway._pools = (Spoilt(pool, silent),)
    await it.want(7)
    await it.turn()
    assert (await it.only()).why == "the node does not tell: missing trie node"
    assert await it.pending() == []


async def test_what_somebody_else_did_does_not_end_where_no_node_has_the_final_state(
    it: Post,
) -> None:
    def pruned(method: str, params: Sequence[object], answer: object) -> object:
        final = method == "eth_call" and not isinstance(params[1], dict)
        return RpcError(-32000, "missing trie node") if final else answer

    (pool,) = it.pools.values()
    it.sender.gateway._pools = (Spoilt(pool, pruned),)
    deployer, *_ = await it.anvil.accounts()
    await it.anvil.rpc("evm_setAutomine", True)
    await it.contract.send("deliver", 7, b"y", sender=deployer)
    await it.anvil.rpc("evm_setAutomine", False)
    await finalized(it)
    await it.want(7)
    await it.turn()
    assert "the final block says so too, of which the node does not tell" in str(
        (await it.only()).why
    )
    it.sender.gateway._pools = (pool,)
    it.wait(LET_ALONE)
    await it.turn()
    assert await it.states() == [State.FINAL]
    assert (await it.times(7), await it.nonce()) == (1, 0)


async def test_a_node_that_knows_neither_what_is_pending_nor_a_tip_is_good_enough(
    it: Post,
) -> None:
    def plain(method: str, params: Sequence[object], answer: object) -> object:
        odd = method == "eth_maxPriorityFeePerGas" or "pending" in params
        return RpcError(-32601, "not supported") if odd else answer

    (pool,) = it.pools.values()
    it.sender.gateway._pools = (Spoilt(pool, plain),)
    await it.want(7)
    await it.turn()
    await finalized(it)
    assert (await it.times(7), await it.nonce()) == (1, 1)


async def test_a_broadcast_whose_reply_is_lost_is_found_and_not_sent_twice(it: Post) -> None:
    def lost(method: str, _: Sequence[object], answer: object) -> object:
        if method == "eth_sendRawTransaction":
            raise RpcUnavailable("the connection was reset")
        return answer

    (pool,) = it.pools.values()
    it.sender.gateway._pools = (Spoilt(pool, lost),)
    await it.want(7)
    await it.turn()
    assert await it.states() == [State.SIGNED]
    assert len(await it.pending()) == 1
    await it.turn()
    assert await it.states() == [State.BROADCAST]
    await finalized(it)
    assert (await it.times(7), await it.nonce()) == (1, 1)

"""A purchase is never called unsent while a node may have it: who believed that would pay twice."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from aiohttp import web

from chainwatch.chain.rpc import RpcPool
from chainwatch.chain.sender.keys import HotKey
from chainwatch.chain.wallet.chain import Chain, Mined, Prepared
from chainwatch.domain.sendings import Call, Offer
from chainwatch.errors import OperatorError
from tests.support.anvil import Anvil, running
from tests.support.faultproxy import (
    Armed,
    Ask,
    CallFault,
    FaultProxy,
    GoOn,
    Refusal,
    ReplyFault,
    proxy,
)

pytestmark = pytest.mark.timeout(120)

KEY = HotKey(b"\x33" * 32)
FRIEND = "0x" + "77" * 20
SENDS = frozenset({"eth_sendRawTransaction"})
LOOKS = frozenset({"eth_getTransactionByHash"})
RECEIPTS = frozenset({"eth_getTransactionReceipt"})
Spoilt = Callable[[Prepared], Prepared]


async def nothing(_: Ask, __: GoOn) -> object:
    """What a node knows that was not asked."""
    return None


@dataclass
class Buyer:
    """Somebody whose node is reached through a proxy; `said` is what he was told while sending."""

    chain: Chain
    node: Anvil
    way: FaultProxy
    said: list[str] = field(default_factory=list)

    async def pays(self, tries: int = 40, spoilt: Spoilt = lambda same: same) -> Mined:
        """Pay a friend one wei, with what was prepared for it `spoilt`.

        Between two of the `tries` looks for it a block is mined.
        """
        prepared = spoilt(await self.chain.prepare(KEY.address, Call(FRIEND, "0x", 1)))

        async def pause(_: float) -> None:
            await self.node.mine(1)

        return await self.chain.send(KEY, prepared, told=self.said.append, pause=pause, tries=tries)

    async def paid(self) -> int:
        return int(str(await self.node.rpc("eth_getBalance", FRIEND, "latest")), 16)

    def spoils(self, name: str, *words: str, first: bool = True) -> None:
        """Have what is sent refused so, after it was sent or (not `first`) instead."""

        async def refuse(ask: Ask, go_on: GoOn) -> object:
            if first:
                await go_on(ask)
            raise Refusal(-32000, " ".join(words))

        self.way.arm(CallFault(name, SENDS, refuse))

    def loses(
        self,
        times: int | None = None,
        *,
        status: int = 502,
        after: str | None = None,
        first: bool = False,
    ) -> Armed:
        """Have what is sent answered by a status alone, after it was sent (`first`) or instead."""

        async def say(_: web.BaseRequest, __: object) -> web.StreamResponse:
            headers = {} if after is None else {"Retry-After": after}
            return web.Response(status=status, headers=headers)

        if not first:
            self.way.arm(CallFault("keeps it back", SENDS, nothing), count=times)
        return self.way.arm(ReplyFault("loses the answer", SENDS, say), count=times)

    def hides(self, looks: int | None = None) -> Armed:
        """Have so many looks for it, or all, end at a node that has not heard of it yet."""
        return self.way.arm(CallFault("has not heard of it", LOOKS, nothing), count=looks)


@asynccontextmanager
async def buyer() -> AsyncIterator[Buyer]:
    async with running() as node, proxy(node.url) as way:
        await node.rpc("anvil_setBalance", KEY.address, hex(10**18))
        pool = RpcPool([way.url], timeout=10)
        try:
            yield Buyer(await Chain.reached(pool.ranked()[0], None), node, way)
        finally:
            await pool.close()


async def test_what_the_way_to_the_node_sends_twice_is_told_as_done() -> None:
    """The node's own words, whatever they are, about a transaction that it has from us already."""

    async def twice(ask: Ask, go_on: GoOn) -> object:
        await go_on(ask)
        return await go_on(ask)

    async with buyer() as he:
        armed = he.way.arm(CallFault("sends twice", SENDS, twice))
        mined = await he.pays()
        assert (mined.hash, armed.struck) == (he.said[0], 1)
        assert await he.paid() == 1


@pytest.mark.parametrize(
    "words",
    [
        *("already known", "AlreadyKnown", "Known transaction", "transaction already imported"),
        *("nonce too low: next nonce 1, tx nonce 0", "OldNonce", "an error of nobody's making"),
    ],
)
async def test_a_refusal_of_what_arrived_is_told_as_done(words: str) -> None:
    async with buyer() as he:
        he.spoils("refuses what it took", words)
        assert (await he.pays()).hash == he.said[0]
        assert await he.paid() == 1


@pytest.mark.parametrize("words", ["already known", "nonce too low"])
async def test_what_may_be_there_and_is_in_no_block_is_left_open_with_the_node_s_words(
    words: str,
) -> None:
    async with buyer() as he:
        he.spoils("says that it is there", words, first=False)
        with pytest.raises(OperatorError) as open_:
            await he.pays(tries=3)
        assert f"{he.said[0]} was sent and is not mined yet" in str(open_.value)
        assert f"says of it: {words})" in str(open_.value)
        assert "before you do the same again" in str(open_.value)


async def test_a_node_that_refuses_and_then_is_silent_leaves_it_open() -> None:
    async def refuse(_: Ask, __: GoOn) -> object:
        raise Refusal(-32603, "busy")

    async with buyer() as he:
        he.spoils("refuses what it took", "internal error")
        he.way.arm(CallFault("tells nothing", LOOKS, refuse))
        assert (await he.pays()).hash == he.said[0]


async def test_a_refusal_that_nobody_confirms_or_denies_is_told_as_maybe_sent() -> None:
    async def refuse(_: Ask, __: GoOn) -> object:
        raise Refusal(-32603, "busy")

    async with buyer() as he:
        he.spoils("refuses", "insufficient funds", first=False)
        he.way.arm(CallFault("tells nothing", LOOKS, refuse))
        with pytest.raises(OperatorError, match="may have been sent and is not mined yet"):
            await he.pays(tries=3)


@pytest.mark.parametrize("words", ["upstream timed out", "insufficient funds"])
async def test_what_one_node_took_and_another_hears_of_later_is_told_as_done(words: str) -> None:
    """Behind one address may be many, and the second to be given it may be behind the first."""
    async with buyer() as he:
        he.spoils("refuses what another took", words)
        hidden = he.hides(4)
        assert (await he.pays()).hash == he.said[0]
        assert (hidden.struck, await he.paid()) == (4, 1)


@pytest.mark.parametrize(
    "words",
    [
        *("upstream timed out", "replacement transaction underpriced", "txpool is full"),
        *("Upfront cost exceeds account balance", "InsufficientFunds, Account balance: 1"),
    ],
)
async def test_what_no_node_comes_to_know_is_told_as_maybe_sent_with_its_hash(words: str) -> None:
    async with buyer() as he:
        he.spoils("refuses what another took", words)
        he.hides()
        with pytest.raises(OperatorError) as open_:
            await he.pays()
        assert f"{he.said[0]} may have been sent" in str(open_.value)
        assert f"says: {words}. Look for it before you do the same again" in str(open_.value)
        assert await he.paid() == 1


async def test_what_got_no_answer_is_never_told_as_sent() -> None:
    async def cut(_: web.BaseRequest, __: object) -> web.StreamResponse:
        return web.Response(status=502)

    async with buyer() as he:
        he.way.arm(ReplyFault("breaks off", SENDS | {"eth_getTransactionReceipt"}, cut))
        with pytest.raises(OperatorError, match=r"may have been sent and is not mined yet .*502"):
            await he.pays(tries=3)
        assert await he.paid() == 1


@pytest.mark.parametrize(("status", "after"), [(429, "0"), (503, "0"), (503, None), (502, None)])
async def test_what_got_no_answer_is_sent_again_as_it_is_until_it_gets_one(
    status: int, after: str | None
) -> None:
    async with buyer() as he:
        lost = he.loses(3, status=status, after=after)
        mined = await he.pays()
        assert ([mined.hash], lost.struck) == (he.said, 3)
        assert await he.paid() == 1


@pytest.mark.parametrize(("status", "after"), [(429, "0"), (502, None)])
async def test_what_was_taken_without_an_answer_is_paid_once_however_often_it_is_sent(
    status: int, after: str | None
) -> None:
    async with buyer() as he:
        hidden = he.way.arm(CallFault("has no receipt yet", RECEIPTS, nothing), count=6)
        lost = he.loses(3, status=status, after=after, first=True)
        mined = await he.pays()
        assert ([mined.hash], lost.struck, hidden.struck) == (he.said, 3, 6)
        assert await he.paid() == 1


async def test_who_limits_our_rate_is_sent_nothing_before_he_wants_it() -> None:
    async with buyer() as he:
        limited = he.loses(status=429, after="60")
        with pytest.raises(OperatorError) as open_:
            await he.pays()
        assert f"{he.said[0]} may have been sent and is not mined yet (" in str(open_.value)
        assert "limits our rate; it is asked again in" in str(open_.value)
        assert limited.struck == 1


async def test_who_never_answers_is_sent_it_more_and_more_seldom() -> None:
    async with buyer() as he:
        lost = he.loses()
        with pytest.raises(OperatorError, match="may have been sent and is not mined yet"):
            await he.pays(tries=40)
        assert lost.struck == len(("at once", 1, 2, 4, 8, 16, 32))


async def test_what_is_refused_when_it_is_sent_again_is_never_told_as_not_taken() -> None:
    """The first may have been taken, and paid for with the coin that the second lacks."""

    async def refuse(_: Ask, __: GoOn) -> object:
        raise Refusal(-32000, "insufficient funds")

    async with buyer() as he:
        he.loses(1, first=True)
        he.way.arm(CallFault("refuses the second", SENDS, refuse), spared=1)
        he.way.arm(CallFault("has no receipt yet", RECEIPTS, nothing))
        he.hides()
        with pytest.raises(OperatorError, match=r"may have been sent, .*says: insufficient funds"):
            await he.pays()
        assert await he.paid() == 1


async def test_what_the_node_refuses_and_does_not_know_was_not_sent() -> None:
    async with buyer() as he:
        he.spoils("refuses", "intrinsic gas too low\x1b[2J", first=False)
        looked = he.hides()
        with pytest.raises(OperatorError, match=r"does not take it: intrinsic gas too low·\[2J$"):
            await he.pays()
        assert (looked.struck, await he.paid()) == (5, 0)


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda prepared: replace(prepared, gas=20_999),
        lambda prepared: replace(prepared, offer=Offer(1, 1)),
        lambda prepared: replace(prepared, call=replace(prepared.call, value=10**18)),
        lambda prepared: replace(prepared, gas=10**12, offer=Offer(2 * 10**9, 10**9)),
    ],
    ids=["little gas", "a low price", "little coin", "more gas than a block has"],
)
async def test_what_a_real_node_refuses_for_good_is_told_as_not_taken(spoilt: Spoilt) -> None:
    async with buyer() as he:
        with pytest.raises(OperatorError, match="does not take it: "):
            await he.pays(spoilt=spoilt)
        assert (len(he.said), await he.paid()) == (1, 0)


async def test_what_is_signed_for_another_chain_is_told_as_not_taken() -> None:
    async with buyer() as he:
        he.chain.chain_id += 1
        with pytest.raises(OperatorError, match="does not take it: "):
            await he.pays()

"""A purchase is never called unsent while a node may have it: who believed that would pay twice."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from chainwatch.chain.rpc import RpcPool
from chainwatch.chain.sender.keys import HotKey
from chainwatch.chain.wallet.chain import Chain, Mined
from chainwatch.domain.sendings import Call
from chainwatch.errors import OperatorError
from tests.support.anvil import Anvil, running
from tests.support.faultproxy import Ask, CallFault, FaultProxy, GoOn, Refusal, proxy

pytestmark = pytest.mark.timeout(120)

KEY = HotKey(b"\x33" * 32)
FRIEND = "0x" + "77" * 20
SENDS = frozenset({"eth_sendRawTransaction"})


@dataclass
class Buyer:
    """Somebody whose node is reached through a proxy; `said` is what he was told while sending."""

    chain: Chain
    node: Anvil
    way: FaultProxy
    said: list[str] = field(default_factory=list)

    async def pays(self, tries: int = 40) -> Mined:
        """Pay a friend one wei; between two of the `tries` looks for it a block is mined."""
        prepared = await self.chain.prepare(KEY.address, Call(FRIEND, "0x", 1))

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
        he.way.arm(CallFault("tells nothing", frozenset({"eth_getTransactionByHash"}), refuse))
        assert (await he.pays()).hash == he.said[0]


async def test_what_the_node_refuses_and_does_not_know_was_not_sent() -> None:
    async with buyer() as he:
        he.spoils("refuses", "intrinsic gas\x1b[2J too low", first=False)
        with pytest.raises(OperatorError, match=r"does not take it: intrinsic gas·\[2J too low"):
            await he.pays()
        assert await he.paid() == 0

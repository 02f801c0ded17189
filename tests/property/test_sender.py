"""Whatever happens to a chain and to the daemon, each delivery that is wanted is made once.

Histories are drawn and lived through on a real chain: transactions are forgotten, blocks taken
away, and some given back, gas gets dear, somebody else uses the key, the daemon dies at any point.
In half of them nothing is looked up on the chain, so that only nonces keep an effect from coming
twice.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chainwatch.chain.rpc import RpcError
from chainwatch.chain.sender.looks import Look
from chainwatch.control.departures import LET_ALONE
from chainwatch.control.flights import KEY_USED, PATIENCE_BLOCKS, PATIENCE_S
from chainwatch.domain.sendings import Kind, Sending, State
from chainwatch.errors import RpcUnavailable
from provisioner import faultpoints
from tests.support.anvil import running
from tests.support.flips import DEEPEST, flip
from tests.support.post import ADDRESS, CEILING, GWEI, Post, Spoilt, blind, delivered, post
from tests.support.realm import crash_at

Act: TypeAlias = Callable[[Post, int], Awaitable[None]]
History: TypeAlias = list[tuple[Act, int]]

SOAK: Final = int(os.environ.get("CHAINWATCH_SOAK", "0"))
TOKENS: Final = 4
POINTS: Final = sorted(
    f"{name}.{edge}"
    for name in (*faultpoints.SENDING, *faultpoints.SENDING_COMMITS)
    for edge in ("before", "after")
    if name != "sender.has_role"
)


async def want(it: Post, token: int) -> None:
    await it.want(token)


async def turn(it: Post, _: int) -> None:
    await it.turn()


async def mine(it: Post, blocks: int) -> None:
    await it.turns(1, blocks=1 + blocks)


async def forget(it: Post, nth: int) -> None:
    if pending := await it.pending():
        await it.drop(pending[nth % len(pending)])


async def reorg(it: Post, depth: int) -> None:
    await it.anvil.reorg(1 + depth % 2)  # never below what is final


async def away_and_back(it: Post, nth: int) -> None:
    """Have a reorg take blocks away, and another one give them back, at the same times or later."""

    async def look() -> None:
        for _ in range(nth // 2 % 3):
            await it.turn()

    await flip(it.anvil, 1 + nth % DEEPEST, look, later=nth // 6 % 2)


async def dear(it: Post, times: int) -> None:
    await it.base_fee((1 + times) * CEILING // 3)
    await it.mine()


async def cheap(it: Post, _: int) -> None:
    await it.base_fee(GWEI)
    await it.mine()


async def wait(it: Post, _: int) -> None:
    await it.mine(PATIENCE_BLOCKS)
    it.wait(PATIENCE_S)


async def steal(it: Post, _: int) -> None:
    """Use the key's next nonce, which is what waits there or is signed next."""
    for pending in reversed(await it.pending()):
        await it.drop(pending)
    await it.base_fee(GWEI)
    await it.mine()
    await it.impersonate(to=ADDRESS, nonce=hex(await it.nonce()))
    await it.mine()


async def moody(it: Post, seed: int) -> None:
    """Take two turns with a node that lags, forgets, is busy, and loses replies."""
    (pool,), mood = it.pools.values(), Random(seed)

    def spoil(method: str, params: Sequence[object], answer: object) -> object:
        if mood.random() < 0.7:
            return answer
        match method:
            case "eth_sendRawTransaction":
                raise RpcUnavailable("the connection was reset")
            case "eth_getTransactionByHash":
                return None
            case "eth_getTransactionCount" if params[1] == "pending":
                return "0x0"
            case "eth_call" | "eth_estimateGas" | "eth_getTransactionReceipt":
                return RpcError(-32000, "busy")
        return answer

    for _ in range(2):
        it.sender.gateway._pools = (Spoilt(pool, spoil),)
        await it.turn()
        await it.mine()
    it.sender.gateway._pools = (pool,)


async def crash(it: Post, nth: int) -> None:
    it.missed = nth % 3
    crash_at(POINTS[nth % len(POINTS)])


ACTS: Final = (
    *(want, want, turn, turn, mine, mine, forget, reorg, away_and_back, away_and_back),
    *(dear, cheap, wait, steal, moody, crash),
)
HISTORIES: Final = st.lists(
    st.tuples(st.sampled_from(ACTS), st.integers(0, TOKENS - 1) | st.integers(0, 47)),
    min_size=4,
    max_size=25,
)


async def live(it: Post, history: History) -> None:
    for act, number in history:
        await act(it, number % TOKENS if act is want else number)
    faultpoints.arm(None)
    await it.base_fee(GWEI)
    for _ in range(3):
        await it.turns(8)
        it.wait(LET_ALONE)


async def judged(it: Post, history: History) -> None:
    wanted = {number % TOKENS for act, number in history if act is want}
    times = {token: await it.times(token) for token in range(TOKENS)}
    assert times == {token: int(token in wanted) for token in range(TOKENS)}
    sendings = await it.sendings()
    assert {each.state for each in sendings} <= {State.FINAL}
    assert sum(each.intent.kind is Kind.DELIVER for each in sendings) == len(wanted)
    assert await it.pending() == []
    assert set(await it.alarms()) <= {KEY_USED}


async def _lived(history: History, look: Callable[[Sending], Look]) -> None:
    with TemporaryDirectory() as folder:
        async with running() as anvil, post(Path(folder), anvil) as it:
            it.look_by(look)
            await live(it, history)
            await judged(it, history)


@pytest.mark.timeout(120 + 4 * SOAK)
@settings(
    max_examples=SOAK or 15,
    derandomize=not SOAK,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example],
)
@given(history=HISTORIES, look=st.sampled_from([blind, delivered]))
def test_each_delivery_is_made_once_whatever_happens(
    history: History, look: Callable[[Sending], Look]
) -> None:
    asyncio.run(_lived(history, look))

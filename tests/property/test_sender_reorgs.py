"""Whatever a reorg takes away and gives back, leases are delivered and requests answered once.

Histories are drawn and lived through on a real chain with the lease contract: an owner asks for
larger plans, blocks with deliveries, requests and answers are taken away and given back, at the
same times or others, and all that happens to deliveries elsewhere happens here. In half of them
nothing is looked up, so that the contract's refusal decides. The chain's logs judge.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeAlias

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from chainwatch.chain.sender.lease_looks import LEASE_LOOKS
from chainwatch.chain.sender.looks import Looks
from chainwatch.control.departures import LET_ALONE_AT_MOST
from chainwatch.control.flights import KEY_USED
from chainwatch.domain.sendings import Kind, State
from provisioner import faultpoints
from tests.property.test_sender import (
    away_and_back,
    cheap,
    crash,
    dear,
    forget,
    mine,
    moody,
    reorg,
    steal,
    turn,
    wait,
)
from tests.support.anvil import running
from tests.support.at_once import at_once
from tests.support.post import GWEI, Post, blind
from tests.support.upgrading import DAY, TOKENS, Upgrading, answer_of, upgrading

Act: TypeAlias = Callable[[Upgrading, int], Awaitable[None]]
History: TypeAlias = list[tuple[Act, int]]

SOAK: Final = int(os.environ.get("CHAINWATCH_SOAK", "0"))
BLIND: Final = dict.fromkeys((Kind.DELIVER, Kind.UPGRADE, Kind.REFUSE), blind)


async def ask(at: Upgrading, nth: int) -> None:
    """Have the owner ask for a larger plan of one of his leases."""
    await at.ask(TOKENS[nth % 2])


async def asked_and_away(at: Upgrading, nth: int) -> None:
    """The same, and a reorg takes the request away when its answer is just wanted."""
    await ask(at, nth)
    await at.it.turns(2)
    await away_and_back(at.it, nth | 1)


def happens(act: Callable[[Post, int], Awaitable[None]]) -> Act:
    """What happens to the post, whatever is asked for."""

    async def to_it(at: Upgrading, number: int) -> None:
        await act(at.it, number)

    return to_it


ACTS: Final = (
    *(ask, ask, asked_and_away, asked_and_away, asked_and_away),
    *map(happens, (turn, turn, mine, mine, forget, reorg, away_and_back, away_and_back)),
    *map(happens, (dear, cheap, wait, steal, moody, crash)),
)
HISTORIES: Final = st.lists(
    st.tuples(st.sampled_from(ACTS), st.integers(0, 11) | st.integers(0, 47)),
    min_size=8,
    max_size=25,
)


#: Requests of both leases that are away for a look, and are the same again.
AT_ONCE: Final = [(asked_and_away, 3), (asked_and_away, 4)]


async def live(at: Upgrading, history: History) -> None:
    await at.it.turns(5)  # mostly delivered, and that is final
    for act, number in history:
        await act(at, number)
    await settled(at)


async def settled(at: Upgrading) -> None:
    """Have luck be good again, and all be done that is owed."""
    faultpoints.arm(None)
    await at.it.base_fee(GWEI)
    for _ in range(4):
        await at.it.turns(7)
        if all(each.done_at is not None for each in await at.it.sendings()):
            return
        at.it.wait(LET_ALONE_AT_MOST)


async def judged(at: Upgrading) -> None:
    assert await at.deliveries() == dict.fromkeys(TOKENS, 1)
    sendings = await at.it.sendings()
    for token in TOKENS:
        for request in await at.requests(token):
            assert request.answers == (answer_of(request.tx),), request
            words = f"until {request.deadline} of {request.tx}"
            (answer,) = (each for each in sendings if each.intent.cause.endswith(words))
            assert answer.state is State.FINAL
    assert await at.it.pending() == []


async def ended(at: Upgrading) -> None:
    """What was wanted because of requests that never came again ends with their time."""
    before = await at.it.nonce()
    await at.it.anvil.advance(DAY)
    await settled(at)
    assert {each.state for each in await at.it.sendings()} <= {State.FINAL, State.FAILED}
    assert (await at.it.nonce(), await at.it.pending()) == (before, [])
    assert set(await at.it.alarms()) <= {KEY_USED}


async def _lived(history: History, looks: Looks) -> None:
    with TemporaryDirectory() as folder, at_once():
        async with running() as anvil, upgrading(Path(folder), anvil) as at:
            at.it.look_with(looks)
            await live(at, history)
            await judged(at)
            await ended(at)


@pytest.mark.timeout(240 + 4 * SOAK)
@settings(
    max_examples=SOAK // 5 or 4,
    derandomize=not SOAK,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example],
)
@given(history=HISTORIES, looks=st.sampled_from([BLIND, LEASE_LOOKS]))
@example(history=AT_ONCE, looks=BLIND)
@example(history=AT_ONCE, looks=LEASE_LOOKS)
def test_each_lease_is_delivered_once_and_each_request_answered_once_whatever_comes_back(
    history: History, looks: Looks
) -> None:
    asyncio.run(_lived(history, looks))

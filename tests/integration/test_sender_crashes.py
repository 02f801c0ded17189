"""A daemon that dies at any point of its own transactions has one effect in the end."""

import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from chainwatch.control.departures import LET_ALONE
from chainwatch.control.flights import PATIENCE_BLOCKS, PATIENCE_S
from chainwatch.domain.sendings import State
from provisioner import faultpoints
from tests.support.anvil import Anvil, running
from tests.support.post import ADDRESS, Post, blind, post
from tests.support.realm import crash_at

EDGES = [
    f"{name}.{edge}"
    for name in (*faultpoints.SENDING, *faultpoints.SENDING_COMMITS)
    for edge in ("before", "after")
]
#: What only `check` asks.
NOT_HERE = {"sender.has_role.before", "sender.has_role.after"}
SOAK = bool(os.environ.get("CHAINWATCH_SOAK"))
#: Points that every life passes at least three times, at the second and third; a soak has them all.
OFTEN = ("sender.account", "sender.broadcast", "commit.sending_signed", "commit.sending_seen")
EVERY = [
    (f"{name}.{edge}", nth, missed)
    for name in OFTEN
    for edge in ("before", "after")
    for nth in (1, 2, 3)
    for missed in (0, 1, 2)
]
SOME = EVERY if SOAK else random.Random(5).sample(EVERY, 5)
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def anvil() -> AsyncIterator[Anvil]:
    async with running() as chain:
        yield chain


async def troubled(it: Post) -> None:
    """Live through what can happen to three deliveries: they pass every fault point there is.

    Nothing is looked up, so that only nonces keep an effect from coming twice.
    """
    it.look_by(blind)
    await it.want(1)
    await it.want(2)
    await it.turn()
    for pending in reversed(await it.pending()):
        await it.drop(pending)
    await it.mine(PATIENCE_BLOCKS)
    it.wait(PATIENCE_S)
    await it.turns(1)
    await it.turns(1)
    await it.anvil.reorg(1)
    await it.turn()
    await it.turns(6)
    await it.want(3)
    await it.turn()
    for pending in await it.pending():
        await it.drop(pending)
    await it.impersonate(to=ADDRESS, nonce=hex(await it.nonce()))
    await it.turns(4)
    deployer, *_ = await it.anvil.accounts()
    data = it.contract.contract.encode_abi("set", [4, True])
    request = {"from": deployer, "to": it.contract.address, "data": data}
    await it.anvil.rpc("eth_sendTransaction", request)
    await it.mine()
    await it.want(4)


async def settled(it: Post) -> None:
    """Take turns until nothing more happens."""
    await it.turns(7)
    it.wait(LET_ALONE)
    await it.turns(6)


async def lived(
    folder: Path, anvil: Anvil, point: str | None, nth: int = 1, missed: int = 0
) -> Counter[str]:
    """Live through it all, dying where told; return what was passed."""
    passed: Counter[str] = Counter()
    async with post(folder, anvil) as it:
        before, it.missed = await it.nonce(), missed
        if point is None:
            faultpoints.arm(lambda reached: passed.update([reached]))
        else:
            crash_at(point, nth)
        await troubled(it)
        await settled(it)
        faultpoints.arm(None)
        assert it.crashes == (point is not None)
        assert [await it.times(token) for token in (1, 2, 3, 4)] == [1, 1, 1, 0]
        ends = [State.FINAL, State.FINAL, State.FINAL, State.WANTED]
        assert await it.states() == ends
        assert await it.nonce() - before == 4, "three of ours, and one of the thief's"
        assert await it.pending() == []
    return passed


async def test_the_life_passes_every_fault_point_of_the_sender(
    tmp_path: Path, anvil: Anvil
) -> None:
    passed = await lived(tmp_path, anvil, None)
    assert set(EDGES) - set(passed) == NOT_HERE


@pytest.mark.parametrize("point", [edge for edge in EDGES if edge not in NOT_HERE])
async def test_a_crash_at_any_point_ends_in_one_effect(
    tmp_path: Path, anvil: Anvil, point: str
) -> None:
    await lived(tmp_path, anvil, point, missed=1)


@pytest.mark.parametrize(("point", "nth", "missed"), SOME)
async def test_a_crash_at_any_time_ends_in_one_effect(
    tmp_path: Path, anvil: Anvil, point: str, nth: int, missed: int
) -> None:
    await lived(tmp_path, anvil, point, nth, missed)

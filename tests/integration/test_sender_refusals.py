"""What the lease contract refuses for good ends; what it refuses for now waits, and says for what.

Nothing is looked up here, so that the contract's own refusal decides. Each row is a lease brought
into a state, and a call that the contract refuses then.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from chainwatch.chain.sender import lease_calls
from chainwatch.chain.sender.lease_looks import LEASE_LOOKS
from chainwatch.chain.sender.looks import Looks
from chainwatch.control.departures import LET_ALONE, LET_ALONE_AT_MOST, OVERTAKEN
from chainwatch.control.flights import PATIENCE_BLOCKS, PATIENCE_S
from chainwatch.control.hand import BALANCE
from chainwatch.domain.sendings import Kind, State
from chainwatch.store.sender_alarms import REFUSED
from tests.support.anvil import Anvil, running
from tests.support.lease_contract import PlanOffer
from tests.support.post import ADDRESS, GWEI, blind
from tests.support.posted_lease import (
    HOUR,
    Happens,
    burnt,
    called,
    cancelled,
    delivered,
    disowned,
    disowned_when_over,
    expired,
    nothing,
    opened,
    overdue,
    sold,
    upgrade_overdue,
)
from tests.support.realm import crash_at

pytestmark = pytest.mark.asyncio(loop_scope="module")

LARGEST = PlanOffer(name="largest", cores=4, price_per_second=3_000)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def anvil() -> AsyncIterator[Anvil]:
    async with running() as chain:
        yield chain


FOR_GOOD = [
    (Kind.DELIVER, delivered, "the lease was delivered"),
    (Kind.DELIVER, cancelled, "the lease is gone"),
    (Kind.DELIVER, burnt, "the lease is gone"),
    (Kind.DELIVER, overdue, "the time in which it was promised is over"),
    (Kind.PUBLISH, burnt, "the lease is gone"),
    (Kind.CANCEL, delivered, "the lease was delivered"),
    (Kind.CANCEL, cancelled, "the lease is gone"),
    (Kind.UPGRADE, burnt, "the lease is gone"),
    (Kind.UPGRADE, delivered, "that upgrade is not asked for any more"),
    (Kind.UPGRADE, upgrade_overdue, "the time in which it was promised is over"),
    (Kind.REFUSE, delivered, "that upgrade is not asked for any more"),
    (Kind.BURN, burnt, "the lease is gone"),
]
GRANT = f"have its admin run `chainwatch contract role grant provisioner {ADDRESS}`"
FOR_NOW = [
    (Kind.DELIVER, disowned, GRANT),
    (Kind.PUBLISH, disowned, GRANT),
    (Kind.PUBLISH, sold, "the contract refuses it"),
    (Kind.CANCEL, disowned, GRANT),
    (Kind.UPGRADE, disowned, GRANT),
    (Kind.UPGRADE, nothing, "the lease is not delivered"),
    (Kind.UPGRADE, expired, "goes on only when it is renewed"),
    (Kind.REFUSE, disowned, GRANT),
    (Kind.BURN, disowned_when_over, GRANT),
    (Kind.BURN, delivered, "its time is not over yet"),
    (Kind.BURN, nothing, "the lease is not delivered"),
]


def named(row: object) -> str:
    return getattr(row, "__name__", str(row))


@pytest.mark.parametrize(("kind", "happens", "why"), FOR_GOOD, ids=named)
async def test_what_never_succeeds_any_more_ends_with_its_reason_when_that_is_final(
    tmp_path: Path, anvil: Anvil, kind: Kind, happens: Happens, why: str
) -> None:
    async with opened(tmp_path, anvil) as shop:
        it, nonce = shop.it, await shop.it.nonce()
        await happens(shop)
        await shop.want(kind, await called(kind, shop))
        await it.turns(6)
        it.wait(LET_ALONE)
        await it.turn()
        ended = await it.only()
        assert (ended.state, ended.why) == (
            State.FAILED,
            f"the contract refuses it for good: {why}",
        )
        assert (await it.nonce(), await it.alarms()) == (nonce, {})


@pytest.mark.parametrize(("kind", "happens", "why"), FOR_NOW, ids=named)
async def test_what_may_still_succeed_waits_and_says_what_has_to_be_done(
    tmp_path: Path, anvil: Anvil, kind: Kind, happens: Happens, why: str
) -> None:
    async with opened(tmp_path, anvil) as shop:
        it, nonce = shop.it, await shop.it.nonce()
        await happens(shop)
        await it.mine(6)
        await shop.want(kind, await called(kind, shop))
        for _ in range(3):
            await it.turns(3)
            it.wait(LET_ALONE)
        waiting = await it.only()
        assert waiting.state is State.WANTED
        assert why in str(waiting.why)
        assert why in (await it.alarms())[REFUSED]
        assert await it.nonce() == nonce


async def test_what_is_refused_for_a_moment_only_is_sent_though_its_time_seemed_over(
    tmp_path: Path, anvil: Anvil
) -> None:
    async with opened(tmp_path, anvil) as shop:
        it, before = shop.it, await anvil.snapshot()
        await overdue(shop)
        await shop.want(Kind.DELIVER, await called(Kind.DELIVER, shop))
        await it.turn()
        assert REFUSED not in await it.alarms()
        assert "it ends when the final block says so too" in str((await it.only()).why)
        await anvil.revert(before)
        it.wait(LET_ALONE)
        await it.turns(6)
        assert await it.states() == [State.FINAL]
        assert await shop.contract.deployed.call(int, "deliveredAt", shop.token) > 0


LOOKED_UP: tuple[Looks, str] = (LEASE_LOOKS, "that upgrade is not asked for any more")
TRIED: tuple[Looks, str] = (
    {},
    "the contract refuses it for good: that upgrade is not asked for any more",
)


@pytest.mark.parametrize("again", [2, 3], ids=["the same plan", "a dearer plan"])
@pytest.mark.parametrize("found", [LOOKED_UP, TRIED], ids=["looked up", "tried"])
@pytest.mark.parametrize("kind", [Kind.UPGRADE, Kind.REFUSE])
async def test_a_late_answer_to_one_upgrade_never_answers_the_next(
    tmp_path: Path, anvil: Anvil, kind: Kind, found: tuple[Looks, str], again: int
) -> None:
    looks, why = found
    async with opened(tmp_path, anvil) as shop:
        it, nonce = shop.it, await shop.it.nonce()
        await shop.contract.create_plan(LARGEST)
        await upgrade_overdue(shop)
        late = await called(kind, shop)
        await shop.contract.deployed.send("withdrawUpgrade", shop.token, sender=shop.owner)
        await shop.ask(again)
        asked = await shop.upgrade()
        await shop.want(kind, late)
        it.look_by(looks.get(kind, blind), kind)
        await it.turns(6)
        it.wait(LET_ALONE)
        await it.turn()
        ended = await it.only()
        assert ended.state in (State.FINAL, State.FAILED)
        assert ended.why == why
        assert (await shop.upgrade(), await it.nonce()) == (asked, nonce)
        assert asked[0] == again
        assert await shop.contract.deployed.call(int, "planOf", shop.token) == 1


async def test_it_is_tried_the_less_often_the_longer_it_waits_and_at_once_when_told(
    tmp_path: Path, anvil: Anvil
) -> None:
    async with opened(tmp_path, anvil) as shop:
        it, pauses = shop.it, []
        await disowned(shop)
        await shop.want(Kind.CANCEL, await called(Kind.CANCEL, shop))
        for _ in range(20):
            await it.turns(1)
            pause = (await it.only()).not_before - it.cluster_now()
            assert f"tried again in {pause} s" in (await it.alarms())[REFUSED]
            pauses.append(pause)
            it.wait(pause)
        assert (pauses[0], pauses[-1]) == (LET_ALONE, LET_ALONE_AT_MOST)
        assert pauses == sorted(pauses)
        await it.turns(1)
        await shop.role("grantRole")
        await it.turns(1)
        assert await it.states() == [State.WANTED]
        await it.daemon.stores.sendings.take_up(str(shop.id), now=it.cluster_now())
        await it.turns(7)
        assert await it.states() == [State.FINAL]
        assert REFUSED not in await it.alarms()


async def test_without_coins_it_waits_whatever_else_and_goes_on_when_there_are_some(
    tmp_path: Path, anvil: Anvil
) -> None:
    async with opened(tmp_path, anvil) as shop:
        it = shop.it
        await anvil.rpc("anvil_setBalance", ADDRESS, "0x1")
        await shop.want(Kind.DELIVER, await called(Kind.DELIVER, shop))
        await it.turns(3)
        assert await it.states() == [State.WANTED]
        assert "send it coins" in (await it.alarms())[BALANCE]
        await anvil.rpc("anvil_setBalance", ADDRESS, hex(10**18))
        it.wait(LET_ALONE)
        await it.turns(7)
        assert await it.states() == [State.FINAL]


async def test_what_is_stuck_and_would_fail_by_now_makes_room_for_what_comes_after(
    tmp_path: Path, anvil: Anvil
) -> None:
    async with opened(tmp_path, anvil) as shop:
        it, nonce = shop.it, await shop.it.nonce()
        second, _ = await shop.contract.mint(1, shop.owner, seconds=HOUR)
        await shop.by_itself(False)
        await shop.want(Kind.DELIVER, await called(Kind.DELIVER, shop))
        await it.turn()
        low = (await it.only()).last.offer.cap
        for _ in range(PATIENCE_BLOCKS):
            await it.base_fee(2 * low)
            await it.mine()
        await it.anvil.rpc("evm_setNextBlockTimestamp", (await anvil.block()).timestamp + HOUR)
        await it.base_fee(2 * low)
        await it.mine()
        it.wait(PATIENCE_S)
        await it.turn()
        assert (await it.only()).last.void
        await it.base_fee(GWEI)
        await it.turns(1)
        assert await it.nonce() == nonce + 1
        it.wait(LET_ALONE)
        await it.turns(8)
        ended = await it.only()
        assert ended.state is State.FAILED
        assert "the time in which it was promised is over" in str(ended.why)
        assert await shop.contract.owner_of(second) == shop.owner
        assert await shop.contract.deployed.call(int, "deliveredAt", shop.token) == 0
        assert (await it.nonce(), await it.pending()) == (nonce + 1, [])


async def test_what_was_refused_is_told_no_more_though_the_daemon_dies_as_it_is_signed(
    tmp_path: Path, anvil: Anvil
) -> None:
    async with opened(tmp_path, anvil) as shop:
        it = shop.it
        await disowned(shop)
        await shop.want(Kind.DELIVER, lease_calls.deliver(shop.id, shop.owner, b"sealed"))
        await it.turns(2)
        assert REFUSED in await it.alarms()
        await shop.role("grantRole")
        it.wait(LET_ALONE)
        await it.mine()
        crash_at("sender.broadcast.before")
        await it.turn()
        assert it.crashes == 1
        await it.turns(8)
        assert await it.states() == [State.FINAL]
        assert REFUSED not in await it.alarms()


async def test_a_connection_that_waited_never_stands_in_place_of_a_newer_one(
    tmp_path: Path, anvil: Anvil
) -> None:
    async with opened(tmp_path, anvil) as shop:
        it = shop.it
        await delivered(shop)
        await disowned(shop)
        await shop.want(Kind.PUBLISH, lease_calls.publish(shop.id, shop.owner, b"older"))
        await it.turns(2)
        assert REFUSED in await it.alarms()
        await shop.role("grantRole")
        await shop.want(Kind.PUBLISH, lease_calls.publish(shop.id, shop.owner, b"newer"), "anew")
        await it.turns(2)
        await it.daemon.stores.sendings.take_up(str(shop.id), now=it.cluster_now())
        await it.turns(6)
        assert await shop.contract.deployed.call(bytes, "connectionOf", shop.token) == b"newer"
        assert await it.states() == [State.FAILED, State.FINAL]
        assert (await it.sendings())[0].why == OVERTAKEN
        assert REFUSED not in await it.alarms()

"""What reverts again and again is given up, told, and looked at on until it is over or retried."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from chainwatch.chain.sender.lease_looks import LEASE_LOOKS
from chainwatch.control.departures import LET_ALONE
from chainwatch.domain.sendings import MOST_REVERTS, Kind, State
from chainwatch.store.sender_alarms import FAILED
from tests.support.anvil import Anvil, running
from tests.support.posted_lease import (
    HOUR,
    Happens,
    Shop,
    called,
    cancelled,
    delivered,
    ended,
    nothing,
    opened,
    sold,
    upgrade_asked,
    upgrade_refused,
)
from tests.support.realm import crash_at

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def anvil() -> AsyncIterator[Anvil]:
    async with running() as chain:
        yield chain


async def wanted(shop: Shop, kind: Kind) -> None:
    await shop.want(kind, await called(kind, shop))
    shop.it.look_by(LEASE_LOOKS[kind], kind)


async def given_up(shop: Shop, kind: Kind) -> None:
    await wanted(shop, kind)
    for _ in range(MOST_REVERTS):
        await shop.in_vain()


@pytest.mark.parametrize(
    ("kind", "first"),
    [(Kind.CANCEL, nothing), (Kind.PUBLISH, delivered), (Kind.REFUSE, upgrade_asked)],
)
async def test_what_reverts_too_often_is_told_and_not_sent_until_an_operator_says_so(
    tmp_path: Path, anvil: Anvil, kind: Kind, first: Happens
) -> None:
    async with opened(tmp_path, anvil) as shop:
        it, nonce = shop.it, await shop.it.nonce()
        await first(shop)
        await wanted(shop, kind)
        for _ in range(MOST_REVERTS):
            assert FAILED not in await it.alarms()
            await shop.in_vain()
        given = await it.only()
        assert given.given_up
        assert (await it.nonce(), given.reverts) == (nonce + MOST_REVERTS, MOST_REVERTS)
        told = (await it.alarms())[FAILED]
        assert told.startswith(f"{kind}: it reverted 3 times (the last was 0x")
        assert told.endswith(" and was given up; `chainwatch retry` has it tried again")
        for _ in range(3):
            it.wait(LET_ALONE)
            await it.turns(2)
        given = await it.only()
        assert (given.given_up, await it.nonce()) == (True, nonce + MOST_REVERTS)
        assert "`chainwatch retry` has it tried again" in str(given.why)
        assert FAILED in await it.alarms()
        await it.daemon.stores.sendings.take_up(str(shop.id), now=it.cluster_now())
        assert FAILED not in await it.alarms()
        await it.turns(7)
        assert await it.states() == [State.FINAL]
        assert (await it.nonce(), await it.alarms()) == (nonce + MOST_REVERTS + 1, {})


async def test_a_delivery_that_reverts_is_told_and_sent_again_without_anybody_saying_so(
    tmp_path: Path, anvil: Anvil
) -> None:
    async with opened(tmp_path, anvil) as shop:
        it = shop.it
        await given_up(shop, Kind.DELIVER)
        assert "is tried again ever more rarely" in (await it.alarms())[FAILED]
        it.wait(LET_ALONE)
        await it.turns(7)
        assert (await it.states(), await it.alarms()) == ([State.FINAL], {})


async def test_the_daemon_dies_as_it_gives_up_and_it_is_told_all_the_same(
    tmp_path: Path, anvil: Anvil
) -> None:
    async with opened(tmp_path, anvil) as shop:
        it = shop.it
        await wanted(shop, Kind.CANCEL)
        for _ in range(MOST_REVERTS - 1):
            await shop.in_vain()
        crash_at("commit.sending_seen.after", 2)  # seen in its block, and let go
        await shop.in_vain()
        assert it.crashes == 1
        assert ((await it.only()).given_up, FAILED in await it.alarms()) == (True, True)


@pytest.mark.parametrize(
    ("kind", "first", "then"),
    [
        (Kind.UPGRADE, upgrade_asked, upgrade_refused),
        (Kind.REFUSE, upgrade_asked, upgrade_refused),
        (Kind.PUBLISH, delivered, sold),
        (Kind.PUBLISH, delivered, ended),
        (Kind.CANCEL, nothing, delivered),
        (Kind.CANCEL, nothing, cancelled),
    ],
)
async def test_what_was_given_up_ends_and_is_told_no_more_when_what_it_is_about_is_over(
    tmp_path: Path, anvil: Anvil, kind: Kind, first: Happens, then: Happens
) -> None:
    async with opened(tmp_path, anvil) as shop:
        it = shop.it
        await first(shop)
        await given_up(shop, kind)
        nonce = await it.nonce()
        await then(shop)
        it.wait(LET_ALONE)
        await it.turns(1)
        assert FAILED in await it.alarms(), "what is over is not final yet"
        await it.mine(4)
        it.wait(LET_ALONE)
        await it.turns(1)
        (end,) = await it.states()
        assert end in (State.FINAL, State.FAILED)
        assert (await it.alarms(), await it.nonce()) == ({}, nonce)


async def test_an_upgrade_that_was_given_up_is_over_with_its_refusal(
    tmp_path: Path, anvil: Anvil
) -> None:
    async with opened(tmp_path, anvil) as shop:
        it = shop.it
        await upgrade_asked(shop)
        await shop.contract.renew(shop.token, 2 * HOUR, shop.owner)
        await given_up(shop, Kind.UPGRADE)
        await shop.later(HOUR + 1)
        await shop.want(Kind.REFUSE, await called(Kind.REFUSE, shop))
        it.look_with(LEASE_LOOKS)
        for _ in range(8):
            it.wait(LET_ALONE)
            await it.turns(1)
        assert await it.states() == [State.FAILED, State.FINAL]
        assert ((await shop.upgrade())[0], await it.alarms()) == (0, {})

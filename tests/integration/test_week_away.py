"""A week without the daemon: its buyers go on dealing, and when it is back it does what they say.

Nothing of the daemon runs meanwhile. What is asked for is asked of the contract, by buyers alone;
what came of it is read from the cluster, and every turn after the return is looked at.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest

from chainwatch.config import Config
from chainwatch.domain.sealing import Unsealable
from chainwatch.domain.sendings import Kind
from chainwatch.store.verify import verify
from tests.support.estate import GRACE, HOUR, SMALL, Estate, estate
from tests.support.lease_contract import NATIVE, Reverted
from tests.support.realm import BOBS_KEY

DAY: Final = 24 * HOUR
MONTH: Final = 30 * DAY
PRICE: Final = SMALL.price_per_second
RUNS: Final = ["running"]


@dataclass(slots=True)
class Leases:
    """What was bought of Alice, by what becomes of it in the week."""

    kept: int = 0
    renewed: int = 0
    late: int = 0  # renewed after its expiry, within its grace
    lapsed: int = 0
    sold: int = 0
    ended: int = 0
    waiting: int = 0  # bought before, not delivered yet
    missed: int = 0  # bought in the week, and given back by its owner
    fresh: int = 0  # bought an hour before the daemon is back

    @property
    def stay(self) -> tuple[int, ...]:
        return (self.kept, self.renewed, self.late, self.sold)

    @property
    def go(self) -> tuple[int, ...]:
        return (self.lapsed, self.ended)


def few_at_once(config: Config) -> Config:
    """A configuration whose source is read three blocks at a time."""
    (source,) = config.sources
    return replace(config, sources=(replace(source, max_range=3),))


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Estate]:
    async with estate(tmp_path, adjust=few_at_once) as made:
        yield made


async def before(it: Estate) -> Leases:
    """Six leases whose machines run and are delivered, and one that waits."""
    them = Leases()
    lasts = {"kept": MONTH, "renewed": 3 * DAY, "late": 2 * DAY, "lapsed": 2 * DAY}
    for name, seconds in (*lasts.items(), ("sold", MONTH), ("ended", MONTH)):
        setattr(them, name, await it.buy(seconds=seconds))
    for token in (*them.stay, *them.go):
        await it.is_delivered(token)
    them.waiting = await it.buy(seconds=MONTH)
    await it.turns(2, seconds=1)
    runs = dict.fromkeys((*them.stay, *them.go), RUNS)
    assert it.machines() == {**runs, them.waiting: ["stopped"]}
    return them


async def away(it: Estate, them: Leases) -> None:
    """The week: buyers deal with the contract, and nobody else does anything."""
    start = (await it.anvil.block()).timestamp
    shop = it.shop

    async def at(seconds: int) -> None:
        await it.anvil.advance_to(start + seconds)

    await at(2 * HOUR)
    await shop.refund(them.waiting, it.alice)
    await shop.transfer(them.sold, it.alice, it.bob)
    await shop.set_keys(them.sold, it.bob, BOBS_KEY, it.public(it.bob))
    them.missed = await it.buy(seconds=MONTH)
    await at(DAY)
    await shop.refund(them.missed, it.alice)
    await shop.end(them.ended, it.alice)
    await shop.claim(NATIVE, it.alice)
    await at(2 * DAY)
    await shop.renew(them.renewed, MONTH, it.bob)
    await at(await shop.expires_at(them.late) - start + GRACE // 2)
    await shop.renew(them.late, MONTH, it.alice)
    await at(4 * DAY)
    with pytest.raises(Reverted, match="GraceIsOver"):
        await shop.renew(them.lapsed, MONTH, it.alice)
    await at(7 * DAY - HOUR // 2)
    them.fresh = await it.buy(seconds=MONTH)
    await at(7 * DAY)
    await it.finalize()
    it.cluster.advance(7 * DAY)


async def test_buyers_deal_for_a_week_and_the_daemon_does_what_they_say_when_it_is_back(
    it: Estate,
) -> None:
    them = await before(it)
    await away(it, them)
    await it.restart()
    for _ in range(60):
        await it.turn(reads=1)
        await it.anvil.mine(1)
        it.cluster.advance(4)
        seen = it.machines()
        assert {token: seen.get(token) for token in them.stay} == dict.fromkeys(them.stay, RUNS)
        assert them.missed not in seen
    await it.is_delivered(them.fresh)
    assert (await it.read_by(it.alice, them.fresh)).user == "debian"
    for _ in range(12):
        await it.turns(8)
        await it.pass_time(GRACE // 4)
    assert it.machines() == dict.fromkeys((*them.stay, them.fresh), RUNS)
    assert (await it.read_by(it.bob, them.sold)).user == "debian"
    with pytest.raises(Unsealable):
        await it.read_by(it.alice, them.sold)
    for token in them.go:
        assert len(await it.sendings(token, Kind.BURN)) == 1
    await agrees(it, them)


async def agrees(it: Estate, them: Leases) -> None:
    """Hold what the daemon knows against the contract, and the money against the deals."""
    stores = it.daemon.stores
    for token in (*them.stay, them.fresh):
        row = await stores.leases.get(it.lease(token))
        assert row is not None
        assert row.lease is not None
        assert row.lease.owner == (await it.shop.owner_of(token)).lower()
        assert row.lease.expires_at == await it.shop.expires_at(token)
    for token in (*them.go, them.waiting, them.missed):
        with pytest.raises(Reverted):
            await it.shop.owner_of(token)
    assert await verify(it.db) == []
    assert it.cluster.inventory().leaked_volumes() == ()
    given = [said.values for said in await it.said("Refunded")]
    whole = {said["tokenId"]: said["amount"] for said in given if said["tokenId"] != them.ended}
    assert whole == dict.fromkeys((them.waiting, them.missed), MONTH * PRICE)
    assert await it.sendings(them.missed) == []

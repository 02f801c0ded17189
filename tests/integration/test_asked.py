"""What an owner asks for on the chain is done once, and ends where he can see it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chainwatch.control.obedience import TOO_OLD
from chainwatch.domain.events import ActionRequested, Event, PlanChanged, UpgradeUpdated
from chainwatch.store.asked import SOLD, TAKEN_BACK, TOO_MANY
from chainwatch.store.wishes import MOST, Wish
from provisioner.model import Verb
from tests.support.amnesia import forget, rebuild
from tests.support.office import desk_of
from tests.support.realm import FIRST, GRACE, Crash, Realm, crash_at, realm

REBOOT, START, STOP, REINSTALL, UPGRADE = 1, 2, 3, 4, 5


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Realm]:
    async with realm(tmp_path) as made:
        made.buy(lasts=100 * GRACE)
        made.finalize()
        await made.settle()
        yield made


def ask(world: Realm, *kinds: int, tx: str | None = None) -> None:
    """The owner asks, in one transaction, confirmed and not final."""
    world.mine(*(ActionRequested(1, kind, "") for kind in kinds), tx=tx)
    world.confirm()


def boots(world: Realm) -> int:
    return world.cluster.inventory().guests[FIRST].boots


async def wishes(world: Realm) -> list[Wish]:
    """Return what `show` tells of requests, the oldest first."""
    return list((await desk_of(world).show("1")).orders)[::-1]


async def ends(world: Realm) -> list[tuple[str, str | None]]:
    return [(wish.verb, wish.outcome) for wish in await wishes(world)]


async def test_a_reboot_that_is_asked_for_is_done_once_and_said(world: Realm) -> None:
    before = boots(world)
    ask(world, REBOOT)
    await world.settle()
    (wish,) = await wishes(world)
    assert (wish.outcome, wish.said) == ("done", "it was shut down and started again")
    assert (wish.uid, wish.reason) == (None, "its owner asked on the chain")
    world.finalize()
    await world.restart()
    await world.settle()
    assert boots(world) == before + 1
    assert len(await wishes(world)) == 1


async def test_two_in_one_transaction_are_two(world: Realm) -> None:
    before = boots(world)
    ask(world, STOP, START)
    await world.settle()
    assert await ends(world) == [(Verb.STOP, "done"), (Verb.START, "done")]
    assert (boots(world), world.running()) == (before + 1, [FIRST])


async def test_a_stop_keeps_it_off_until_a_start(world: Realm) -> None:
    ask(world, STOP)
    await world.settle()
    assert world.running() == []
    ask(world, START)
    await world.settle()
    assert world.running() == [FIRST]


async def test_a_reinstall_waits_until_it_is_final(world: Realm) -> None:
    world.guest().os.files["/home/debian/diary"] = "dear diary"
    ask(world, REINSTALL)
    await world.settle()
    assert "/home/debian/diary" in world.guest().os.files
    assert await ends(world) == [(Verb.REINSTALL, None)]
    world.finalize()
    await world.settle()
    assert "/home/debian/diary" not in world.guest().os.files
    assert await ends(world) == [(Verb.REINSTALL, "done")]


async def test_a_reinstall_that_a_reorg_takes_back_is_never_done(world: Realm) -> None:
    world.guest().os.files["/home/debian/diary"] = "dear diary"
    ask(world, REINSTALL)
    await world.settle()
    world.chain.reorg(2)
    world.finalize()
    await world.settle()
    assert "/home/debian/diary" in world.guest().os.files
    assert [(wish.outcome, wish.said) for wish in await wishes(world)] == [("refused", TAKEN_BACK)]


async def test_what_comes_back_in_another_block_is_done_once(world: Realm) -> None:
    before, tx = boots(world), "0x" + "ab" * 32
    ask(world, REBOOT, tx=tx)
    await world.settle()
    world.chain.drop(2)
    world.mine()
    ask(world, REBOOT, tx=tx)
    world.finalize()
    await world.settle()
    assert boots(world) == before + 1
    assert await ends(world) == [(Verb.REBOOT, "done")]


async def test_what_was_taken_back_before_it_was_begun_is_done_when_it_comes_back(
    world: Realm,
) -> None:
    tx = "0x" + "ab" * 32
    ask(world, REINSTALL, tx=tx)
    await world.settle()
    world.chain.reorg(2)
    world.chain.mine()
    await world.settle()
    assert await ends(world) == [(Verb.REINSTALL, "refused")]
    ask(world, REINSTALL, tx=tx)
    world.finalize()
    await world.settle()
    assert await ends(world) == [(Verb.REINSTALL, "done")]


async def test_what_a_seller_asked_for_is_not_done_to_the_buyer(world: Realm) -> None:
    world.guest().os.files["/home/debian/diary"] = "dear diary"
    ask(world, REINSTALL)
    await world.settle()
    world.transfer()
    world.confirm()
    world.finalize()
    await world.settle()
    assert "/home/debian/diary" in world.guest().os.files
    assert [(wish.outcome, wish.said) for wish in await wishes(world)] == [("refused", SOLD)]


async def test_what_a_sale_ended_is_done_when_a_reorg_takes_the_sale_back(world: Realm) -> None:
    world.guest().os.files["/home/debian/diary"] = "dear diary"
    ask(world, REINSTALL)
    await world.settle()
    world.transfer()
    world.confirm()
    await world.settle()
    assert await ends(world) == [(Verb.REINSTALL, "refused")]
    world.chain.reorg(2)
    world.finalize()
    await world.settle()
    assert "/home/debian/diary" not in world.guest().os.files
    assert await ends(world) == [(Verb.REINSTALL, "done")]


async def test_a_sale_that_comes_back_ends_what_its_seller_asked_for(world: Realm) -> None:
    world.guest().os.files["/home/debian/diary"] = "dear diary"
    ask(world, REINSTALL)
    world.transfer()
    world.confirm()
    await world.settle()
    world.chain.reorg(2)
    world.transfer()
    world.finalize()
    await world.settle()
    assert "/home/debian/diary" in world.guest().os.files
    assert [(wish.outcome, wish.said) for wish in await wishes(world)] == [("refused", SOLD)]


@pytest.mark.parametrize(
    ("ending", "outcome"),
    [(UpgradeUpdated(1, 0, 0), "refused"), (PlanChanged(1, 2), "done"), (None, None)],
)
async def test_an_upgrade_goes_on_when_a_reorg_takes_back_what_ended_it(
    world: Realm, ending: Event | None, outcome: str | None
) -> None:
    world.mine(ActionRequested(1, UPGRADE, f"0x{2:064x}"), UpgradeUpdated(1, 2, 2**40))
    world.mine(*([ending] if ending else []))
    world.confirm()
    await world.settle()
    assert [wish.outcome for wish in await wishes(world)] == [outcome]
    world.chain.reorg(2)
    world.chain.mine()
    await world.settle()
    assert [wish.outcome for wish in await wishes(world)] == [None]


async def test_whoever_asks_too_much_is_told_so(world: Realm) -> None:
    before = boots(world)
    ask(world, *[REBOOT] * (MOST + 2))
    await world.settle()
    said = [wish.said for wish in await wishes(world)]
    assert said.count(TOO_MANY) == 2
    assert boots(world) == before + MOST


async def test_what_was_asked_for_long_ago_is_not_done_any_more(world: Realm) -> None:
    before = boots(world)
    ask(world, REBOOT)
    world.pass_time(TOO_OLD)
    await world.settle()
    (wish,) = await wishes(world)
    assert wish.outcome == "refused"
    assert wish.said is not None
    assert "more than a day ago" in wish.said
    assert boots(world) == before


async def test_what_the_contract_never_says_is_no_wish(world: Realm) -> None:
    ask(world, 0, 6, 255)
    await world.settle()
    assert await wishes(world) == []


async def test_a_database_that_is_made_again_does_nothing_a_second_time(world: Realm) -> None:
    world.finalize()
    ask(world, REBOOT)
    ask(world, REINSTALL)
    world.finalize()
    await world.settle()
    assert await ends(world) == [(Verb.REBOOT, "done"), (Verb.REINSTALL, "done")]
    before = boots(world)
    world.guest().os.files["/home/debian/diary"] = "dear diary"
    await forget(world)
    await rebuild(world)
    await desk_of(world).resume_all("a test", 0)
    await world.settle()
    assert "/home/debian/diary" in world.guest().os.files
    assert boots(world) == before
    assert await ends(world) == [(Verb.REBOOT, "done"), (Verb.REINSTALL, "done")]


@pytest.mark.parametrize(
    "point", ["commit.batch.before", "commit.batch.after", "commit.wish.before"]
)
async def test_a_crash_on_the_way_reboots_once(world: Realm, point: str) -> None:
    before = boots(world)
    ask(world, REBOOT)
    crash_at(point)
    with pytest.raises(Crash):
        await world.settle()
    await world.restart()
    await world.settle()
    assert boots(world) == before + 1
    assert await ends(world) == [(Verb.REBOOT, "done")]

"""A machine becomes larger only where its node has room for that; else it waits, and says why."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from chainwatch.config import Config
from chainwatch.domain.sendings import Kind, State
from tests.support.estate import HOUR, LARGE, Estate, estate
from tests.support.realm import FIRST, GRACE

#: Of the node's 512 GiB so much may be sold that one small machine fits, and no large one.
TIGHT: Final = 3 / 512
STRANGER: Final = 101
#: One small and one large machine fit, or two small ones.
NARROW: Final = 6.5 / 512


def sold(part: float) -> Callable[[Config], Config]:
    """Return a change of the configuration: how much of the memory may be sold."""

    def adjust(config: Config) -> Config:
        return replace(config, proxmox=replace(config.proxmox, memory_overcommit=part))

    return adjust


@asynccontextmanager
async def delivered(folder: Path, adjust: Callable[[Config], Config]) -> AsyncIterator[Estate]:
    """Open an estate in which Alice's small machine runs and is delivered."""
    async with estate(folder, adjust=adjust) as it:
        await it.is_delivered(await it.buy(seconds=3 * HOUR))
        yield it


async def wants_more(it: Estate, token: int = 1) -> None:
    price = LARGE.price_per_second * 3 * HOUR
    await it.shop.deployed.send("requestUpgrade", token, 2, 10**18, sender=it.alice, value=price)
    await it.anvil.mine(1)


def hardware(it: Estate, vmid: int = FIRST) -> tuple[int, int]:
    """Return cores and MiB that a machine has from its next boot on."""
    guest = it.cluster.guest(vmid)
    config = {**guest.config, **guest.pending}
    return int(str(config["cores"])), int(str(config["memory"]))


async def plan_of(it: Estate, token: int = 1) -> int:
    return await it.shop.deployed.call(int, "planOf", token)


async def alarm(it: Estate, token: int = 1) -> str:
    """Return what the alarm about room says, '' where there is none."""
    alarms = await it.daemon.stores.alarms.all()
    said = [
        each.text for each in alarms if (each.name, each.subject) == ("no-room", it.lease(token))
    ]
    return said[0] if said else ""


async def larger(it: Estate, token: int = 1) -> None:
    """Turn until the contract says that a lease is of the larger plan."""

    async def done() -> bool:
        return await plan_of(it, token) == 2

    await it.until(done, seconds=10)


async def test_without_room_on_its_node_it_waits_and_stays_as_it_is_and_goes_on_by_itself(
    tmp_path: Path,
) -> None:
    async with delivered(tmp_path, sold(NARROW)) as it:
        it.cluster.add_guest(STRANGER, running=True, config={"memory": "3584"})
        it.cluster.advance(30)
        await wants_more(it)
        await it.turns(10, seconds=30)
        assert hardware(it) == (2, 2048)
        assert "node pve has 1024 MiB of memory left of 2048" in await alarm(it)
        shown = await it.desk().show("1")
        assert "can't be made larger yet" in str(shown.waits)
        assert await it.sendings(1, Kind.UPGRADE) == await it.sendings(1, Kind.REFUSE) == []
        it.cluster.remove_guest(STRANGER)
        await larger(it)
        assert hardware(it) == (4, 4096)
        await it.turns(10, seconds=60)
        assert await alarm(it) == ""


async def test_what_was_not_said_in_time_of_one_upgrade_is_not_said_of_the_next(
    tmp_path: Path,
) -> None:
    async with delivered(tmp_path, sold(NARROW)) as it:
        it.sends = False
        await wants_more(it)

        async def is_owed() -> bool:
            return bool(await it.sendings(1, Kind.UPGRADE))

        async def is_small() -> bool:
            return hardware(it) == (2, 2048)

        await it.until(is_owed)
        await it.pass_time(HOUR + 1)
        await it.turns(2)
        await it.shop.deployed.send("withdrawUpgrade", 1, sender=it.alice)
        await it.until(is_small)
        it.cluster.add_guest(STRANGER, running=True, config={"memory": "3584"})
        it.cluster.advance(30)
        await wants_more(it)
        it.sends = True
        await it.turns(8, seconds=30)
        await it.finalize()
        await it.turns(8, seconds=30)
        assert (await plan_of(it), await is_small()) == (1, True)
        assert (await it.shop.deployed.call(tuple, "upgradeOf", 1))[0] == 2
        it.cluster.remove_guest(STRANGER)
        await larger(it)
        assert hardware(it) == (4, 4096)
        await it.finalize()
        await it.turns(4)
        late, now = await it.sendings(1, Kind.UPGRADE)
        assert (late.state, now.state) == (State.FAILED, State.FINAL)
        (refusal,) = await it.sendings(1, Kind.REFUSE)
        assert (refusal.attempts, refusal.why) == ((), "that upgrade is not asked for any more")


async def test_without_room_until_the_promised_time_is_over_it_is_paid_back_and_says_why(
    tmp_path: Path,
) -> None:
    async with delivered(tmp_path, sold(TIGHT)) as it:
        await wants_more(it)
        await it.turns(4, seconds=30)
        await it.pass_time(HOUR + 1)
        await it.turns(8)
        await it.finalize()
        await it.turns(8)
        (wish,) = await it.wishes(1)
        assert (wish.verb, wish.outcome) == ("upgrade", "refused")
        assert wish.said is not None
        assert wish.said.startswith("it was not done within the time that was promised: VM 20000")
        assert "node pve has 1024 MiB of memory left" in wish.said
        assert [each.state for each in await it.sendings(1, Kind.REFUSE)] == [State.FINAL]
        assert await it.credit(it.alice) > 0
        assert (await plan_of(it), hardware(it)) == (1, (2, 2048))
        await it.turns(4, seconds=60)
        assert await alarm(it) == ""


async def test_a_disk_that_does_not_fit_leaves_the_memory_as_it_is_too(tmp_path: Path) -> None:
    async with delivered(tmp_path, sold(1.0)) as it:
        kept = replace(it.config.proxmox, storage_reserve_gib=235)
        it.config = replace(it.config, proxmox=kept)
        await it.restart()
        await wants_more(it)
        await it.turns(6, seconds=30)
        assert "GiB left beyond its reserve of 20" in await alarm(it)
        assert hardware(it) == (2, 2048)
        assert str(it.guest().config["scsi0"]).endswith("size=20G")


async def test_a_disk_for_which_too_much_is_sold_waits_and_goes_on_by_itself(
    tmp_path: Path,
) -> None:
    async with delivered(tmp_path, sold(1.0)) as it:
        it.config = replace(it.config, proxmox=replace(it.config.proxmox, storage_overcommit=0.1))
        await it.restart()
        await wants_more(it)
        await it.turns(6, seconds=30)
        said = await alarm(it)
        assert (
            "storage local has 25 GiB sold of 25 that may be (storage_overcommit), and 20" in said
        )
        assert hardware(it) == (2, 2048)
        it.cluster.state.storages["local"].size *= 2
        await larger(it)
        assert str(it.guest().config["scsi0"]).endswith("size=40G")


async def test_while_it_waits_for_room_all_else_goes_on(tmp_path: Path) -> None:
    async with delivered(tmp_path, sold(TIGHT)) as it:
        await wants_more(it)
        await it.turns(4, seconds=30)
        await it.shop.deployed.send("requestAction", 1, 3, b"", sender=it.alice)
        await it.anvil.mine(1)
        await it.turns(6, seconds=30)
        assert not it.running()
        assert [(wish.verb, wish.outcome) for wish in await it.wishes(1)] == [
            ("upgrade", None),
            ("stop", "done"),
        ]


async def test_it_still_ends_when_its_time_is_over(tmp_path: Path) -> None:
    async with delivered(tmp_path, sold(TIGHT)) as it:
        await wants_more(it)
        await it.turns(4, seconds=30)
        await it.pass_time(4 * HOUR)
        await it.turns(12)
        assert not it.running()
        await it.pass_time(GRACE)
        for _ in range(6):
            await it.turns(8)
            await it.pass_time(60)
        assert FIRST not in it.cluster.inventory().guests


async def test_two_at_once_do_not_take_the_same_room(tmp_path: Path) -> None:
    async with delivered(tmp_path, sold(NARROW)) as it:
        await it.is_delivered(await it.buy(seconds=3 * HOUR))
        await wants_more(it, 1)
        await wants_more(it, 2)
        await it.turns(20, seconds=10)
        sizes = {hardware(it, FIRST)[1], hardware(it, FIRST + 1)[1]}
        assert sizes == {2048, 4096}
        assert sorted([bool(await alarm(it, 1)), bool(await alarm(it, 2))]) == [False, True]


async def test_what_has_grown_keeps_its_room_before_its_next_boot_and_after_a_restart(
    tmp_path: Path,
) -> None:
    async with delivered(tmp_path, sold(NARROW)) as it:
        await wants_more(it)
        await larger(it)
        assert it.guest().pending, "it takes effect with the next boot"
        await it.restart()
        await it.turns(3)
        await it.buy()
        await it.buy()
        await it.turns(20, seconds=10)
        assert set(it.cluster.inventory().guests) & {FIRST, FIRST + 1, FIRST + 2} == {
            FIRST,
            FIRST + 1,
        }

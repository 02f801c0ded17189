"""A buyer always has the way into the machine that he has now, and is told each way once."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from chainwatch.domain.plans import PlanRule, PlanRules
from chainwatch.domain.sendings import MOST_REVERTS, Kind, State
from chainwatch.domain.tellings import DAY, OFTEN
from provisioner import faultpoints
from provisioner.allocate import AddressRange
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.settings import Settings
from provisioner.terms import Terms
from tests.support.estate import HOST_KEY, HOUR, KEY_FILE, LARGE, Estate, estate
from tests.support.realm import BOBS_KEY, FIRST, TEMPLATE, Crash

MONTH = 30 * 24 * HOUR
REBOOT, REINSTALL = 1, 4
OTHER_KEY = HOST_KEY[:-4] + "AAAA"
ELSEWHERE = AddressRange("198.51.100.10/24", "198.51.100.1")


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Estate]:
    async with estate(tmp_path) as made:
        yield made


async def sold(it: Estate) -> int:
    """Alice buys for a month, and is told her way in."""
    token = await it.buy(seconds=MONTH)
    await it.is_delivered(token)
    return token


async def told(it: Estate, token: int) -> tuple[str, tuple[str, ...]]:
    """Return the address and the host keys that Alice decrypts."""
    found = await it.read_by(it.alice, token)
    return found.ipv4, found.host_keys


async def tellings(it: Estate) -> int:
    return len(await it.said("ConnectionPublished"))


async def lives_on(it: Estate, turns: int = 40) -> None:
    """Let the daemon look at everything over and over again, while blocks are mined."""
    for number in range(turns):
        if number % 8 == 0:
            await it.daemon.supervisor.resync.enqueue_all("periodic resync")
        await it.turns(1)
        await it.anvil.mine(1)


def lose(it: Estate, vmid: int = FIRST) -> None:
    """Somebody removes the machine."""
    it.cluster.stop_guest(vmid)
    it.cluster.remove_guest(vmid)


def host_key_of(it: Estate, vmid: int) -> str:
    return it.cluster.guest(vmid).os.files[KEY_FILE].removesuffix(" root@template\n")


async def test_whose_machine_is_lost_is_told_the_way_into_the_new_one_once(it: Estate) -> None:
    token = await sold(it)
    it.cluster.guest(TEMPLATE).os.files[KEY_FILE] = f"{OTHER_KEY} root@template\n"
    lose(it)
    await lives_on(it)
    assert list(it.cluster.inventory().guests) == [TEMPLATE, FIRST + 1]
    assert await told(it, token) == ("203.0.113.11", (OTHER_KEY,))
    await lives_on(it)
    assert await tellings(it) == 2
    assert "was told how to get in" in str((await it.desk().show(str(token))).delivery)


async def test_whose_second_machine_is_lost_too_is_told_again(it: Estate) -> None:
    token = await sold(it)
    for vmid in (FIRST, FIRST + 1):
        lose(it, vmid)
        await lives_on(it)
    (vmid,) = set(it.cluster.inventory().guests) - {TEMPLATE}
    assert (await told(it, token))[0] == f"203.0.113.{10 + vmid - FIRST}"
    assert await tellings(it) == 3


async def test_after_a_reinstall_its_owner_is_told_the_new_host_keys_once(it: Estate) -> None:
    token = await sold(it)
    it.cluster.guest(TEMPLATE).os.files[KEY_FILE] = f"{OTHER_KEY} root@template\n"
    await it.ask(token, REINSTALL)
    await it.finalize()
    await lives_on(it)
    assert host_key_of(it, FIRST) == OTHER_KEY
    assert await told(it, token) == ("203.0.113.10", (OTHER_KEY,))
    assert await tellings(it) == 2


async def test_a_machine_made_anew_that_is_silent_is_told_without_the_former_host_keys(
    it: Estate,
) -> None:
    token = await sold(it)
    it.cluster.guest(TEMPLATE).has_agent = False
    await it.ask(token, REINSTALL)
    await it.finalize()
    await it.turns(60, seconds=15)
    await lives_on(it, 10)
    assert await told(it, token) == ("203.0.113.10", ())
    it.guest().has_agent = True
    await lives_on(it, 10)
    assert await told(it, token) == ("203.0.113.10", (HOST_KEY,))
    assert await tellings(it) == 3


@pytest.mark.parametrize("key", [HOST_KEY, OTHER_KEY])
async def test_after_a_boot_other_host_keys_are_told_and_the_same_are_not(
    it: Estate, key: str
) -> None:
    """A guest makes others, for example, when its owner's key changed before the boot."""
    token = await sold(it)
    it.guest().os.files[KEY_FILE] = f"{key} root@here\n"
    asked: list[str] = []
    faultpoints.arm(asked.append)
    await it.ask(token, REBOOT)
    await lives_on(it)
    assert await told(it, token) == ("203.0.113.10", (key,))
    assert await tellings(it) == (1 if key == HOST_KEY else 2)
    assert asked.count("guest.host_keys.before") == 1


async def test_who_was_told_without_host_keys_is_told_them_when_the_guest_says_them(
    it: Estate,
) -> None:
    it.cluster.guest(TEMPLATE).os.files[KEY_FILE] = "not yet"
    token = await sold(it)
    assert await told(it, token) == ("203.0.113.10", ())
    await lives_on(it, 10)
    assert await tellings(it) == 1
    it.guest().os.files[KEY_FILE] = f"{HOST_KEY} root@here\n"
    await lives_on(it, 10)
    assert await told(it, token) == ("203.0.113.10", (HOST_KEY,))
    assert await tellings(it) == 2


async def test_nobody_is_told_that_his_machine_stands_on_another_node(tmp_path: Path) -> None:
    cluster = Cluster(Settings(nodes=("pve", "pve2")))
    async with estate(tmp_path, cluster=cluster) as it:
        token = await sold(it)
        moved = it.guest()
        moved.node = "pve2" if moved.node == "pve" else "pve"
        for volume in cluster.state.volumes_of(FIRST):
            volume.node = moved.node if volume.node else ""
        await it.restart()
        await it.ask(token, REBOOT)
        await lives_on(it)
        assert [(wish.verb, wish.outcome) for wish in await it.wishes(token)] == [
            ("reboot", "done")
        ]
        assert await told(it, token) == ("203.0.113.10", (HOST_KEY,))
        assert await tellings(it) == 1


async def test_addresses_that_an_operator_changes_are_told_and_told_again_when_changed_back(
    it: Estate,
) -> None:
    token = await sold(it)
    pool = it.config.machines.pool
    before = it.config
    moved = replace(pool, ipv4=ELSEWHERE)
    it.config = replace(before, machines=replace(before.machines, pool=moved))
    await it.restart()
    await it.desk().pause("effects", "the network is not there yet", 0)
    await lives_on(it, 10)
    assert await it.sendings(token, Kind.PUBLISH) == []
    await it.desk().resume_all("it is there", 0)
    await lives_on(it, 10)
    assert (await told(it, token))[0] == "198.51.100.10"
    it.config = before
    await it.restart()
    await lives_on(it, 10)
    assert (await told(it, token))[0] == "203.0.113.10"
    assert await tellings(it) == 3


async def test_an_upgrade_to_a_plan_with_addresses_of_its_own_tells_them(tmp_path: Path) -> None:
    rules = PlanRules((PlanRule(Terms(ipv4=ELSEWHERE), name="large"),))
    async with estate(tmp_path, adjust=lambda same: replace(same, plans=rules)) as it:
        token = await sold(it)
        price = LARGE.price_per_second * MONTH
        asked = ("requestUpgrade", token, 2, 2**255)
        await it.shop.deployed.send(*asked, sender=it.alice, value=price)
        await it.anvil.mine(1)
        await lives_on(it)
        assert await it.shop.deployed.call(int, "planOf", token) == 2
        assert (await told(it, token))[0] == "198.51.100.10"
        assert await tellings(it) == 2


async def test_a_delivery_that_waits_while_its_machine_is_lost_is_put_right_after_it(
    it: Estate,
) -> None:
    token = await it.buy(seconds=MONTH)
    await it.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(10**13))
    await it.anvil.mine(1)
    while not await it.sendings(token, Kind.DELIVER):
        await it.turns(1)
    assert not await it.delivered_at(token)
    lose(it)
    await it.daemon.supervisor.resync.enqueue_all("periodic resync")
    await it.turns(30)
    assert not it.running()
    await it.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(10**9))
    await it.is_delivered(token)
    await lives_on(it)
    assert (await told(it, token))[0] == "203.0.113.11"
    assert await tellings(it) == 2


async def test_whose_machine_is_lost_after_the_database_was_is_told_too(it: Estate) -> None:
    token = await sold(it)
    await it.db.close()
    for file in it.config.installation.state_dir.glob("estate.db*"):
        file.unlink()
    await it.reopen()
    await it.daemon.rebuild.run(0)
    await it.desk().resume_all("it is all there", 0)
    await lives_on(it, 10)
    assert await tellings(it) == 1
    lose(it)
    await lives_on(it)
    (vmid,) = set(it.cluster.inventory().guests) - {TEMPLATE}
    assert (await told(it, token))[0] == f"203.0.113.{10 + vmid - FIRST}"
    assert await tellings(it) == 2


@pytest.mark.parametrize("point", ["guest.host_keys.after", "commit.work.before"])
async def test_a_crash_on_the_way_tells_it_once(it: Estate, point: str) -> None:
    token = await sold(it)
    lose(it)
    near = False

    def die(reached: str) -> None:
        nonlocal near
        near = near or reached == "guest.host_keys.after"
        if near and reached == point:
            faultpoints.arm(None)
            raise Crash(point)

    faultpoints.arm(die)
    await lives_on(it)
    assert it.crashes == 1
    assert (await told(it, token))[0] == "203.0.113.11"
    assert await tellings(it) == 2
    assert [each.state for each in await it.sendings(token, Kind.PUBLISH)] == [State.FINAL]


async def test_what_a_seller_used_up_of_his_quota_is_not_his_buyers(it: Estate) -> None:
    token = await sold(it)
    for place in range(OFTEN + 1):
        await it.shop.set_keys(token, it.alice, "", it.public(str(place)))
        await it.finalize()
        await it.turns(3, seconds=1)
    assert len(await it.sendings(token, Kind.PUBLISH)) == OFTEN
    await it.shop.transfer(token, it.alice, it.bob)
    await it.finalize()
    await it.turns(4)
    await it.shop.set_keys(token, it.bob, BOBS_KEY, it.public(it.bob))
    await it.finalize()
    await it.turns(8)
    assert (await it.read_by(it.bob, token)).ipv4 == "203.0.113.10"


async def test_who_has_to_wait_is_told_when_and_then_is_by_the_chains_time_alone(
    it: Estate,
) -> None:
    token = await sold(it)
    for place in range(OFTEN + 1):
        await it.shop.set_keys(token, it.alice, "", it.public(str(place)))
        await it.finalize()
        await it.turns(3, seconds=1)
    said = str((await it.desk().show(str(token))).delivery)
    assert "so often that he is told anew on" in said
    it.cluster.advance(DAY)
    await it.turns(4)
    assert len(await it.sendings(token, Kind.PUBLISH)) == OFTEN
    await it.anvil.advance_to((await it.anvil.block()).timestamp + DAY)
    for _ in range(4):  # block by block: a source that had to catch up makes every lease due
        await it.turns(1)
        await it.anvil.mine(1)
    assert (await it.read_by(str(OFTEN), token)).user == "debian"


async def test_a_machine_that_is_lost_is_told_of_whatever_its_owner_used_up(it: Estate) -> None:
    token = await sold(it)
    for place in range(OFTEN):
        await it.shop.set_keys(token, it.alice, "", it.public(str(place)))
        await it.finalize()
        await it.turns(3, seconds=1)
    lose(it)
    await lives_on(it)
    assert (await it.read_by(str(OFTEN - 1), token)).ipv4 == "203.0.113.11"


async def test_show_says_that_an_owner_could_not_be_told_until_it_is_tried_again(
    it: Estate,
) -> None:
    async def told_how() -> str:
        return str((await it.desk().show(str(token))).delivery)

    token = await it.buy()
    await it.is_delivered(token)
    it.sends = False
    await it.shop.set_keys(token, it.alice, "", it.public("a new key"))
    for _ in range(2):
        await it.finalize()
        await it.turns(2)
    assert "is being told how to get in" in await told_how()
    (waiting,) = await it.sendings(token, Kind.PUBLISH)
    for _ in range(MOST_REVERTS):
        await it.daemon.stores.sendings.released(waiting.id, "in vain", reverted=True, now=1)
    assert f"has failed; `chainwatch retry {token}` has it tried again" in await told_how()
    await it.desk().retry(str(token), "it is mended", 0)
    assert "is being told how to get in" in await told_how()
    it.sends = True
    await it.turns(2)
    await it.finalize()
    await it.turns(2)
    assert "its owner was told how to get in" in await told_how()
    assert (await it.read_by("a new key", token)).user == "debian"

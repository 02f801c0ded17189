"""A lease is delivered once, to whoever owns it, and he alone can read how to get in."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from chainwatch.domain.sealing import Unsealable
from chainwatch.domain.sendings import Kind, State
from chainwatch.domain.tellings import DAY, OFTEN
from chainwatch.errors import OperatorError
from chainwatch.store.wishes import MOST
from provisioner import faultpoints
from provisioner.simulator.faults import Fault, FaultName
from tests.support.estate import GRACE, HOST_KEY, HOUR, KEY_FILE, LARGE, SMALL, Estate, estate
from tests.support.lease_contract import Reverted
from tests.support.realm import BOBS_KEY, FIRST, TEMPLATE, Crash

REBOOT = 1


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Estate]:
    async with estate(tmp_path) as made:
        yield made


async def test_a_buyer_is_delivered_once_and_decrypts_how_to_get_in(it: Estate) -> None:
    token = await it.buy()
    await it.is_delivered(token)
    told = await it.read_by(it.alice, token)
    assert (told.user, told.ipv4, told.port) == ("debian", "203.0.113.10", 22)
    assert told.host_keys == (HOST_KEY,)
    assert it.running()
    await it.turns(5)
    assert [each.state for each in await it.sendings(token)] == [State.FINAL]
    assert len(await it.said("ConnectionPublished")) == 1


@pytest.mark.parametrize("point", ["commit.work.before", "commit.work.after"])
async def test_a_crash_at_the_commit_that_owes_it_delivers_once(it: Estate, point: str) -> None:
    token = await it.buy()
    near = False

    def die(reached: str) -> None:
        nonlocal near
        near = near or reached == "guest.host_keys.after"
        if near and reached == point:
            raise Crash(point)

    faultpoints.arm(die)
    await it.is_delivered(token)
    assert it.crashes == 1
    assert len(await it.said("LeaseDelivered")) == 1
    assert len(await it.sendings(token, Kind.DELIVER)) == 1
    assert (await it.read_by(it.alice, token)).ipv4 == "203.0.113.10"


async def test_a_delivery_that_a_reorg_takes_back_is_there_once_in_the_end(it: Estate) -> None:
    token = await it.buy()
    before = None
    while not await it.delivered_at(token):
        await it.anvil.mine(1)
        before = await it.anvil.rpc("evm_snapshot")
        await it.turns(1)
    await it.anvil.rpc("evm_revert", before)
    assert not await it.delivered_at(token)
    await it.anvil.mine(2)
    await it.is_delivered(token)
    assert len(await it.said("LeaseDelivered")) == 1
    assert (await it.read_by(it.alice, token)).ipv4 == "203.0.113.10"


@pytest.mark.parametrize("key", [b"", b"\x00" * 32, b"not a key"])
async def test_without_a_key_that_can_be_sealed_to_it_is_delivered_all_the_same(
    it: Estate, key: bytes
) -> None:
    token = await it.buy(key=key)
    await it.is_delivered(token)
    assert await it.said("ConnectionPublished") == []
    assert [each.intent.kind for each in await it.sendings(token)] == [Kind.DELIVER]
    await it.shop.set_keys(token, it.alice, "", it.public(it.alice))
    await it.finalize()
    await it.turns(6)
    assert (await it.read_by(it.alice, token)).user == "debian"


async def test_whoever_buys_it_later_is_told_when_his_key_is_final_and_the_seller_is_not(
    it: Estate,
) -> None:
    token = await it.buy()
    await it.is_delivered(token)
    await it.shop.transfer(token, it.alice, it.bob)
    await it.finalize()
    await it.turns(6)
    assert await it.sendings(token, Kind.PUBLISH) == []
    await it.shop.set_keys(token, it.bob, BOBS_KEY, it.public(it.bob))
    await it.anvil.mine(1)
    await it.turns(1)
    assert await it.sendings(token, Kind.PUBLISH) == []
    await it.finalize()
    await it.turns(8)
    assert (await it.read_by(it.bob, token)).host_keys == (HOST_KEY,)
    with pytest.raises(Unsealable):
        await it.read_by(it.alice, token)
    assert len(await it.said("ConnectionPublished")) == 2
    assert len(await it.said("LeaseDelivered")) == 1


async def test_passing_a_token_to_and_fro_keeps_no_delivery_off(it: Estate) -> None:
    token = await it.buy()
    owners = [it.alice, it.bob]
    for _ in range(6):
        await it.shop.transfer(token, *owners)
        owners.reverse()
        await it.anvil.mine(1)
        await it.turns(6)
    assert await it.delivered_at(token)
    assert await it.said("ConnectionPublished") == []
    await it.shop.set_keys(token, owners[0], "", it.public(owners[0]))
    for _ in range(2):
        await it.finalize()
        await it.turns(8)
    assert (await it.read_by(owners[0], token)).user == "debian"


async def test_a_key_that_comes_back_is_told_again(it: Estate) -> None:
    token = await it.buy()
    await it.is_delivered(token)
    for who in (it.bob, it.alice):
        await it.shop.set_keys(token, it.alice, "", it.public(who))
        await it.finalize()
        await it.turns(8)
        assert (await it.read_by(who, token)).user == "debian"
    assert len(await it.said("ConnectionPublished")) == 3


async def test_a_lease_that_somebody_delivered_is_not_delivered_again(it: Estate) -> None:
    token = await it.buy()
    await it.shop.deliver(token)
    await it.finalize()
    await it.turns(40)
    assert await it.sendings(token, Kind.DELIVER) == []
    assert (await it.read_by(it.alice, token)).user == "debian"


async def test_after_the_database_is_lost_nobody_is_told_twice(it: Estate) -> None:
    token = await it.buy()
    await it.is_delivered(token)
    await it.db.close()
    for file in it.config.installation.state_dir.glob("estate.db*"):
        file.unlink()
    await it.reopen()
    await it.daemon.rebuild.run(0)
    await it.turns(20)
    assert await it.sendings(token) == []
    assert len(await it.said("ConnectionPublished")) == 1


async def test_a_guest_that_lies_about_its_host_keys_gives_none(it: Estate) -> None:
    template = it.cluster.guest(TEMPLATE).os
    template.files[KEY_FILE] = "ssh-ed25519 AAAA\nssh-rsa " + "A" * 4000
    token = await it.buy()
    await it.is_delivered(token)
    assert (await it.read_by(it.alice, token)).host_keys == ()


# --------------------------------------------------------------------------- what ends otherwise


async def test_what_is_not_delivered_in_time_goes_back_at_once_and_nobody_asked(
    it: Estate,
) -> None:
    it.cluster.guest(TEMPLATE).has_agent = False  # so that it is never seen to run
    token = await it.buy()
    await it.turns(8)
    assert it.running()
    await it.pass_time(HOUR + 1)
    await it.turns(20)
    assert not it.running()
    assert [each.intent.kind for each in await it.sendings(token)] == [Kind.CANCEL]
    await it.finalize()
    await it.turns(4)
    assert await it.credit(it.alice) == HOUR * SMALL.price_per_second
    assert (await it.sendings(token))[0].state is State.FINAL


async def test_a_lease_whose_grace_is_over_is_burnt_after_its_machine_is_gone(it: Estate) -> None:
    token = await it.buy()
    await it.is_delivered(token)
    await it.pass_time(HOUR + 1)
    await it.turns(20)
    assert await it.sendings(token, Kind.BURN) == []
    await it.pass_time(GRACE)
    for _ in range(6):
        await it.turns(8)
        await it.pass_time(60)
    assert FIRST not in it.cluster.inventory().guests
    (burn,) = await it.sendings(token, Kind.BURN)
    assert burn.state is State.FINAL
    with pytest.raises(Reverted):
        await it.shop.owner_of(token)


async def test_an_operator_gives_back_what_parks_for_good_and_its_buyer_has_all_at_once(
    it: Estate,
) -> None:
    it.cluster.arm(never("POST", "*/clone", "Parameter verification failed."))
    token = await it.buy()
    await it.turns(4)
    desk = it.desk()
    assert "chainwatch cancel" in {a.name: a.text for a in await desk.alarms()}["parked"]
    await desk.cancel(str(token), "its template is gone", 0)
    with pytest.raises(OperatorError, match="is being cancelled"):
        await desk.cancel(str(token), "again", 0)
    await it.turns(2)
    await it.finalize()
    await it.turns(4)
    assert await it.credit(it.alice) == HOUR * SMALL.price_per_second
    assert [each.state for each in await it.sendings(token)] == [State.FINAL]


async def test_nobody_cancels_what_runs(it: Estate) -> None:
    it.cluster.guest(TEMPLATE).has_agent = False
    token = await it.buy()
    await it.turns(8)
    assert it.running()
    with pytest.raises(OperatorError, match="stop it first"):
        await it.desk().cancel(str(token), "a test", 0)
    assert await it.sendings(token) == []


async def test_show_says_how_far_the_delivery_is(it: Estate) -> None:
    token = await it.buy(key=b"\x00" * 32)
    await it.turns(1)
    assert "not delivered yet" in str((await it.desk().show(str(token))).delivery)
    await it.is_delivered(token)
    assert "must publish another" in str((await it.desk().show(str(token))).delivery)
    await it.shop.set_keys(token, it.alice, "", it.public(it.alice))
    for _ in range(2):
        await it.finalize()
        await it.turns(4)
    assert "was told how to get in" in str((await it.desk().show(str(token))).delivery)


# ------------------------------------------------------------------------------------- upgrades


async def wants_more(it: Estate, token: int) -> None:
    price = LARGE.price_per_second * 3 * HOUR
    await it.shop.deployed.send("requestUpgrade", token, 2, 10**18, sender=it.alice, value=price)
    await it.anvil.mine(1)


async def test_without_a_key_nobody_gets_a_larger_machine_for_nothing(tmp_path: Path) -> None:
    async with estate(tmp_path, adjust=lambda settings: replace(settings, sender=None)) as it:
        token = await it.buy()
        await it.turns(12)
        await it.shop.deliver(token)
        await wants_more(it, token)
        await it.finalize()
        await it.turns(12)
        assert it.running()
        assert hardware(it) == (SMALL.cores, SMALL.memory_mib)
        (wish,) = await it.wishes(token)
        assert (wish.verb, wish.outcome) == ("upgrade", None)
        told = str((await it.desk().show(str(token))).delivery)
        assert "plan 2 is asked for" in told
        assert "configure [sender]" in told


async def test_an_upgrade_grows_the_machine_first_and_is_then_said_to_be_done(it: Estate) -> None:
    token = await it.buy()
    await it.is_delivered(token)
    await wants_more(it, token)

    async def done() -> bool:
        return await it.shop.deployed.call(int, "planOf", token) == 2

    await it.until(done)
    assert hardware(it) == (4, 4096)
    await it.finalize()
    await it.turns(4)
    (wish,) = await it.wishes(token)
    assert (wish.verb, wish.name, wish.outcome) == ("upgrade", "2", "done")
    assert [each.state for each in await it.sendings(token, Kind.UPGRADE)] == [State.FINAL]
    assert hardware(it) == (4, 4096)


async def test_an_upgrade_that_a_reboot_ends_is_completed_in_the_pass_that_sees_it_start(
    it: Estate,
) -> None:
    token = await it.buy()
    await it.is_delivered(token)
    await wants_more(it, token)
    await it.ask(token, REBOOT)
    for _ in range(40):
        await it.turns(1, seconds=15)
        await it.anvil.mine(1)
    assert [(wish.verb, wish.outcome) for wish in await it.wishes(token)] == [
        ("upgrade", "done"),
        ("reboot", "done"),
    ]
    assert await it.shop.deployed.call(int, "planOf", token) == 2
    assert [each.state for each in await it.sendings(token, Kind.UPGRADE)] == [State.FINAL]


async def test_an_upgrade_behind_many_requests_is_not_called_refused_and_done_all_the_same(
    it: Estate,
) -> None:
    token = await it.buy()
    await it.is_delivered(token)
    for _ in range(MOST):
        await it.shop.deployed.send("requestAction", token, REBOOT, b"", sender=it.alice)
    await wants_more(it, token)
    await it.turns(1)
    assert [wish.outcome for wish in await it.wishes(token)] == [None] * (MOST + 1)


async def test_an_upgrade_that_can_not_be_is_refused_with_its_reason_and_paid_back(
    it: Estate,
) -> None:
    token = await it.buy()
    await it.is_delivered(token)
    it.cluster.arm(never("PUT", "*/resize", "Parameter verification failed."))
    await wants_more(it, token)
    await it.turns(6)
    await it.finalize()
    await it.turns(6)
    (wish,) = await it.wishes(token)
    assert (wish.verb, wish.outcome) == ("upgrade", "refused")
    assert wish.said is not None
    assert "Parameter verification failed" in wish.said
    assert await it.credit(it.alice) > 0
    assert await it.shop.deployed.call(int, "planOf", token) == 1
    assert hardware(it) == (2, 2048)
    assert [each.state for each in await it.sendings(token, Kind.REFUSE)] == [State.FINAL]


async def test_an_upgrade_that_is_not_done_in_time_is_paid_back(it: Estate) -> None:
    token = await it.buy(seconds=3 * HOUR)
    await it.is_delivered(token)
    await it.desk().pause("effects", "a test", 0)
    await wants_more(it, token)
    await it.turns(4)
    await it.pass_time(HOUR + 1)
    await it.desk().resume_all("a test", 0)
    await it.turns(6)
    await it.finalize()
    await it.turns(6)
    assert [each.intent.kind for each in await it.sendings(token)] == [Kind.DELIVER, Kind.REFUSE]
    assert [(wish.verb, wish.outcome) for wish in await it.wishes(token)] == [
        ("upgrade", "refused")
    ]
    assert hardware(it) == (2, 2048)


def never(method: str, path: str, text: str) -> Fault:
    """Return a refusal that nothing mends."""
    return Fault(FaultName.REFUSE, method, path, status=400, text=text, lasting=True)


def hardware(it: Estate) -> tuple[int, int]:
    """Return cores and MiB that the machine has from its next boot on."""
    config = {**it.guest().config, **it.guest().pending}
    return int(str(config["cores"])), int(str(config["memory"]))


async def test_who_changes_his_key_over_and_over_is_not_told_at_the_operators_cost(
    it: Estate,
) -> None:
    token = await it.buy()
    await it.is_delivered(token)
    for place in range(OFTEN + 2):
        await it.shop.set_keys(token, it.alice, "", it.public(str(place)))
        await it.finalize()
        await it.turns(3, seconds=1)
    assert len(await it.sendings(token, Kind.PUBLISH)) == OFTEN
    it.cluster.advance(DAY)
    await it.desk().retry(str(token), "a day has passed", 0)
    await it.turns(4, seconds=1)
    assert (await it.read_by(str(OFTEN + 1), token)).user == "debian"

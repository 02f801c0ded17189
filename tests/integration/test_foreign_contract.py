"""A contract that knows neither plans nor keys: what becomes of its tokens on the cluster."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from chainwatch.config import Config
from chainwatch.control.desk import Filter
from chainwatch.domain.batches import Source
from chainwatch.domain.events import (
    ZERO_ADDRESS,
    Event,
    ExpiryUpdated,
    KeysChanged,
    Transferred,
)
from chainwatch.domain.lease import Plan
from tests.support.chain_model import CONTRACT, ChainModel, RawEvent
from tests.support.empire import Empire, empire
from tests.support.realm import ALICE, BOB, HOUR, source_settings

NAME = "subs"
SOLD = Plan(0, NAME, 0, 3, 3072, 30, HOUR, defined=True)
FOREIGN = "0x" + "ab" * 32


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Empire]:
    settings = replace(
        source_settings(), source=Source(NAME, 31337, CONTRACT, 0, "erc5643"), plan=SOLD
    )
    async with empire(tmp_path, [settings]) as world:
        yield world


def chain(world: Empire) -> ChainModel:
    return world.chains[NAME]


def mint(token: int = 1) -> Event:
    return Transferred(token, ZERO_ADDRESS, ALICE)


def until(world: Empire, lasts: int = HOUR, token: int = 1) -> Event:
    return ExpiryUpdated(token, chain(world).head.timestamp + lasts)


@pytest.mark.parametrize("mint_first", [True, False])
async def test_a_subscription_becomes_a_machine_of_the_configured_plan_without_a_key(
    world: Empire, mint_first: bool
) -> None:
    said = [mint(), until(world)]
    world.mine([NAME], said if mint_first else said[::-1])
    await world.realm.settle()
    assert world.running() == {NAME}
    config = world.realm.guest().config
    assert (config["cores"], config["memory"]) == (3, "3072")
    assert "sshkeys" not in config
    assert await world.alarms() == set()
    (line,) = await world.desk().leases(Filter())
    assert (line.plan, line.phase) == (NAME, "active")
    story = await world.desk().show("1")
    assert story.plan is not None
    assert (story.plan.name, story.plan.cores, story.plan.grace) == (NAME, "3", str(HOUR))


async def test_a_token_whose_expiry_was_never_said_gets_no_machine_until_it_is(
    world: Empire,
) -> None:
    world.mine([NAME], [mint()])
    await world.realm.settle()
    assert world.realm.guests() == {}
    world.mine([NAME], [until(world)])
    await world.realm.settle()
    assert world.running() == {NAME}


async def test_an_ended_subscription_is_suspended_and_after_the_configured_grace_destroyed(
    world: Empire,
) -> None:
    world.mine([NAME], [mint(), until(world)])
    await world.realm.settle()
    world.mine([NAME], seconds=2 * HOUR)
    await world.realm.settle()
    assert world.running() == set()
    assert len(world.realm.guests()) == 1
    world.mine([NAME], seconds=HOUR - 60)
    for _ in range(3):
        world.mine([NAME], seconds=1)
    await world.realm.settle()
    assert len(world.realm.guests()) == 1
    world.mine([NAME], seconds=120)
    for _ in range(3):
        world.mine([NAME], seconds=1)
    await world.realm.settle()
    assert world.realm.guests() == {}


async def test_a_burnt_subscription_ends_long_before_its_expiry(world: Empire) -> None:
    world.mine([NAME], [mint(), until(world, 24 * HOUR)])
    await world.realm.settle()
    world.mine([NAME], [Transferred(1, ALICE, ZERO_ADDRESS)])
    await world.realm.settle()
    assert world.running() == set()
    world.mine([NAME], seconds=2 * HOUR)
    for _ in range(3):
        world.mine([NAME], seconds=1)
    await world.realm.settle()
    assert world.realm.guests() == {}


async def test_a_handover_lets_nobody_in_and_makes_no_second_machine(world: Empire) -> None:
    world.mine([NAME], [mint(), until(world, 24 * HOUR)])
    await world.realm.settle()
    world.mine([NAME], [Transferred(1, ALICE, BOB)])
    for _ in range(3):
        world.mine([NAME], seconds=1)
    await world.realm.settle()
    assert world.running() == {NAME}
    assert len(world.realm.guests()) == 1


async def test_a_plan_that_is_changed_reaches_the_machines_that_run_at_their_next_start(
    world: Empire,
) -> None:
    world.mine([NAME], [mint(), until(world, 24 * HOUR)])
    await world.realm.settle()

    def bigger(config: Config) -> Config:
        (source,) = config.sources
        return replace(config, sources=(replace(source, plan=structs.replace(SOLD, cores=4)),))

    await world.restart(bigger)
    await world.realm.settle()
    guest = world.realm.guest()
    assert (guest.config["cores"], guest.pending["cores"]) == (3, 4)


async def test_a_plan_that_becomes_one_of_containers_leaves_machines_what_they_are(
    world: Empire,
) -> None:
    world.mine([NAME], [mint(), until(world)])
    await world.realm.settle()

    def other(config: Config) -> Config:
        (source,) = config.sources
        return replace(config, sources=(replace(source, plan=structs.replace(SOLD, kind=1)),))

    await world.restart(other)
    world.mine([NAME], [mint(2), until(world, token=2)])
    world.mine([NAME], seconds=2 * HOUR)
    await world.realm.settle()
    world.mine([NAME], [until(world, 24 * HOUR), until(world, 24 * HOUR, token=2)])
    await world.realm.settle()
    kinds = {guest.name.split("-")[1]: guest.kind for guest in world.realm.guests().values()}
    assert kinds == {"1": "qemu", "2": "lxc"}
    assert len(world.realm.running()) == len(kinds)
    assert await world.alarms() == set()


async def test_a_chatty_contract_raises_one_alarm_for_each_kind_of_event(world: Empire) -> None:
    chatter = RawEvent((FOREIGN,), "0x")
    chain(world).mine([mint(), until(world), chatter, chatter])
    for _ in range(30):
        chain(world).mine([chatter, KeysChanged(1, "", "0x")])
    world.mine([NAME])
    await world.realm.settle()
    assert world.running() == {NAME}
    alarms = await world.realm.daemon.stores.alarms.all()
    by_subject = {alarm.subject: alarm.text for alarm in alarms}
    assert len(by_subject) == 2
    assert by_subject[f"{NAME} {FOREIGN}"].startswith("32 logs since the start")
    assert (await world.desk().sources.show(NAME)).alarms == tuple(alarms)

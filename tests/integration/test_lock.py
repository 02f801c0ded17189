"""A lock of Unlock Protocol that sells machines: what becomes of its keys on the cluster."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from chainwatch.chain.profiles.signatures import topic
from chainwatch.domain.batches import Source
from chainwatch.domain.events import ZERO_ADDRESS, Event, ExpiryUpdated, Transferred
from chainwatch.domain.lease import Plan
from tests.support.chain_model import CONTRACT, ChainModel, RawEvent
from tests.support.empire import Empire, empire
from tests.support.realm import ALICE, BOB, HOUR, source_settings

NAME: Final = "lock"
SOLD: Final = Plan(0, NAME, 0, 3, 3072, 30, HOUR, defined=True)
#: How a test tells the model what the lock knows of a key; no lock says it, and nobody reads it.
KNOWN: Final = "SubscriptionUpdate(uint256,uint64)"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Empire]:
    source = Source(NAME, 31337, CONTRACT, 0, "unlock")
    settings = replace(source_settings(), source=source, plan=SOLD, ignore_events=(KNOWN,))
    async with empire(tmp_path, [settings]) as world:
        chain(world).zero_is_nobody = True
        yield world


def chain(world: Empire) -> ChainModel:
    return world.chains[NAME]


def known(world: Empire, lasts: int, token: int = 1) -> Event:
    return ExpiryUpdated(token, chain(world).head.timestamp + lasts)


async def buy(world: Empire, lasts: int = HOUR, token: int = 1) -> None:
    world.mine([NAME], [Transferred(token, ZERO_ADDRESS, ALICE), known(world, lasts, token)])
    await world.realm.settle()


def extend(world: Empire, until: int) -> None:
    signature = f"0x{topic('KeyExtended(uint256,uint256)').hex()}"
    said = RawEvent((signature, f"0x{1:064x}"), f"0x{until:064x}")
    chain(world).mine([said, ExpiryUpdated(1, until)])


async def pass_by(world: Empire, seconds: int) -> None:
    world.mine([NAME], seconds=seconds)
    for _ in range(3):
        world.mine([NAME], seconds=1)
    await world.realm.settle()


async def audited(world: Empire) -> set[tuple[str, str]]:
    """The alarms after the audit had its looks."""
    (lookout,) = world.realm.daemon.supervisor.lookouts
    for _ in range(3):
        world.mine([NAME])
        await world.realm.read()
        await lookout.audit.look()
        world.realm.cluster.advance(61)
    return await world.alarms()


async def test_a_bought_key_is_a_machine_although_no_event_says_until_when(world: Empire) -> None:
    await buy(world)
    assert world.running() == {NAME}
    assert await audited(world) == set()


async def test_a_key_that_is_extended_in_time_never_loses_its_machine(world: Empire) -> None:
    await buy(world)
    until = chain(world).head.timestamp + 5 * HOUR
    extend(world, until)
    await pass_by(world, 3 * HOUR)
    assert world.running() == {NAME}
    assert await audited(world) == set()


async def test_a_key_that_is_extended_after_its_end_gets_its_machine_back(world: Empire) -> None:
    await buy(world)
    (guest,) = world.realm.guests()
    await pass_by(world, HOUR + 60)
    assert world.running() == set()
    until = chain(world).head.timestamp + 5 * HOUR
    extend(world, until)
    await pass_by(world, HOUR)
    assert (world.running(), list(world.realm.guests())) == ({NAME}, [guest])


async def test_an_ended_key_loses_its_machine_after_the_grace(world: Empire) -> None:
    await buy(world)
    await pass_by(world, 2 * HOUR)
    assert (world.running(), len(world.realm.guests())) == (set(), 1)
    await pass_by(world, 2 * HOUR)
    assert world.realm.guests() == {}


async def test_a_burnt_key_loses_its_machine_though_the_lock_answers_and_reverts_nothing(
    world: Empire,
) -> None:
    await buy(world, 24 * HOUR)
    world.mine([NAME], [Transferred(1, ALICE, ZERO_ADDRESS)])
    await world.realm.settle()
    assert world.running() == set()
    await pass_by(world, 2 * HOUR)
    assert world.realm.guests() == {}
    assert await audited(world) == set()


async def test_a_sold_key_keeps_its_machine(world: Empire) -> None:
    await buy(world, 24 * HOUR)
    world.mine([NAME], [Transferred(1, ALICE, BOB)])
    await pass_by(world, 60)
    assert (world.running(), len(world.realm.guests())) == ({NAME}, 1)


async def test_what_the_state_said_is_read_from_the_journal_after_a_restart(world: Empire) -> None:
    await buy(world)
    await world.restart()
    asked = chain(world).rpc.endpoints[0].asked
    asked.clear()
    await pass_by(world, 60)
    assert world.running() == {NAME}
    assert "eth_call" not in asked

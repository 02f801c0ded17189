"""Somebody else's contract, held against its events: what it changes silently halts nothing."""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from chainwatch.chain.rpc import RpcError
from chainwatch.control.audit import ALARM, LeaseAudit
from chainwatch.domain.batches import Source
from chainwatch.domain.events import ZERO_ADDRESS, ExpiryUpdated, Transferred
from chainwatch.domain.lease import Plan
from tests.support.chain_model import CONTRACT, ChainModel, Tamper
from tests.support.empire import Empire, empire
from tests.support.realm import ALICE, BOB, HOUR, source_settings

NAME = "subs"
SOLD = Plan(0, NAME, 0, 3, 3072, 30, HOUR, defined=True)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Empire]:
    settings = replace(
        source_settings(), source=Source(NAME, 31337, CONTRACT, 0, "erc5643"), plan=SOLD
    )
    async with empire(tmp_path, [settings]) as world:
        yield world


def chain(world: Empire) -> ChainModel:
    return world.chains[NAME]


def audit_of(world: Empire) -> LeaseAudit:
    (lookout,) = world.realm.daemon.supervisor.lookouts
    return lookout.audit


def sell(world: Empire, token: int) -> None:
    until = chain(world).head.timestamp + 100 * HOUR
    world.mine([NAME], [Transferred(token, ZERO_ADDRESS, ALICE), ExpiryUpdated(token, until)])


async def looked(world: Empire, times: int = 1) -> None:
    """Read on, and look a minute later, so often."""
    for _ in range(times):
        world.mine([NAME])
        await world.realm.read()
        await audit_of(world).look()
        world.realm.cluster.advance(61)


async def halted(world: Empire) -> str | None:
    return (await world.realm.daemon.stores.journal.state(NAME)).halted


async def told(world: Empire) -> dict[str, str]:
    alarms = await world.realm.daemon.stores.alarms.all()
    return {alarm.text: alarm.severity for alarm in alarms if alarm.name == ALARM}


async def minted_again(world: Empire) -> None:
    """Burn token 1 and mint it again: its contract remembers the expiry and does not say it."""
    world.mine([NAME], [Transferred(1, ALICE, ZERO_ADDRESS)])
    world.mine([NAME], [Transferred(1, ZERO_ADDRESS, BOB)])


async def test_a_token_that_kept_its_expiry_without_a_word_is_told_and_the_others_go_on(
    world: Empire,
) -> None:
    sell(world, 1)
    await minted_again(world)
    await looked(world, 3)
    ((text, severity),) = (await told(world)).items()
    assert severity == "warning"
    assert text.startswith("of 1 leases ")
    assert f"{CONTRACT}/1 as owned by {BOB} until 17" in text
    assert await halted(world) is None
    sell(world, 2)
    await world.realm.settle()
    assert len(world.realm.running()) == 1
    await looked(world, 3)
    assert len(await told(world)) == 1
    assert await halted(world) is None


@pytest.mark.parametrize("restarted", [False, True])
async def test_the_alarm_ends_when_the_contract_says_the_expiry_after_all(
    world: Empire, restarted: bool
) -> None:
    sell(world, 1)
    await minted_again(world)
    await looked(world, 3)
    assert len(await told(world)) == 1
    if restarted:
        await world.restart()
        world.mine([NAME])
        await world.realm.read()
        assert len(await told(world)) == 1
    world.mine([NAME], [ExpiryUpdated(1, chain(world).head.timestamp + HOUR)])
    await looked(world, 3)
    assert await told(world) == {}


async def test_nothing_is_destroyed_for_an_end_that_the_contract_does_not_confirm(
    world: Empire,
) -> None:
    sell(world, 1)
    await world.realm.settle()
    chain(world).rpc.endpoints[0].tamper = _extended
    world.mine([NAME], seconds=1000 * HOUR)
    for _ in range(3):
        await looked(world, 2)
        await world.realm.settle()
    assert world.running() == set()
    assert len(world.realm.guests()) == 1
    assert len(await told(world)) == 1
    assert await halted(world) is None


def _extended(method: str, params: Sequence[object], answer: object) -> object:
    """The contract has every expiry far beyond the one that it said."""
    del params
    late = method == "eth_call" and isinstance(answer, str) and int(answer, 16) < 2**64
    return f"0x{2**62:064x}" if late else answer


async def test_tokens_of_which_the_contract_speaks_in_unknown_words_keep_no_others_from_an_audit(
    world: Empire,
) -> None:
    for token in range(1, 121):
        sell(world, token)
    await world.realm.read()
    first = await audit_of(world).samples.after(NAME, "", 50)
    asked: set[int] = set()
    chain(world).rpc.endpoints[0].tamper = _mute({row.id.token for row in first.rows}, asked)
    await looked(world, 4)
    assert asked == set(range(1, 121))
    assert await told(world) == {}


def _mute(tokens: Collection[int], asked: set[int]) -> Tamper:
    """The contract reverts in words of its own for these tokens."""

    def tamper(method: str, params: Sequence[object], answer: object) -> object:
        if method == "eth_call" and isinstance(params[0], dict):
            token = int(str(params[0]["data"])[10:], 16)
            asked.add(token)
            if token in tokens:
                raise RpcError(3, "execution reverted", "0xdeadbeef")
        return answer

    return tamper

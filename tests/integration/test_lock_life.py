"""The whole daemon over the published lock of Unlock Protocol: its keys are machines.

The judges are the lock itself and the cluster.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.estate import GRACE, HOUR
from tests.support.lodge import SOLD, Lodge, lodge
from tests.support.realm import FIRST


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Lodge]:
    async with lodge(tmp_path) as made:
        yield made


def words(token: int, owner: str) -> str:
    """What the account in a guest says of its owner."""
    return f"wallet={owner.lower()},nft={token}"


async def test_a_key_is_a_machine_that_is_kept_handed_over_suspended_and_destroyed(
    it: Lodge,
) -> None:
    estate, token = it.daemon, await it.buy()
    assert estate.machines() == {token: ["running"]}
    assert (estate.guest().config["cores"], it.whose()) == (SOLD.cores, words(token, it.alice))
    assert await it.agrees(token)

    await it.pass_time(await it.left(token) - 60)
    await it.lock.extend(token, it.bob)  # whoever pays
    await it.pass_time(120)
    assert estate.machines() == {token: ["running"]}
    assert HOUR - 120 < await it.left(token) < HOUR
    assert await it.agrees(token)

    await it.lock.transfer(token, it.alice, it.bob)
    await estate.anvil.mine(1)
    await estate.turns(6)
    assert (it.alice.lower() in it.whose(), it.bob.lower() in it.whose()) == (False, False)
    await it.settle()
    assert (estate.machines(), it.whose()) == ({token: ["running"]}, words(token, it.bob))
    assert await it.agrees(token)

    await it.pass_time(await it.left(token) - 30)
    assert estate.machines() == {token: ["running"]}
    await it.pass_time(60)
    assert estate.machines() == {token: ["stopped"]}
    assert await it.agrees(token)

    await it.pass_time(GRACE - 120)
    assert estate.machines() == {token: ["stopped"]}
    await it.pass_time(240)
    assert FIRST not in estate.cluster.inventory().guests
    assert await it.agrees(token)
    assert await estate.daemon.stores.alarms.all() == []


async def test_a_key_that_is_paid_for_within_the_grace_gets_the_same_machine_back(
    it: Lodge,
) -> None:
    token = await it.buy()
    made = it.daemon.guest()
    await it.pass_time(HOUR)
    assert it.daemon.machines() == {token: ["stopped"]}
    await it.lock.extend(token, it.alice)
    await it.settle()
    assert it.daemon.machines() == {token: ["running"]}
    assert it.daemon.guest() is made
    assert await it.agrees(token)


async def test_a_key_that_is_cancelled_is_a_machine_no_more(it: Lodge) -> None:
    kept, ended = await it.buy(), await it.buy()
    assert it.daemon.machines() == {kept: ["running"], ended: ["running"]}
    await it.lock.cancel(ended, it.alice)
    await it.settle()
    assert it.daemon.machines() == {kept: ["running"], ended: ["stopped"]}
    assert await it.agrees(ended)

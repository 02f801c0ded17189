"""A lease is delivered once, to whoever owns it, and he alone can read how to get in."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chainwatch.domain.sendings import State
from tests.support.estate import HOST_KEY, Estate, estate


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

"""One endpoint dies, at any moment; another one goes on where it was, and nothing is missing."""

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest
import pytest_asyncio

from tests.support import faults
from tests.support.faultproxy import proxy
from tests.support.reader import reader, source_of
from tests.support.town import founded
from tests.support.trade import Trade

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def past() -> AsyncIterator[Trade]:
    """A shop with a past of thirty blocks."""
    async with founded() as town:
        made = Trade(town.anvil, town.shop, (town.alice, town.bob), Random(3))
        await made.grow(30)
        yield made


@pytest.mark.parametrize("requests", range(1, 16, 2))
async def test_when_the_leading_endpoint_dies_the_next_one_goes_on(
    past: Trade, tmp_path: Path, requests: int
) -> None:
    async with proxy(past.chain.url) as first, proxy(past.chain.url) as second:
        settings = source_of(past.shop, first.url, second.url)
        async with reader(tmp_path, past.shop, settings) as reading:
            death = first.arm(faults.reset(), spared=requests)
            await reading.settle(final=False)
            assert death.struck > 0
            assert await reading.rows() == await reading.truth()
            first.disarm()
            reading.leap(600)
            await reading.settle()
            assert await reading.rows() == await reading.truth()


async def test_when_all_endpoints_die_time_stands_still_until_one_is_back(
    past: Trade, tmp_path: Path
) -> None:
    async with proxy(past.chain.url) as first, proxy(past.chain.url) as second:
        settings = source_of(past.shop, first.url, second.url)
        async with reader(tmp_path, past.shop, settings) as reading:
            await reading.look(2)
            for endpoint in (first, second):
                endpoint.arm(faults.reset())
            await reading.look()  # what was read ahead
            before = await reading.state()
            await reading.look(10)
            assert await reading.state() == before
            assert reading.trouble is not None
            second.disarm()
            await reading.settle(final=False)
            assert await reading.rows() == await reading.truth()

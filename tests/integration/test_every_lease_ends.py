"""Every paid lease ends in time that was delivered, in a refund, or in both, and they add up.

Buyers, an operator and bad luck deal with a real contract and a whole daemon, as a seed says. What
came of it is judged by the chain's logs and by what stands in the cluster. A history that fails
names its seed: CHAINWATCH_SEED=n plays that one alone. A soak has two hundred new ones.
"""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final

import pytest
from structlog.testing import capture_logs

from tests.support.at_once import at_once
from tests.support.dealers import Dealers, judged
from tests.support.estate import Estate, estate
from tests.support.lease_contract import Reverted
from tests.support.seeds import seeds

SEEDS: Final = seeds(4, 200)

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with at_once():
        yield


@pytest.mark.parametrize("seed", SEEDS)
async def test_every_paid_lease_ends_in_time_or_a_refund_and_they_add_up(
    seed: int, tmp_path: Path
) -> None:
    with capture_logs():
        async with estate(tmp_path) as it:
            people = tuple((await it.anvil.accounts())[1:4])
            dealers = Dealers(it, people, Random(seed))
            try:
                await dealers.deal(60)
                await dealers.settle()
                await _who_is_paid_for_runs(dealers)
                await dealers.end()
                leases = await judged(it)
            except Exception as error:
                error.add_note(f"CHAINWATCH_SEED={seed}: {'; '.join(dealers.done)}")
                raise
            assert len(leases) == await it.shop.deployed.call(int, "lastTokenId") > 0
            assert dealers.doubled == []
            assert it.machines() == {}
            assert it.cluster.inventory().leaked_volumes() == ()


async def _who_is_paid_for_runs(dealers: Dealers) -> None:
    """When luck is good again the cluster is as the chain says."""
    it, seen = dealers.it, dealers.it.machines()
    now = (await it.anvil.block()).timestamp
    for token in range(1, dealers.tokens + 1):
        power = seen.get(token, [])
        if not await _is_paid(it, token, now):
            assert power in ([], ["stopped"]), (token, power)
        elif await it.delivered_at(token):
            assert power == ["running"], (token, power, await it.sentences())


async def _is_paid(it: Estate, token: int, now: int) -> bool:
    try:
        return await it.shop.expires_at(token) > now
    except Reverted:
        return False

"""Killed with SIGKILL wherever a provision passes, started again, and one machine all the same.

Each case is an installation of its own on one chain and one cluster: the lease is bought, the
daemon dies at the point (its exit says so), the next one starts without the fault. What became of
it is judged by the simulator's inventory, never by the daemon's records.
"""

import asyncio
import signal
import tempfile
from pathlib import Path

import pytest

from provisioner import faultpoints
from tests.support.daemon import Grounds, installation
from tests.support.realm import Realm, realm

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]


def provision_points() -> list[str]:
    """Return the fault points that a clean provision passes up to the stamp that ends it.

    They come in the order of the first time.
    """
    passed: list[str] = []

    async def provision(folder: Path) -> None:
        faultpoints.arm(passed.append)
        async with realm(folder) as world:
            world.buy()
            while not await _finished(world):
                await world.turns(1)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(provision(Path(folder)))
    return [*dict.fromkeys(passed)]


async def _finished(world: Realm) -> bool:
    log = await world.daemon.stores.operations.recent(1)
    return any((each.step, each.outcome) == ("mark-started", "ok") for each in log)


@pytest.mark.parametrize("point", provision_points())
async def test_killed_at_a_fault_point_a_lease_gets_exactly_one_machine(
    place: Grounds, folder: Path, point: str
) -> None:
    async with installation(place, folder) as it:
        token = await it.buy()
        await it.daemon.start(point)
        assert await it.daemon.end() == -signal.SIGKILL
        await it.daemon.start()
        await it.provisioned(token)
        assert await it.daemon.stop() == 0
        await it.judge(machines=1)

"""What is lost and comes back: a database, a chain. What was there before is there again."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from web3 import AsyncWeb3

from chainwatch.cli.answers import answers
from chainwatch.demo.buyer import LeaseContract
from tests.support.anvil import Anvil, running
from tests.support.daemon import GRACE, HOUR, Grounds, Installation, installation
from tests.support.relay import Relay, relay

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]

DAY = 86_400


async def test_a_database_deleted_in_mid_life_is_made_again_with_the_same_machines(
    place: Grounds, folder: Path
) -> None:
    async with installation(place, folder) as it:
        lasting, ending = await it.buy(seconds=30 * DAY), await it.buy(seconds=HOUR)
        await it.daemon.start()
        await it.until("one is settled", lambda: it.settled(lasting))
        await it.until("and the other one", lambda: it.settled(ending))
        await place.chain.advance(2 * HOUR)
        await place.chain.mine(3)
        await it.until("one is suspended", lambda: _running(it, 1))
        await it.until("and settled", lambda: it.settled(ending))
        assert await it.daemon.stop() == 0
        before = await place.cluster.inventory()
        _lose(it.database)

        code, said = await it.run("rebuild", "--config", str(it.daemon.config))
        assert (code, "rebuilt: 2 leases, 2 machines" in said) == (0, True), said
        await it.daemon.start()
        await it.until("it is settled again", lambda: it.settled(lasting))
        assert await it.machines() == it.made(before)

        await place.chain.advance(GRACE + HOUR)
        await place.chain.mine(3)
        await it.until("the destroy waits", lambda: _waits(it, ending, "destroys are paused"))
        await it.judge(machines=2)
        code, said = await it.run("resume-all", "--reason", "looked through")
        assert code == 0, said
        await it.until("it is destroyed", lambda: _standing(it, 1))
        await it.until("the other one is settled", lambda: it.settled(lasting))
        assert await it.daemon.stop() == 0
        await it.judge(machines=1)
        now = await place.cluster.inventory()
        clones = [inventory.ended_well("qmclone", place.token) for inventory in (before, now)]
        assert clones[0] == clones[1], "a machine was made anew"


async def test_a_lost_database_is_noticed_and_a_rebuild_survives_its_own_death(
    place: Grounds, folder: Path
) -> None:
    async with installation(place, folder) as it:
        token = await it.buy()
        await it.daemon.start()
        await it.provisioned(token)
        assert await it.daemon.stop() == 0
        before = await place.cluster.inventory()
        _lose(it.database)

        await it.daemon.start()
        assert await it.daemon.end() == 1
        assert "run `chainwatch rebuild`" in it.daemon.said()
        rebuild = ("rebuild", "--config", str(it.daemon.config))
        code, said = await it.run(*rebuild)
        assert (code, f"{it.database} exists" in said) == (1, True), said
        _lose(it.database)
        code, said = await it.run(*rebuild, point="commit.batch.after")
        assert code == -signal.SIGKILL
        code, said = await it.run(*rebuild)
        assert (code, "rebuilt: 1 leases, 1 machines" in said) == (0, True), said

        await it.daemon.start()
        await it.until("it is settled again", lambda: it.settled(token))
        assert await it.daemon.stop() == 0
        await it.judge(machines=1)
        now = await place.cluster.inventory()
        assert [task.upid for task in now.tasks] == [task.upid for task in before.tasks]


async def test_an_outage_that_outlives_a_lease_renewed_meanwhile_takes_nothing_from_anybody(
    place: Grounds, folder: Path
) -> None:
    async with _chain_of_its_own(place) as (alone, way), installation(alone, folder) as it:
        it.configure(source={"http": [f"http://127.0.0.1:{way.port}"]})
        it.configure(source={"stale_after": 1.0, "max_range": 1})
        token = await it.buy(seconds=HOUR)
        await it.daemon.start()
        machine = await it.provisioned(token)
        state = await alone.chain.rpc("anvil_dumpState")
        way.lead_to(None)
        await it.until("it says that its chain stands still", lambda: _alarmed(it, "source-stale"))

        async with running() as restarted:
            await restarted.rpc("anvil_loadState", state)
            await restarted.advance(HOUR + GRACE // 2)
            await _moved(it.shop, restarted).renew(token, 30 * DAY, it.buyer)
            await restarted.advance(GRACE)
            await restarted.mine(3)
            way.lead_to(restarted.port)
            await it.until("it has caught up", lambda: _not_alarmed(it, "source-stale"))
            await it.until("its lease is settled", lambda: it.settled(token))
            assert await it.daemon.stop() == 0
        assert await it.tasks("qmshutdown") == await it.tasks("qmstop") == []
        assert [guest.boots for guest in await it.machines()] == [machine.boots]
        await it.judge(machines=1)


async def _running(it: Installation, count: int) -> bool:
    return sum(guest.power == "running" for guest in await it.machines()) == count


async def _standing(it: Installation, count: int) -> bool:
    return len(await it.machines()) == count


async def _waits(it: Installation, token: int, reason: str) -> bool:
    status, story = await it.ask(f"/leases/{it.lease(token)}")
    return status == 200 and isinstance(story, dict) and reason in str(story["waits"])


async def _alarmed(it: Installation, name: str) -> bool:
    return name in [alarm.text("name") for alarm in answers((await it.ask("/alarms"))[1])]


async def _not_alarmed(it: Installation, name: str) -> bool:
    return not await _alarmed(it, name)


@asynccontextmanager
async def _chain_of_its_own(place: Grounds) -> AsyncIterator[tuple[Grounds, Relay]]:
    """The same cluster beside a chain that the test may end, and a way to it that lasts."""
    async with running() as chain, relay(chain.port) as way:
        yield replace(place, chain=chain), way


def _moved(shop: LeaseContract, chain: Anvil) -> LeaseContract:
    """Return the same contract on a chain that has the same state."""
    deployed = shop.deployed
    contract = AsyncWeb3(chain.provider).eth.contract(
        address=deployed.contract.address, abi=deployed.artifact.abi
    )
    return replace(shop, deployed=replace(deployed, anvil=chain, contract=contract))


def _lose(database: Path) -> None:
    for path in database.parent.glob(f"{database.name}*"):
        path.unlink()

"""What happens at the same time: passes side by side, and people who act while a pass is on."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from chainwatch.chain.latest import LatestReader
from chainwatch.domain.batches import LatestLease
from chainwatch.domain.desired import Hold
from chainwatch.domain.events import Block
from provisioner.simulator.faults import Fault, FaultName
from tests.support.realm import GRACE, HOUR, Realm, realm


class Interrupted:
    """Asks the chain, and lets somebody speak before the answer is heard."""

    def __init__(self, reader: LatestReader, speak: Callable[[], Awaitable[None]]) -> None:
        self.reader, self.speak, self.asked = reader, speak, 0

    async def lease_at_latest(self, token: int, at_least: Block) -> LatestLease:
        answer = await self.reader.lease_at_latest(token, at_least)
        self.asked += 1
        await self.speak()
        return answer


async def past_their_grace(world: Realm, *tokens: int) -> None:
    """Buy leases, let them end, and let their grace pass, finally; nothing is destroyed yet."""
    for token in tokens:
        world.buy(token)
    await world.settle()
    world.pass_time(2 * HOUR)
    await world.settle()
    world.pass_time(GRACE + HOUR)
    world.finalize()
    await world.read()


async def all_at_once(world: Realm) -> None:
    """Give every due key a pass, all at the same time, as the worker does."""
    worker = world.daemon.supervisor.worker
    items = await worker.work.due(world.daemon.supervisor.clock.now(), 100)
    await asyncio.gather(*(worker.process(item) for item in items))


async def test_the_destroy_budget_holds_when_passes_run_side_by_side(tmp_path: Path) -> None:
    async with realm(tmp_path, destroys_per_hour=2) as world:
        await past_their_grace(world, 1, 2, 3, 4, 5)
        for _ in range(30):
            await all_at_once(world)
            await world.daemon.supervisor.poller.poll()
            world.cluster.advance(1)
        assert len(world.guests()) == 3
        assert "over-budget" in await world.alarms()


async def test_leases_bought_at_once_get_a_machine_each(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        for token in range(1, 9):
            world.buy(token)
        await world.read()
        await world.daemon.supervisor.first_survey()
        for _ in range(60):
            await all_at_once(world)
            await world.daemon.supervisor.poller.poll()
            world.cluster.advance(1)
        names = sorted(guest.name.rpartition("-")[0] for guest in world.guests().values())
        assert names == [f"lease-{token}" for token in range(1, 9)]
        assert len(world.running()) == 8


@pytest.mark.parametrize("said", ["hold", "suspend", "pause"])
async def test_an_operator_who_speaks_while_the_chain_is_asked_stops_the_destroy(
    tmp_path: Path, said: str
) -> None:
    async with realm(tmp_path) as world:
        await past_their_grace(world, 1)
        holds = world.daemon.stores.holds

        async def speak() -> None:
            if said == "pause":
                await holds.pause("destroys", "wait", 0, now=1)
            else:
                await holds.hold(str(world.lease()), Hold(said), "wait", 0, now=1)

        latest = world.daemon.reconciler.guards.latest
        assert isinstance(latest, dict)
        latest["model"] = interrupted = Interrupted(latest["model"], speak)
        await world.turn()
        assert interrupted.asked, "the destroy was about to happen"
        assert len(world.guests()) == 1


async def test_a_hanging_call_for_one_lease_leaves_the_others_alone(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        world.cluster.arm(Fault(FaultName.HANG, "PUT", "*/qemu/20000/config", seconds=600))
        world.buy(1)
        world.buy(2)
        await world.read()
        await world.daemon.supervisor.first_survey()
        for _ in range(30):
            await all_at_once(world)
            await world.daemon.supervisor.poller.poll()
            world.cluster.advance(1)
        assert 20001 in world.running()


async def test_a_machine_with_another_uuid_is_not_destroyed(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        world.buy()
        await world.settle()
        (vmid,) = world.guests()
        world.cluster.edit_guest(vmid, smbios1="uuid=11111111-2222-3333-4444-555555555555")
        world.pass_time(2 * HOUR)
        for _ in range(5):
            await world.turn()
            world.cluster.advance(5)
        world.pass_time(2 * GRACE)
        world.finalize()
        for _ in range(5):
            await world.turn()
            world.cluster.advance(5)
        assert list(world.guests()) == [vmid]
        assert "uuid" in (await world.alarms())["parked"]

"""A source is read again by order: its machines stand as they stood, whatever is known then."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from chainwatch.domain.desired import Hold, desired
from chainwatch.domain.events import KeysChanged, Logged
from chainwatch.errors import RpcUnavailable, SourceBehind
from chainwatch.store.verify import verify
from provisioner.simulator.state import CallRecord
from provisioner.steps.destroy import DESTROY
from tests.support.lives import scene
from tests.support.realm import BOBS_KEY, GRACE, HOUR, Realm, realm

SOURCE = "model"
#: Blocks between two events: more than one step of reading takes.
APART = 101


def apart(world: Realm) -> None:
    """Let many blocks pass, so that what follows is read in another step."""
    for _ in range(APART):
        world.chain.mine(seconds=1)


async def lived(world: Realm) -> None:
    """Leases of every kind: paid, sold, run out, renewed, suspended by order."""
    world.buy(1, lasts=100 * GRACE)
    world.buy(2, lasts=HOUR)
    world.buy(3, lasts=100 * GRACE)
    await world.settle()
    apart(world)
    world.transfer(1)
    world.mine(KeysChanged(1, BOBS_KEY, "0x"))
    holds, now = world.daemon.stores.holds, world.daemon.supervisor.clock.now()
    await holds.hold(str(world.lease(3)), Hold.SUSPEND, "spam", 0, now=now)
    world.pass_time(2 * HOUR)
    apart(world)
    await world.settle()
    world.buy(4, lasts=HOUR)
    apart(world)
    world.transfer(3)
    world.renew(4, lasts=100 * GRACE)
    world.finalize()
    await world.settle()


def writes(world: Realm) -> list[CallRecord]:
    """Everything that anybody ever asked the cluster to change."""
    return [call for call in world.cluster.inventory().call_log if call.method != "GET"]


def place(logged: Logged) -> tuple[str, int]:
    return logged.block_hash, logged.log_index


async def order(world: Realm, block: int) -> None:
    stores, now = world.daemon.stores, world.daemon.supervisor.clock.now()
    await stores.rereads.reread(SOURCE, block, "a doubt", 0, now=now)


async def look_everywhere(world: Realm) -> None:
    """Make every lease due, and give each its pass."""
    await world.daemon.supervisor.resync.enqueue_all("a look")
    await world.daemon.supervisor.poller.poll()
    await world.pass_all()
    world.cluster.advance(1)


async def steps(world: Realm) -> int:
    """Read step by step, with a look at everything between any two; returns how many there were."""
    (ingest,) = world.daemon.supervisor.ingests
    await look_everywhere(world)
    taken = 0
    while await ingest.attempt():
        taken += 1
        await look_everywhere(world)
    return taken


@pytest.mark.parametrize("block", [0, 2, 150])
async def test_while_a_source_is_read_again_nothing_is_changed_and_afterwards_all_is_as_it_was(
    block: int, tmp_path: Path
) -> None:
    async with realm(tmp_path) as world:
        await lived(world)
        before, written = scene(world), writes(world)
        await order(world, block)
        assert await steps(world) > 1
        await world.settle()
        assert writes(world) == written
        assert scene(world) == before
        assert await verify(world.db) == []
        entries = await world.daemon.stores.journal.events(limit=1000)
        state = await world.daemon.stores.journal.state(SOURCE)
        assert state.cursor is not None
        believed = {place(entry.logged) for entry in entries if entry.orphaned_at is None}
        assert believed == {place(each) for each in world.chain.events(state.cursor.number)}


async def test_an_endpoint_that_lags_while_it_is_read_again_takes_nothing_from_anybody(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        await lived(world)
        before, written = scene(world), writes(world)
        whole = world.chain.fork()
        world.chain.blocks = whole[:60]  # restored from an old snapshot, and its own head is there
        await order(world, 0)
        await steps(world)
        await world.turns(5)
        assert writes(world) == written
        outcome = await world.daemon.reconciler.reconcile(str(world.lease(1)))
        assert outcome.sentence == "its source is being read again by order"
        world.chain.blocks = whole
        await world.settle()
        assert writes(world) == written
        assert scene(world) == before


async def test_who_was_let_in_is_not_shut_out_while_nobody_confirms_what_is_final_again(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        second = world.chain.endpoint("second")
        world.chain.rpc.endpoints = [*world.chain.rpc.endpoints, second]
        await lived(world)
        before, written = scene(world), writes(world)
        second.tamper = silent
        await order(world, 0)
        await steps(world)
        await world.turns(5)
        assert (await world.daemon.stores.journal.state(SOURCE)).final is None
        assert (writes(world), scene(world)) == (written, before)
        second.tamper = None
        await world.settle()
        assert (await world.daemon.stores.journal.state(SOURCE)).reread_to is None
        assert (writes(world), scene(world)) == (written, before)


def silent(method: str, params: Sequence[object], answer: object) -> object:
    """Do not answer."""
    del params, answer
    raise RpcUnavailable(f"nobody answers {method}")


async def test_a_restart_in_the_middle_of_a_reread_changes_nothing_either(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await lived(world)
        before, written = scene(world), writes(world)
        whole = world.chain.fork()
        world.chain.blocks = whole[:60]
        await order(world, 0)
        await steps(world)
        await world.restart()
        await world.turns(3)
        await steps(world)
        assert writes(world) == written
        world.chain.blocks = whole
        await world.settle()
        assert (writes(world), scene(world)) == (written, before)


async def test_a_step_that_an_order_overtakes_is_dropped_and_no_trouble(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await lived(world)
        (ingest,) = world.daemon.supervisor.ingests
        world.confirm()
        state = await world.daemon.stores.journal.state(SOURCE)
        found = await ingest.ahead.next(state)
        assert found is not None
        await order(world, 2)
        ordered = await world.daemon.stores.journal.state(SOURCE)
        assert await ingest._commit(state, found) == ordered
        await world.settle()
        assert await verify(world.db) == []


async def test_a_destroy_that_was_decided_before_the_order_is_not_carried_out(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        world.buy(1, lasts=HOUR)
        await world.settle()
        world.pass_time(2 * HOUR)
        world.finalize()
        await world.settle()
        world.pass_time(GRACE + 1)
        world.finalize()
        await world.read()
        reconciler = world.daemon.reconciler
        facts = await reconciler.facts.of(str(world.lease(1)))
        assert facts is not None
        assert facts.source.live
        assert facts.lease is not None
        want = desired(facts, facts.lease.nonce, reconciler.policy)
        await reconciler.guards.allow(DESTROY, want, facts)
        await order(world, world.chain.head.number - 1)
        with pytest.raises(SourceBehind, match="read again by order, meanwhile"):
            await reconciler.guards.allow(DESTROY, want, facts)
        await world.settle()
        assert world.guests() == {}

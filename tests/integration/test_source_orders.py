"""A source that halted, as its operator meets it: the evidence, and both ways to go on."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from chainwatch.app import Adapters, opened, wire
from chainwatch.chain.rpc import RpcError
from chainwatch.domain.lease import LeaseId
from chainwatch.store.verify import verify
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.direct import DirectApi
from tests.support.chain_model import ChainModel, plan_events
from tests.support.office import Counter, counter
from tests.support.realm import (
    GRACE,
    HOUR,
    TEMPLATE,
    ClusterClock,
    Realm,
    config,
    realm,
    source_settings,
)

OTHER = "0x" + "c1" * 20


async def halted(world: Realm) -> None:
    """Sell a lease that lasts, and have the chain take back what was final."""
    world.buy(lasts=100 * GRACE)
    world.finalize()
    await world.settle()
    world.chain.reorg(world.chain.final_lag + 3)
    await world.settle()


async def state_of(world: Realm) -> str | None:
    return (await world.daemon.stores.journal.state("model")).halted


# ------------------------------------------------------------------------------------- the evidence


async def test_the_evidence_holds_our_blocks_against_every_endpoint(tmp_path: Path) -> None:
    async with counter(tmp_path) as at:
        chain, honest = at.realm.chain, ChainModel(final_lag=3)
        at.realm.buy(lasts=100 * GRACE)
        at.realm.finalize()
        await at.realm.settle()
        honest.blocks = whole = chain.fork()
        chain.reorg(chain.final_lag + 3)
        await at.realm.settle()
        others = honest.endpoint("honest"), chain.endpoint("silent", _refuses)
        chain.rpc.endpoints = [*chain.rpc.endpoints, *others]
        story = json.loads((await at.type("source", "show", "model", "--json")).out)
        final, cursor = story["stored_final"], story["stored_cursor"]
        assert "was final" in story["halted"]
        for stored in (final, cursor):
            block = whole[stored["number"]].block
            assert (stored["hash"], stored["chain_time"]) == (block.hash, block.timestamp)
        liar, right, mute = story["testimonies"]
        assert liar["at_final"] == chain.blocks[final["number"]].block.hash != final["hash"]
        assert (right["at_final"], right["at_cursor"]) == (final["hash"], cursor["hash"])
        assert right["final"] == right["head"] - honest.final_lag
        assert "no words" in mute["trouble"]
        assert mute["at_final"] is None


def _refuses(method: str, params: object, result: object) -> object:
    raise RpcError(-32000, "no words")


async def test_the_evidence_is_shown_to_people_word_by_word(tmp_path: Path) -> None:
    async with counter(tmp_path) as at:
        await halted(at.realm)
        said = await at.type("source", "show", "model")
        assert said.code == 0
        assert "halted" in said.out
        assert "compare both with a node that you trust" in said.out
        assert "another: 0x" in said.out
        assert "Alarm source-halted" in said.out
        listed = (await at.type("source", "list")).out.splitlines()
        assert [line.split()[:2] for line in listed[1:]] == [["model", "halted"]]


async def test_a_halted_source_is_not_said_to_have_a_node_that_stands_still(tmp_path: Path) -> None:
    async with counter(tmp_path) as at:
        world = at.realm
        await halted(world)
        world.cluster.advance(2 * HOUR)
        (ingest,) = world.daemon.supervisor.ingests
        await ingest._tell_staleness()
        assert (ingest.status.stale, "source-stale" in await world.alarms()) == (True, False)
        story = json.loads((await at.type("show", "1", "--json")).out)
        assert story["waits"].startswith("its source is halted, and nothing is taken away: block ")
        await world.daemon.stores.rereads.resume("model", "looked", 0, now=1)
        await ingest._tell_staleness()
        assert "check the node" in (await world.alarms())["source-stale"]


# --------------------------------------------------------------------------------------- going on


async def test_a_source_that_waits_for_blocks_that_will_never_be_goes_on_by_order(
    tmp_path: Path,
) -> None:
    async with counter(tmp_path) as at:
        world = at.realm
        world.buy(1, lasts=100 * GRACE)
        await world.settle()
        for _ in range(101):
            world.chain.mine()
        world.buy(2, lasts=100 * GRACE)
        world.finalize()
        await world.settle()
        world.chain.drop(103)
        order = await at.type("source", "reread", "model", "10", "--reason", "a fork", "--yes")
        assert order.code == 0
        early = await at.type("source", "resume", "model", "--reason", "impatient", "--yes")
        assert (early.code, "still being read again" in early.err) == (1, True)
        await world.settle()
        assert (await at.type("source", "list")).out.splitlines()[1].split()[1] == "behind"
        assert len(world.running()) == 2
        order = await at.type("source", "resume", "model", "--reason", "it was a fork", "--yes")
        assert order.code == 0
        assert "its machines are suspended" not in order.err, "--yes does not ask"
        await world.settle()
        (line,) = (await at.type("source", "list")).out.splitlines()[1:]
        assert line.split()[1] == "live"
        assert len(world.running()) == 1
        assert await verify(world.db) == []


async def test_what_was_put_off_by_a_halt_is_done_when_the_source_goes_on(tmp_path: Path) -> None:
    async with counter(tmp_path) as at:
        world = at.realm
        world.buy(lasts=HOUR)
        await world.settle()
        world.pass_time(2 * HOUR)
        await world.read()
        await world.daemon.stores.journal.halt("model", "two truths")
        await world.settle()
        assert len(world.running()) == 1
        await at.type("source", "resume", "model", "--reason", "looked", "--yes")
        await world.pass_all()
        await world.settle()
        assert world.running() == []


async def test_a_contradiction_that_stands_halts_again_and_one_that_is_gone_does_not(
    tmp_path: Path,
) -> None:
    async with counter(tmp_path) as at:
        at.realm.buy(lasts=100 * GRACE)
        at.realm.finalize()
        await at.realm.settle()
        running, whole = at.realm.running(), at.realm.chain.fork()
        at.realm.chain.reorg(at.realm.chain.final_lag + 3)
        await at.realm.settle()
        assert await state_of(at.realm)
        assert (await resume(at)).startswith("model is read on")
        assert "source-halted" not in await at.realm.alarms()
        await at.realm.turn()
        assert await state_of(at.realm)
        assert "source-halted" in await at.realm.alarms()
        at.realm.chain.blocks = whole
        at.realm.buy(2, lasts=100 * GRACE)
        await resume(at)
        await at.realm.settle()
        assert await state_of(at.realm) is None
        assert len(at.realm.running()) == len(running) + 1
        assert "source-halted" not in await at.realm.alarms()


async def resume(at: Counter) -> str:
    said = await at.type("source", "resume", "model", "--reason", "I looked", "--yes")
    assert said.code == 0, said.err
    return said.out.splitlines()[-1]


async def test_nobody_goes_on_without_having_said_yes_and_why(tmp_path: Path) -> None:
    async with counter(tmp_path) as at:
        await halted(at.realm)
        for order in (("resume", "model"), ("reread", "model", "1")):
            said = await at.type("source", *order, "--reason", "typed by a script")
            assert said.code == 1
            assert "[y/N]" in said.err
            empty = await at.type("source", *order, "--reason", " ", "--yes")
            assert (empty.code, "say why" in empty.err) == (1, True)
            assert (await at.type("source", *order, "--yes")).code == 2
        assert await state_of(at.realm)
        assert await at.desk.audit(9) == []


async def test_a_source_that_is_not_halted_is_not_resumed_and_an_unknown_one_is_named(
    tmp_path: Path,
) -> None:
    async with counter(tmp_path) as at:
        await at.realm.settle()
        for order in (("resume", "model"), ("resume", "nonesuch"), ("show", "nonesuch")):
            more = ("--reason", "x") if order[0] == "resume" else ()
            said = await at.type("source", *order, *more)
            assert said.code == 1
            assert "is not halted" in said.err or "there are: model" in said.err
        assert (await at.curl("/sources/nonesuch")).out.endswith("\n404")
        for query in ("", "?block=-1", "?block=x", f"?block={2**63}"):
            assert (await at.curl(f"/sources/model/reread{query}")).out.endswith("\n400")


async def test_a_reread_says_what_it_will_do_does_it_and_is_kept_in_the_audit(
    tmp_path: Path,
) -> None:
    async with counter(tmp_path) as at:
        at.realm.buy(lasts=100 * GRACE)
        at.realm.finalize()
        await at.realm.settle()
        cursor = (await at.realm.daemon.stores.journal.state("model")).cursor
        assert cursor is not None
        order = ("source", "reread", "model", "2", "--reason", "a doubt")
        asked = await at.type(*order)
        assert f"blocks 2 to {cursor.number} of model are read again: 4 events" in asked.out
        assert "Some of them were final" in asked.out
        said = await at.type(*order, "--yes", "--json")
        assert json.loads(said.out) == {
            "source": "model",
            "first": 2,
            "last": cursor.number,
            "events": 4,
            "leases": 1,
            "below_final": True,
        }
        assert "read again by order" in (await at.type("source", "show", "model")).out
        await at.realm.settle()
        assert "read again by order" not in (await at.type("source", "show", "model")).out
        (line,) = await at.desk.audit(9)
        assert (line.what, line.subject, line.why) == ("source reread from 2", "model", "a doubt")
        assert len(at.realm.running()) == 1


# ---------------------------------------------------------------------------------- the other ones


@asynccontextmanager
async def two_sources(folder: Path) -> AsyncIterator[tuple[Realm, ChainModel]]:
    """A realm with a second source, on a chain of its own, that sells as well."""
    async with realm(folder) as first:
        await first.db.close()
        other = ChainModel(contract=OTHER, final_lag=3)
        other.mine(plan_events())
        settings = replace(
            config(folder), sources=(source_settings(), source_settings("other", contract=OTHER))
        )
        cluster = Cluster()
        cluster.add_template(TEMPLATE)
        ways = Adapters({"model": first.chain.rpc, "other": other.rpc}, DirectApi(cluster))
        async with opened(settings, folder / "two.db", create=True) as db:
            daemon = wire(settings, ways, db, ClusterClock(cluster), lambda: None)
            yield Realm(settings, first.chain, cluster, daemon, db), other


async def test_a_source_that_halts_is_alone_with_it(tmp_path: Path) -> None:
    async with two_sources(tmp_path) as (world, other):
        await halted(world)
        stores = world.daemon.stores
        before = await stores.journal.state("model")
        assert before.halted
        chain, world.chain = world.chain, other
        world.buy(7, lasts=100 * GRACE)
        await world.settle()
        lease = LeaseId(31337, OTHER, 7)
        assert (await stores.journal.state("other")).halted is None
        assert "as desired" in (await world.sentences())[str(lease)]
        assert await stores.journal.state("model") == before
        await stores.rereads.resume("model", "looked", 0, now=1)
        await stores.rereads.reread("other", 0, "a doubt", 0, now=1)
        after = await stores.journal.state("model")
        assert (after.cursor, after.final, after.reread_to) == (before.cursor, before.final, None)
        world.chain = chain
        await world.settle()
        assert (await stores.journal.state("model")).halted
        assert (await stores.journal.state("other")).reread_to is None
        assert len(world.running()) == 2
        assert await verify(world.db) == []


async def test_nothing_irreversible_is_done_for_a_source_that_halted(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        world.buy(lasts=GRACE)
        world.finalize()
        await world.settle()
        world.pass_time(2 * GRACE)
        world.finalize()
        await world.settle()
        world.pass_time(2 * GRACE)
        world.finalize()
        await world.daemon.stores.journal.halt("model", "two truths")
        await world.daemon.supervisor.resync.enqueue_all("a look")
        await world.settle()
        assert list(world.guests()) != []
        await world.daemon.stores.rereads.resume("model", "looked", 0, now=1)
        await world.settle()
        assert list(world.guests()) == []

"""How a source's endpoints do, as operators see it: in the status, the metrics and an alarm."""

from pathlib import Path

from chainwatch.admin.metrics import exposition
from tests.support.chain_model import ChainModel
from tests.support.doubts import refusing
from tests.support.office import counter, office
from tests.support.realm import realm

WHY = "it left out a log of block 5"


async def test_the_status_tells_how_each_endpoint_does_and_why(tmp_path: Path) -> None:
    async with counter(tmp_path) as at:
        before = (await at.type("status")).out
        at.realm.chain.rpc.endpoints[0].quarantine(WHY)
        after = (await at.type("status")).out
    (row,) = (line for line in before.splitlines() if line.startswith("model   model "))
    assert row.split() == ["model", "model", "ok", "1", "ms", "0", "blocks", "-"]
    (feed,) = (line for line in before.splitlines() if "(websocket)" in line)
    assert feed.split()[1:4] == ["model.invalid", "(websocket)", "lost"]
    (row,) = (line for line in after.splitlines() if line.startswith("model   model "))
    assert "quarantined" in row
    assert WHY in row


async def test_the_metrics_tell_who_is_in_quarantine(tmp_path: Path) -> None:
    async with office(tmp_path) as (town, desk):
        town.chain.rpc.endpoints[0].quarantine(WHY)
        said = (await exposition(desk)).decode().splitlines()
    for line in (
        'chainwatch_endpoint_up{host="model",source="model"} 0.0',
        'chainwatch_endpoint_quarantined{host="model",source="model"} 1.0',
        'chainwatch_endpoint_latency_seconds{host="model",source="model"} 0.001',
        'chainwatch_endpoint_lag_blocks{host="model",source="model"} 0.0',
        'chainwatch_websocket_connected{source="model"} 0.0',
    ):
        assert line in said


async def test_an_alarm_names_who_is_in_quarantine_until_nobody_is(tmp_path: Path) -> None:
    async with office(tmp_path) as (town, desk):
        (ingest,) = town.daemon.supervisor.ingests
        (endpoint,) = town.chain.rpc.endpoints
        await ingest.quarantines.tell()
        assert [alarm.name for alarm in (await desk.status()).alarms] == []
        endpoint.quarantine(WHY)
        await ingest.quarantines.tell()
        (alarm,) = (await desk.status()).alarms
        assert (alarm.name, alarm.subject) == ("endpoint-quarantined", "model")
        assert f"model ({WHY})" in alarm.text
        endpoint.quarantined.clear()
        await ingest.quarantines.tell()
        assert (await desk.status()).alarms == ()


async def test_an_alarm_from_before_a_restart_ends_since_a_restart_forgets_quarantines(
    tmp_path: Path,
) -> None:
    async with office(tmp_path) as (town, desk):
        (ingest,) = town.daemon.supervisor.ingests
        now = ingest.clock.now()
        await ingest.alarms.raise_("endpoint-quarantined", "model", "critical", "before", now)
        await ingest.quarantines.tell()
        assert (await desk.status()).alarms == ()


async def test_an_alarm_tells_that_nothing_becomes_final_until_two_agree_again(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        (ingest,), second = world.daemon.supervisor.ingests, world.chain.endpoint("second")
        world.chain.rpc.endpoints = [*world.chain.rpc.endpoints, second]

        async def told() -> str | None:
            """What the alarm says after another look at a chain that goes on."""
            world.confirm()
            await world.read()
            await ingest._tell_solitude()
            return (await world.alarms()).get("source-unconfirmed")

        second.tamper = refusing("eth_getBlockByNumber", "no such thing")
        patience = ingest.status.settings.stale_after
        assert (await told(), await told()) == (None, None)
        world.cluster.advance(patience)
        text = await told()
        assert text is not None
        assert "second: the node answered error -32000: no such thing" in text
        second.tamper = None
        assert await told() is None
        assert await told() is None


async def test_one_that_is_always_a_little_behind_raises_no_alarm_while_it_confirms_what_is_final(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        (ingest,), behind = world.daemon.supervisor.ingests, ChainModel(final_lag=3)
        world.finalize()
        world.chain.rpc.endpoints = [*world.chain.rpc.endpoints, behind.endpoint("behind")]
        for _ in range(20):
            world.confirm()
            behind.blocks = world.chain.blocks[:-3]
            await world.read()
            world.cluster.advance(ingest.status.settings.stale_after / 4)
            await ingest._tell_solitude()
            assert "source-unconfirmed" not in await world.alarms()
        final = (await world.daemon.stores.journal.state("model")).final
        assert final is not None
        assert final.number > 10

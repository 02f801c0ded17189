"""What an operator reads is what is so, and what he orders happens, accounted for."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from chainwatch.app import Adapters, desk, wire
from chainwatch.control import desk as desk_module
from chainwatch.control.desk import Filter, UnknownLease
from chainwatch.control.pulse import STUCK_AFTER, Pulse
from chainwatch.control.readings import SourceWord
from chainwatch.domain.desired import Hold
from chainwatch.errors import OperatorError
from chainwatch.runtime.clock import VirtualClock
from provisioner.backends.proxmox.api import JsonValue, ParamValue
from tests.support.office import office
from tests.support.realm import FIRST, GRACE, HOUR, ClusterClock, realm

UID = 1000


# ---------------------------------------------------------------------------------------- readings


async def test_before_its_first_look_the_daemon_says_what_it_is_waiting_for(tmp_path: Path) -> None:
    async with office(tmp_path) as (_, at):
        status = await at.status()
        assert not status.ready
        assert [source.word for source in status.sources] == [SourceWord.BEHIND]
        assert any("nothing of it has been read" in why for why in status.unready)
        assert any("not been surveyed" in why for why in status.unready)


async def test_status_counts_what_there_is(tmp_path: Path) -> None:
    async with office(tmp_path) as (town, at):
        town.buy(1)
        town.buy(2, lasts=10 * HOUR)
        town.cluster.add_guest(FIRST + 5)
        await town.settle()
        town.pass_time(2 * HOUR)
        await town.settle()
        status = await at.status()
        assert (status.ready, status.unready) == (True, ())
        assert status.leases == {"model": {"active": 1, "expired": 1}}
        assert (status.machines, status.due, status.parked) == (2, 0, 0)
        assert (status.capacity.ours, status.capacity.strangers) == (2, 1)
        assert status.capacity.free == status.capacity.all - 3
        (source,) = status.sources
        assert source.word is SourceWord.LIVE
        assert source.cursor == source.confirmed == source.head - 1
        assert [endpoint.host for endpoint in source.endpoints] == ["model"]


async def test_status_shows_how_full_nodes_and_storages_are(tmp_path: Path) -> None:
    async with office(tmp_path) as (town, at):
        assert (await at.status()).room is None
        town.buy(1)
        await town.settle()
        town.cluster.advance(11)  # the list shows it
        await town.daemon.supervisor.resync.survey()
        room = (await at.status()).room
        assert room is not None
        memory = town.cluster.settings.node_memory // 2**20
        (node,) = room.nodes
        assert (node.name, node.state, node.machines) == ("pve", "ready", 1)
        assert (node.memory_mib, node.sold_mib, node.left_mib) == (memory, 2048, memory - 2048)
        (storage,) = room.storages
        assert (storage.name, storage.node, storage.available) == ("local", "pve", True)
        assert 0 < storage.left_gib <= storage.size_gib - 10
        assert (storage.sold_gib, storage.limit_gib) == (25, 2 * storage.size_gib + 1)
        assert room.missing_templates == ()


async def test_a_destroyed_machine_spends_the_budget_and_rests_its_vmid(tmp_path: Path) -> None:
    async with office(tmp_path) as (town, at):
        town.buy(1)
        await town.settle()
        town.pass_time(2 * HOUR)
        await town.settle()
        town.pass_time(2 * GRACE)
        town.finalize()
        await town.settle()
        status = await at.status()
        assert town.guests() == {}
        assert (status.destroys.spent, status.destroys.left) == (1, status.destroys.allowed - 1)
        assert (status.capacity.ours, status.capacity.resting) == (0, 1)
        assert status.machines == 0


async def test_the_counts_of_a_status_are_those_of_the_list(tmp_path: Path) -> None:
    async with office(tmp_path) as (town, at):
        town.buy(1)
        town.buy(2, lasts=100 * HOUR)
        town.buy(3, lasts=100 * HOUR)
        town.burn(3)
        town.pass_time(2 * HOUR)
        await town.read()
        phases = [line.phase for line in await at.leases(Filter())]
        assert phases == ["expired", "active", "burnt"]
        assert (await at.status()).leases == {"model": dict.fromkeys(phases, 1)}
        (active,) = await at.leases(Filter(phase="active"))
        assert active.token == "2"
        assert [line.token for line in await at.leases(Filter(limit=2))] == ["1", "2"]
        assert [line.token for line in await at.leases(Filter(after=active.id))] == ["3"]


async def test_a_lease_that_a_reorg_took_back_is_listed_as_gone(tmp_path: Path) -> None:
    async with office(tmp_path) as (town, at):
        town.buy(1)
        await town.read()
        town.chain.reorg(2)
        town.confirm()
        await town.read()
        (line,) = await at.leases(Filter())
        assert (line.phase, line.owner, line.expires_at) == ("gone", None, None)
        assert (await at.status()).leases == {"model": {"gone": 1}}
        assert all(event.orphaned_at for event in await at.events(50, lease="1"))


async def test_show_tells_the_chain_the_wanted_the_seen_and_the_next_step(tmp_path: Path) -> None:
    async with office(tmp_path) as (town, at):
        lease = town.buy(1)
        await town.settle()
        story = await at.show(str(lease))
        assert story.confirmed is not None
        assert story.confirmed.expires_at == story.line.expires_at
        (machine,) = story.machines
        assert machine.current
        assert machine.wanted.presence == "running"
        assert machine.seen is not None
        assert (machine.seen.vmid, machine.seen.power) == (FIRST, "running")
        assert (machine.next, story.waits) == (None, None)
        assert [each.step for each in story.operations][-1] == "clone"
        assert story.events[0].kind == "transferred"


async def test_show_says_why_a_lease_waits(tmp_path: Path) -> None:
    async with office(tmp_path) as (town, at):
        await at.pause("effects", "new switch", UID)
        town.buy(1)
        await town.settle()
        story = await at.show("1")
        (machine,) = story.machines
        assert machine.next == "clone"
        assert machine.refused is not None
        assert "new switch" in machine.refused
        assert story.waits is not None
        assert "clone is due" in story.waits
        assert town.guests() == {}


async def test_show_says_that_nobody_delivers_where_no_key_is_configured(tmp_path: Path) -> None:
    async with office(tmp_path) as (town, at):
        town.buy(1)
        await town.settle()
        story = await at.show("1")
        assert story.waits is None
        assert str(story.delivery).startswith("not delivered yet, due until ")
        assert str(story.delivery).endswith("while no [sender] is configured for its chain")


async def test_show_says_that_a_lease_was_given_up_and_why(tmp_path: Path) -> None:
    async with office(tmp_path) as (town, at):
        lease = town.buy(1)
        await town.settle()
        work = town.daemon.stores.work
        await work.enqueue([str(lease)], "a test")
        (item,) = await work.due(2**40, 1)
        await work.park(item, "the template is gone", 1)
        assert (await at.show("1")).waits == "given up: the template is gone"
        assert [line.parked for line in await at.leases(Filter())] == [True]


async def test_a_lease_is_named_by_its_id_or_by_its_token(tmp_path: Path) -> None:
    async with office(tmp_path) as (town, at):
        lease = town.buy(1)
        await town.read()
        by_token, by_id = await at.show("1"), await at.show(str(lease))
        shouted = await at.show(str(lease).replace("0xc0", "0xC0"))
        assert by_token.line == by_id.line == shouted.line


@pytest.mark.parametrize("name", ["2", str(2**256), "eip155:31337/erc721:0xc0/1"])
async def test_an_unknown_lease_is_answered_with_where_to_look(tmp_path: Path, name: str) -> None:
    async with office(tmp_path) as (town, at):
        town.buy(1)
        await town.read()
        with pytest.raises(UnknownLease, match="chainwatch leases"):
            await at.show(name)


async def test_what_names_no_lease_is_answered_with_how_to_name_one(tmp_path: Path) -> None:
    async with office(tmp_path) as (_, at):
        for name in ("", "one", "-1", "１", "1/2/3"):
            with pytest.raises(OperatorError, match="eip155:CHAIN"):
                await at.show(name)


async def test_events_are_told_newest_first_of_all_a_source_or_a_lease(tmp_path: Path) -> None:
    async with office(tmp_path) as (town, at):
        town.buy(1)
        town.buy(2)
        await town.read()
        everything = await at.events(50)
        assert everything == await at.events(50, source="model")
        assert [each.id for each in everything] == sorted((e.id for e in everything), reverse=True)
        assert {each.token for each in await at.events(50, lease="2")} == {"2"}
        assert len(await at.events(3, lease="2")) == 3
        paid = next(each for each in everything if each.kind == "lease_minted")
        assert isinstance(paid.fields["paid"], str)


# ------------------------------------------------------------------------------------------ orders


async def test_a_hold_keeps_an_expired_machine_running_until_it_is_lifted(tmp_path: Path) -> None:
    async with office(tmp_path) as (town, at):
        lease = str(town.buy(1))
        await town.settle()
        (hold,) = await at.hold("1", Hold.HOLD, "a dispute", UID)
        assert (hold.lease, hold.reason, hold.uid) == (lease, "a dispute", UID)
        town.pass_time(2 * HOUR)
        await town.settle()
        assert town.running() == [FIRST]
        assert await at.release("1", Hold.HOLD, "settled", UID) == []
        await town.settle()
        assert town.running() == []
        said = [(each.what, each.why, each.uid) for each in await at.audit(10)]
        assert said == [("release hold", "settled", UID), ("hold", "a dispute", UID)]


async def test_an_order_suspends_a_paid_machine_and_its_end_resumes_it(tmp_path: Path) -> None:
    async with office(tmp_path) as (town, at):
        town.buy(1, lasts=100 * HOUR)
        await town.settle()
        await at.hold("1", Hold.SUSPEND, "it sends spam", UID)
        await town.settle()
        assert town.running() == []
        await at.release("1", Hold.SUSPEND, "", UID)
        await town.settle()
        assert town.running() == [FIRST]


async def test_resuming_makes_up_for_what_the_pause_put_off(tmp_path: Path) -> None:
    async with office(tmp_path) as (town, at):
        (pause,) = await at.pause("effects", "new switch", UID)
        assert pause.scope == "effects"
        town.buy(1)
        await town.settle()
        assert town.guests() == {}
        assert await at.resume_all("it is in", UID) == [pause]
        await town.settle()
        assert town.running() == [FIRST]


async def test_what_is_not_paused_cannot_be_resumed(tmp_path: Path) -> None:
    async with office(tmp_path) as (_, at):
        with pytest.raises(OperatorError, match="nothing is paused"):
            await at.resume_all("", UID)


async def test_a_retry_unparks_clears_the_alarms_and_makes_the_lease_due(tmp_path: Path) -> None:
    async with office(tmp_path) as (town, at):
        lease = str(town.buy(1))
        await town.settle()
        stores = town.daemon.stores
        await stores.work.enqueue([lease], "a test")
        (item,) = await stores.work.due(2**40, 1)
        await stores.work.park(item, "the template is gone", 1)
        await stores.alarms.raise_("parked", lease, "critical", "the template is gone", 1)
        assert await at.retry("1", "it is back", UID)
        assert await at.alarms() == []
        assert [each.key for each in await stores.work.due(2**40, 9)] == [lease]
        assert not await at.retry("1", "once more", UID)
        assert [each.what for each in await at.audit(9)] == ["retry", "retry"]


async def test_an_order_about_an_unknown_lease_changes_nothing(tmp_path: Path) -> None:
    async with office(tmp_path) as (_, at):
        for order in (at.hold("7", Hold.HOLD, "why not", UID), at.retry("7", "why not", UID)):
            with pytest.raises(UnknownLease):
                await order
        assert await at.audit(9) == []


async def test_a_survey_finds_the_stranger_in_our_range(tmp_path: Path) -> None:
    async with office(tmp_path) as (town, at):
        await town.settle()
        town.cluster.add_guest(FIRST + 3)
        (orphan,) = await at.survey(UID)
        assert orphan.vmid == FIRST + 3
        assert at.orphans() == (orphan,)
        assert town.touched_foreign() == ()


async def test_a_check_finds_a_row_that_is_not_what_the_chain_said(tmp_path: Path) -> None:
    async with office(tmp_path) as (town, at):
        lease = str(town.buy(1))
        await town.settle()
        assert [(each.subject, each.ok) for each in await at.check()] == [
            *(("source model", True), ("hypervisor", True), ("token", True)),
            *(("firewall", True), ("OS template", True)),
            *(("template 9000", True),) * 3,
            ("database", True),
        ]
        async with town.db.transaction("wake") as tx:
            await tx.run("UPDATE lease SET owner = 'somebody' WHERE id = ?", lease)
        (broken,) = [each for each in await at.check() if not each.ok]
        assert broken.subject == "database"
        assert lease in broken.text


# --------------------------------------------------------------------------- when others do badly


class Hanging:
    """An API that never answers."""

    async def call(
        self,
        method: str,
        path: str,
        params: Mapping[str, ParamValue] | None = None,
        *,
        slow: bool = False,
    ) -> JsonValue:
        never: asyncio.Future[JsonValue] = asyncio.get_running_loop().create_future()
        return await never


async def test_a_hanging_hypervisor_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with realm(tmp_path) as town:
        town.buy(1)
        await town.settle()
        monkeypatch.setattr(desk_module, "PATIENCE", 0.01)
        ways, clock = Adapters({"model": town.chain.rpc}, Hanging()), ClusterClock(town.cluster)
        stuck = wire(town.config, ways, town.db, clock, lambda: None)
        at = desk(town.config, ways, stuck, Pulse(clock, lambda: None))
        assert (await at.status()).machines == 1
        story = await at.show("1")
        assert story.line.vmid == FIRST
        assert story.waits is not None


def test_a_loop_that_does_not_come_round_is_not_alive() -> None:
    clock, beats = VirtualClock(), list[int]()
    pulse = Pulse(clock, lambda: beats.append(1))
    pulse.beat()
    seen = [pulse.alive]
    asyncio.run(clock.advance(STUCK_AFTER))
    seen.append(pulse.alive)
    pulse.beat()
    seen.append(pulse.alive)
    assert (seen, beats) == ([True, False, True], [1, 1])


async def test_a_silent_loop_makes_the_daemon_unready(tmp_path: Path) -> None:
    async with office(tmp_path) as (town, at):
        at.outlook.pulse.beat()
        await town.settle()
        assert await at.outlook.unready() == ()
        town.cluster.advance(STUCK_AFTER)
        (why,) = await at.outlook.unready()
        assert "has not come round" in why

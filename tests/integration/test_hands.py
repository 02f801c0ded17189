"""What operators do to a lease's machine at once: to the one that proves to be it, and no other."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest

from chainwatch.errors import OperatorError
from provisioner.controls import ConsoleTicket
from provisioner.errors import (
    AgentSilent,
    Declined,
    Locked,
    NodeDown,
    NotOurs,
)
from provisioner.model import Kind
from provisioner.terms import Terms
from provisioner.verbs.metrics import Metrics
from provisioner.verbs.throttle import Limits
from tests.support.handling import UID, VERBS, WHY, done, handling, hands_of
from tests.support.office import desk_of
from tests.support.realm import FIRST, HOUR, Realm

KINDS: Final = pytest.mark.parametrize("kind", Kind)
EACH: Final = pytest.mark.parametrize("verb", VERBS)


@dataclass(frozen=True, slots=True)
class Doubled:
    """A survey that found more than one."""

    places: Mapping[tuple[str, str], tuple[int, ...]]


async def audited(world: Realm) -> list[tuple[int, str, str]]:
    return [(each.uid, each.what, each.why) for each in await desk_of(world).audit(9)]


async def looked_again(world: Realm) -> None:
    """Have every machine looked at, and what is found be mended."""
    world.cluster.advance(10)
    await world.daemon.supervisor.resync.survey()
    await world.daemon.supervisor.resync.enqueue_all("periodic resync")
    await world.settle()


# ------------------------------------------------------------------------------- what it does


@KINDS
async def test_the_machine_of_a_lease_is_measured(tmp_path: Path, kind: Kind) -> None:
    async with handling(tmp_path, kind) as world:
        told = await done(world, "metrics")
        assert isinstance(told, Metrics)
        assert (told.state, told.cpu_count, told.memory_total_mb) == ("running", 2, 2048)
        assert told.guest_agent_responsive is (kind is Kind.VM)
        assert await audited(world) == []


@KINDS
async def test_a_command_runs_in_it_and_ends_as_it_ends(tmp_path: Path, kind: Kind) -> None:
    async with handling(tmp_path, kind) as world:
        hands = await hands_of(world)
        ended = await hands.run(("echo", "a", "$(b)"), 5, WHY, UID)
        assert (ended.code, ended.seen, ended.output) == (0, True, "a $(b)\n")
        failed = await hands.run(("false",), 5, WHY, UID)
        assert (failed.code, failed.seen, failed.error) == (1, True, "no\n")
        assert (UID, "exec", f"echo a '$(b)': {WHY}") in await audited(world)


@KINDS
async def test_a_command_that_does_not_end_in_time_has_failed(tmp_path: Path, kind: Kind) -> None:
    async with handling(tmp_path, kind) as world:
        ended = await (await hands_of(world)).run(("sleep", "1000"), 2, WHY, UID)
        assert (ended.code, ended.seen, ended.output) == (124, False, "")


@KINDS
async def test_a_throttle_is_in_force_at_once_and_lifted_again(tmp_path: Path, kind: Kind) -> None:
    async with handling(tmp_path, kind) as world:
        hands = await hands_of(world)
        limits = Limits(cpu_shares=50, cpu_quota=25, bandwidth_out=8000)
        told = await hands.throttle(limits, WHY, UID)
        config = world.guest().config
        assert (str(config["cpuunits"]), str(config["cpulimit"])) == ("50", "0.5")
        assert "rate=0.95" in str(config["net0"])
        assert told.put_back == ("cpu quota",)
        await hands.throttle(Limits(reset=True), WHY, UID)
        assert not {"cpuunits", "cpulimit"} & world.guest().config.keys()
        assert "rate=" not in str(world.guest().config["net0"])
        await looked_again(world)
        assert await world.alarms() == {}


@KINDS
async def test_drift_repair_puts_back_what_was_said_and_nothing_else(
    tmp_path: Path, kind: Kind
) -> None:
    async with handling(tmp_path, kind) as world:
        limits = Limits(cpu_shares=50, cpu_quota=25, bandwidth_out=8000)
        told = await (await hands_of(world)).throttle(limits, WHY, UID)
        await looked_again(world)
        config = world.guest().config
        assert told.put_back == ("cpu quota",)
        assert "cpulimit" not in config
        assert str(config["cpuunits"]) == "50"
        assert "rate=0.95" in str(config["net0"])
        assert world.running() == [FIRST]


@KINDS
async def test_what_a_plan_limits_is_put_back(tmp_path: Path, kind: Kind) -> None:
    terms = Terms(rate=5.0, cpu_limit=1.0)
    async with handling(tmp_path, kind, terms=terms) as world:
        limits = Limits(cpu_quota=25, bandwidth_in=8000)
        told = await (await hands_of(world)).throttle(limits, WHY, UID)
        assert told.put_back == ("cpu quota", "bandwidth")
        await looked_again(world)
        config = world.guest().config
        assert (float(config["cpulimit"]), "rate=5" in str(config["net0"])) == (1.0, True)


@KINDS
async def test_where_drift_is_told_of_only_a_throttle_stands(tmp_path: Path, kind: Kind) -> None:
    async with handling(tmp_path, kind, repairs=False) as world:
        told = await (await hands_of(world)).throttle(Limits(cpu_quota=25), WHY, UID)
        assert told.put_back == ()
        await looked_again(world)
        assert str(world.guest().config["cpulimit"]) == "0.5"


async def test_a_disk_is_limited(tmp_path: Path) -> None:
    async with handling(tmp_path, Kind.VM) as world:
        told = await (await hands_of(world)).throttle(Limits(iops_read=100), WHY, UID)
        assert told.put_back == ()
        await looked_again(world)
        assert "iops_rd=100" in str(world.guest().config["scsi0"])


async def test_a_containers_disk_has_no_limits_and_that_is_said(tmp_path: Path) -> None:
    async with handling(tmp_path, Kind.CONTAINER) as world:
        with pytest.raises(Declined, match="no limits for the disk"):
            await (await hands_of(world)).throttle(Limits(iops_read=100), WHY, UID)
        operation = (await desk_of(world).operations(1))[0]
        assert (operation.step, operation.outcome) == ("throttle", "failed")


@KINDS
async def test_a_screen_is_opened_for_the_operator_and_the_ticket_told_him_alone(
    tmp_path: Path, kind: Kind, capsys: pytest.CaptureFixture[str]
) -> None:
    async with handling(tmp_path, kind) as world:
        told = await done(world, "console")
        assert isinstance(told, ConsoleTicket)
        assert (told.vmid, len(told.ticket) > 10) == (FIRST, True)
        assert await audited(world) == [(UID, "console", f"VM {FIRST}: {WHY}")]
        said = capsys.readouterr()
        assert told.ticket not in said.out + said.err
        assert told.ticket not in repr(told)


# ---------------------------------------------------------------------- what is looked at, locked


@KINDS
@EACH
async def test_a_locked_machine_can_be_looked_at_and_is_not_changed(
    tmp_path: Path, kind: Kind, verb: str
) -> None:
    async with handling(tmp_path, kind) as world:
        world.cluster.edit_guest(FIRST, lock="backup")
        if verb == "throttle":
            with pytest.raises(Locked, match=r"locked \(backup\): ask again .* unlock it"):
                await done(world, verb)
            assert "cpuunits" not in world.guest().config
        else:
            await done(world, verb)


@KINDS
@EACH
async def test_an_operation_of_ours_keeps_nobody_from_looking(
    tmp_path: Path, kind: Kind, verb: str
) -> None:
    async with handling(tmp_path, kind) as world:
        operations = world.daemon.stores.operations
        (row,) = [each for each in await operations.recent(50) if each.step == "clone"]
        await operations.begin(row.key, "snapshot", FIRST, row.node, row.nonce)
        if verb == "throttle":
            with pytest.raises(Locked, match="not yet seen to end"):
                await done(world, verb)
            assert "cpuunits" not in world.guest().config
        else:
            await done(world, verb)


# -------------------------------------------------------------------------------- what it refuses


@KINDS
@EACH
async def test_somebody_elses_machine_in_its_place_is_let_alone(
    tmp_path: Path, kind: Kind, verb: str
) -> None:
    async with handling(tmp_path, kind) as world:
        node = world.guest().node
        world.cluster.remove_guest(FIRST)
        if kind is Kind.VM:
            world.cluster.add_guest(FIRST, node=node, running=True)
        else:
            world.cluster.add_container(FIRST, node=node, running=True)
        world.cluster.advance(10)
        before = dict(world.cluster.guest(FIRST).config)
        with pytest.raises(NotOurs, match="somebody else's machine"):
            await done(world, verb)
        assert dict(world.cluster.guest(FIRST).config) == before
        assert world.touched_foreign() == ()
        assert await audited(world) == []


@EACH
async def test_a_machine_that_proves_nothing_any_more_is_let_alone(
    tmp_path: Path, verb: str
) -> None:
    async with handling(tmp_path, Kind.VM) as world:
        world.cluster.edit_guest(FIRST, description="my server")
        with pytest.raises(NotOurs, match="proves nothing"):
            await done(world, verb)


@EACH
async def test_a_machine_that_was_made_a_template_is_let_alone(tmp_path: Path, verb: str) -> None:
    async with handling(tmp_path, Kind.VM) as world:
        world.cluster.edit_guest(FIRST, template=1)
        with pytest.raises(NotOurs, match="made a template"):
            await done(world, verb)


@EACH
async def test_of_two_that_prove_to_be_it_neither_is_touched(tmp_path: Path, verb: str) -> None:
    async with handling(tmp_path, Kind.VM) as world:
        await world.daemon.supervisor.resync.survey()
        (machine,) = world.daemon.reconciler.index.places
        doubled = replace(world.daemon.reconciler, index=Doubled({machine: (FIRST, FIRST + 1)}))
        hands = replace(await hands_of(world), reconciler=doubled)
        with pytest.raises(NotOurs, match=f"VMs {FIRST}, {FIRST + 1} all prove to be this machine"):
            await done(world, verb, hands)


@KINDS
@EACH
async def test_a_lease_without_a_machine_is_said_to_have_none(
    tmp_path: Path, kind: Kind, verb: str
) -> None:
    async with handling(tmp_path, kind) as world:
        world.cluster.remove_guest(FIRST)
        world.cluster.advance(10)
        with pytest.raises(OperatorError, match="has no machine now"):
            await done(world, verb)


@KINDS
@EACH
async def test_a_node_that_is_away_is_named(tmp_path: Path, kind: Kind, verb: str) -> None:
    async with handling(tmp_path, kind) as world:
        node = world.guest().node
        world.cluster.cut_power(node)
        world.cluster.advance(60)
        with pytest.raises(NodeDown, match=f"node {node} is away"):
            await done(world, verb)


@KINDS
async def test_nothing_runs_in_a_suspended_machine_and_it_can_be_looked_at(
    tmp_path: Path, kind: Kind
) -> None:
    async with handling(tmp_path, kind) as world:
        world.pass_time(200 * 24 * HOUR)
        await world.settle()
        assert world.running() == []
        told = await done(world, "metrics")
        assert isinstance(told, Metrics)
        assert told.state == "stopped"
        with pytest.raises(OperatorError, match="is suspended: nothing runs in it"):
            await done(world, "exec")
        with pytest.raises(OperatorError, match="is suspended: it has no screen"):
            await done(world, "console")
        await done(world, "throttle")
        assert str(world.guest().config["cpuunits"]) == "50"


@KINDS
@pytest.mark.parametrize("verb", ["exec", "console"])
async def test_of_a_machine_that_was_switched_off_it_is_said_to_start_it_first(
    tmp_path: Path, kind: Kind, verb: str
) -> None:
    async with handling(tmp_path, kind) as world:
        world.cluster.stop_guest(FIRST)
        with pytest.raises((Declined, OperatorError), match="does not run: start it first"):
            await done(world, verb)


async def test_a_guest_without_an_agent_is_measured_from_outside_and_gone_into_by_nobody(
    tmp_path: Path,
) -> None:
    async with handling(tmp_path, Kind.VM) as world:
        world.guest().has_agent = False
        told = await done(world, "metrics")
        assert isinstance(told, Metrics)
        assert (told.state, told.guest_agent_responsive, told.net_connections) == (
            *("running", False, -1),
        )
        with pytest.raises(AgentSilent):
            await done(world, "exec")


async def test_no_way_leads_into_a_container_whose_node_is_not_reached(tmp_path: Path) -> None:
    async with handling(tmp_path, Kind.CONTAINER, reached=False) as world:
        with pytest.raises(Declined, match=r"configure \[nodes_ssh\]"):
            await done(world, "exec")
        assert isinstance(await done(world, "metrics"), Metrics)


async def test_screens_stay_closed_until_somebody_opens_them(tmp_path: Path) -> None:
    async with handling(tmp_path, Kind.VM, console=False) as world:
        with pytest.raises(OperatorError, match="console = true"):
            await done(world, "console")
        assert not any("vncproxy" in call for call in world.cluster.inventory().calls)
        assert await audited(world) == []


async def test_who_does_not_say_why_gets_nothing(tmp_path: Path) -> None:
    async with handling(tmp_path, Kind.VM) as world:
        hands = await hands_of(world)
        for asked in (
            hands.throttle(Limits(cpu_shares=50), " ", UID),
            hands.run(("true",), 5, "", UID),
            hands.console("", UID),
        ):
            with pytest.raises(OperatorError, match="say why"):
                await asked
        for words, limit in (((), 5), (("a\0b",), 5), (("x" * 40_000,), 5), (("true",), 601)):
            with pytest.raises((OperatorError, Declined)):
                await hands.run(words, limit, WHY, UID)
        assert await audited(world) == []


async def test_a_pause_of_effects_keeps_machines_as_they_are(tmp_path: Path) -> None:
    async with handling(tmp_path, Kind.VM) as world:
        await desk_of(world).pause("effects", "an audit", UID)
        with pytest.raises(OperatorError, match=r"effects are paused \(an audit\)"):
            await done(world, "throttle")
        assert "cpuunits" not in world.guest().config
        await done(world, "metrics")

"""What was done by hand and not seen to end, or was cut off by a crash, is looked at."""

from pathlib import Path
from typing import Final

import pytest

from provisioner import faultpoints
from provisioner.errors import UnknownOutcome
from provisioner.model import Kind
from provisioner.simulator.faults import Fault, FaultName
from tests.support.handling import UID, WHY, done, handling, hands_of
from tests.support.office import desk_of
from tests.support.realm import FIRST, Crash, crash_at

KINDS: Final = pytest.mark.parametrize("kind", Kind)


async def test_a_command_whose_begin_was_not_heard_of_may_have_run(tmp_path: Path) -> None:
    async with handling(tmp_path, Kind.VM) as world:
        world.cluster.arm(Fault(FaultName.LOSE_REPLY, "POST", "/nodes/*/qemu/*/agent/exec"))
        ended = await (await hands_of(world)).run(("true",), 5, WHY, UID)
        assert (ended.code, ended.seen) == (124, False)


@KINDS
async def test_a_throttle_whose_end_was_not_seen_is_looked_at(tmp_path: Path, kind: Kind) -> None:
    async with handling(tmp_path, kind) as world:
        world.cluster.arm(Fault(FaultName.LOSE_REPLY, "PUT", "/nodes/*/*/*/config"))
        with pytest.raises(UnknownOutcome):
            await done(world, "throttle")
        await world.settle()
        assert str(world.guest().config["cpuunits"]) == "50"
        rows = await desk_of(world).operations(9)
        assert [each.outcome for each in rows if each.step == "throttle"] == ["lost"]
        assert await world.alarms() == {}


@pytest.mark.parametrize(("verb", "may"), [("throttle", "may be set"), ("console", "may be open")])
@KINDS
async def test_what_something_in_between_answered_is_told_as_what_may_have_happened(
    tmp_path: Path, kind: Kind, verb: str, may: str
) -> None:
    async with handling(tmp_path, kind) as world:
        call = "PUT", "/nodes/*/*/*/config"
        if verb == "console":
            call = "POST", "/nodes/*/*/*/vncproxy"
        world.cluster.arm(Fault(FaultName.HTML, *call, status=502, text="Bad Gateway"))
        with pytest.raises(UnknownOutcome, match=f"Bad Gateway; .* {may}, .*: ask again"):
            await done(world, verb)
        await world.settle()
        await done(world, verb)


@KINDS
@pytest.mark.parametrize(
    ("verb", "call"),
    [
        *(("metrics", "controls.usage"), ("throttle", "controls.throttle")),
        *(("console", "controls.console"), ("exec", "guest.run"), ("exec", "node.pct_exec")),
        *(("throttle", "commit.audit"), ("throttle", "commit.operation_begin")),
        ("throttle", "commit.operation_finish"),
    ],
)
@pytest.mark.parametrize("edge", ["before", "after"])
async def test_a_crash_on_the_way_leaves_a_machine_that_is_as_wanted(
    tmp_path: Path, kind: Kind, verb: str, call: str, edge: str
) -> None:
    if call == ("node.pct_exec" if kind is Kind.VM else "guest.run"):
        return
    async with handling(tmp_path, kind) as world:
        crash_at(f"{call}.{edge}")
        with pytest.raises(Crash):
            await done(world, verb)
        await world.restart()
        await world.settle()
        assert world.running() == [FIRST]
        assert await world.alarms() == {}
        assert await world.daemon.stores.operations.open_all() == []
        faultpoints.arm(None)
        await done(world, verb)

"""What is done inside a machine and seen of it, by hand: told as it is, whatever goes wrong."""

from dataclasses import replace
from typing import Final

import pytest

from provisioner.simulator.faults import Fault, FaultName
from provisioner.verbs.create import create
from provisioner.verbs.guest_exec import TIMED_OUT, guest_exec
from tests.support.cli import order, yard

LOOK: Final = ("GET", "*/agent/exec-status")
TROUBLES: Final = (
    Fault(FaultName.REFUSE, *LOOK, status=596, text="Broken pipe"),
    Fault(FaultName.REFUSE, *LOOK, text="QEMU guest agent is not running"),
    Fault(FaultName.REFUSE, *LOOK, text="Agent error: Invalid parameter 'pid'"),
    Fault(FaultName.REFUSE, *LOOK, status=400, text="Parameter verification failed."),
    Fault(FaultName.REFUSE, *LOOK, status=403, text="Permission check failed"),
    Fault(FaultName.LOSE_REPLY, *LOOK),
    Fault(FaultName.UNREACHABLE, *LOOK),
    Fault(FaultName.REFUSE, *LOOK, status=401, text="Authentication failed!"),
    Fault(FaultName.PROXY_DOWN, *LOOK, status=595, text="No route to host"),
    Fault(FaultName.PROXY_BROKEN, *LOOK, status=596, text="Broken pipe"),
    Fault(FaultName.DROP, *LOOK),
    Fault(FaultName.HTML, *LOOK),
)


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda each: f"{each.name}-{each.text}"[:30])
async def test_a_command_that_runs_is_never_told_as_one_that_could_not_be_begun(
    trouble: Fault,
) -> None:
    it = yard()
    await create(it.shop(), order())
    it.cluster.arm(trouble)
    ended = await guest_exec(it.shop(), "web", ["echo", "once"], 9)
    assert (ended.code, ended.output) == (0, b"once\n")
    assert it.cluster.state.faults.struck
    before = len(it.guest().processes)
    it.cluster.arm(replace(trouble, lasting=True))
    ended = await guest_exec(it.shop(), "web", ["echo", "once"], 9)
    assert ended.code == TIMED_OUT
    assert b"the last look failed" in ended.error
    assert len(it.guest().processes) == before + 1


async def test_the_limit_of_a_command_is_counted_by_the_clock() -> None:
    it = yard()
    await create(it.shop(), order())
    it.cluster.arm(Fault(FaultName.HANG, *LOOK, seconds=30.0, lasting=True))
    begun = it.cluster.now
    ended = await guest_exec(it.shop(), "web", ["sleep", "600"], 60)
    assert ended.code == TIMED_OUT
    assert it.cluster.now - begun < 60 + 2 * 35

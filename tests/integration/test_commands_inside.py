"""What is done inside a machine and seen of it, by hand: told as it is, whatever goes wrong."""

import json
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import pytest

from provisioner.backends.proxmox.api import Api, JsonValue, ParamValue
from provisioner.cli.main import VERBS
from provisioner.model import Kind
from provisioner.simulator.direct import DirectApi
from provisioner.simulator.faults import Fault, FaultName
from provisioner.verbs.create import create
from provisioner.verbs.guest_exec import TIMED_OUT, guest_exec
from provisioner.verbs.metrics import metrics
from provisioner.verbs.order import hardware
from provisioner.verbs.power import kill
from provisioner.verbs.snapshots import snapshots
from tests.support.cli import container_yard, order, yard

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


# ---------------------------------------------------------------------------------- what is seen


@pytest.mark.parametrize("lock", ["backup", "snapshot", "migrate", "rollback"])
@pytest.mark.parametrize("kind", Kind)
async def test_a_lock_keeps_nobody_from_looking(
    kind: Kind, lock: str, capsys: pytest.CaptureFixture[str]
) -> None:
    it = yard() if kind is Kind.VM else container_yard()
    made = await create(it.shop(), order(spec=hardware(1, 1024, 10, kind)))
    it.cluster.edit_guest(made.vmid, lock=lock)
    begun = it.cluster.now
    assert (await metrics(it.shop(), "web")).state == "running"
    assert await snapshots(it.shop(), "web") == []
    console = VERBS["console"].run
    assert console is not None
    assert await console(it.shop(), Namespace(name="web")) == 0
    assert json.loads(capsys.readouterr().out)["vmid"] == made.vmid
    assert it.cluster.now - begun < 5
    assert it.cluster.guest(made.vmid).lock == lock


@dataclass
class Telling:
    """An `Api` whose nodes tell more of a guest; `more` is given its age in seconds."""

    api: Api
    more: "Counters"

    async def call(
        self,
        method: str,
        path: str,
        params: Mapping[str, ParamValue] | None = None,
        *,
        slow: bool = False,
    ) -> JsonValue:
        data = await self.api.call(method, path, params, slow=slow)
        if path.endswith("/status/current") and isinstance(data, dict):
            return {**data, **self.more.at(int(str(data["uptime"])))}
        return data


@dataclass(frozen=True)
class Counters:
    """What a node tells besides: a number of each counter for each second, or something odd."""

    each_second: int = 0
    odd: JsonValue = None

    def at(self, age: int) -> dict[str, JsonValue]:
        if self.odd is not None:
            return {"blockstat": self.odd}
        count = age * self.each_second
        disk: dict[str, JsonValue] = {"rd_operations": count, "wr_operations": 2 * count}
        cdrom: dict[str, JsonValue] = {"rd_operations": 10, "wr_operations": 0}
        return {
            "blockstat": {"scsi0": disk, "ide2": cdrom},
            "diskread": 4096 * count,
            "diskwrite": 8192 * count,
        }


async def test_operations_are_those_of_all_disks_between_two_looks() -> None:
    it = yard()
    await create(it.shop(), order())
    told = await metrics(it.shop(api=Telling(DirectApi(it.cluster), Counters(50))), "web")
    assert (told.disk_read_iops, told.disk_write_iops) == (50, 100)
    assert (told.disk_read_bytes_sec, told.disk_write_bytes_sec) == (50 * 4096, 100 * 4096)


async def test_what_no_node_tells_is_not_known_and_a_machine_that_stands_still_does_nothing() -> (
    None
):
    it = yard()
    await create(it.shop(), order())
    told = await metrics(it.shop(), "web")
    assert (told.disk_read_iops, told.disk_write_bytes_sec, told.net_rx_bytes_sec) == (-1, -1, 0)
    await kill(it.shop(), "web")
    told = await metrics(it.shop(), "web")
    assert (told.disk_read_iops, told.disk_write_bytes_sec, told.net_rx_bytes_sec) == (0, 0, 0)


@pytest.mark.parametrize(
    "odd", ["text", [1], {}, {"scsi0": 7}, {"scsi0": {}}, {"scsi0": {"rd_operations": "x"}}]
)
async def test_counters_that_are_none_are_not_known(odd: JsonValue) -> None:
    it = yard()
    await create(it.shop(), order())
    told = await metrics(it.shop(api=Telling(DirectApi(it.cluster), Counters(odd=odd))), "web")
    assert (told.disk_read_iops, told.disk_write_iops) == (-1, -1)

"""Whether a machine that stands still was switched off by a call of ours that was given up.

A call without an answer may be carried out minutes later: meanwhile it was asked for again and
done, and the machine runs again. Then it is off, and nobody meant it. So where the log has such a
call from shortly before the last start, the node's task list is asked. If what changed the
machine's power last switched it off, by our own token and by no task that the log knows, the
machine is owed a start. Whom an order left off stays off. How it fails: whoever switches a machine
off by hand, with our token and within minutes of such a call, finds it started again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from provisioner.births import CLOCK_SKEW
from provisioner.boots import RUNS, STOPS
from provisioner.glimpses import stands_still
from provisioner.model import DesiredMachine, Observed, OpenOperation
from provisioner.oplog import STILL_DONE, OperationLog
from provisioner.ports import Hypervisor, TaskRow
from provisioner.taskwords import TASKS, succeeded
from provisioner.upids import user_of

#: Tasks after which a machine is off.
_OFF: Final = STOPS | set(TASKS["rollback"])


@dataclass(frozen=True, slots=True)
class Belated:
    """Judges machines that stand still; `token` is ours, None where that is not known."""

    hypervisor: Hypervisor
    log: OperationLog
    token: str | None

    async def look(self, want: DesiredMachine, seen: Observed) -> Observed:
        """Return what was seen, with what is owed to it. Raises what the hypervisor raises."""
        if not stands_still(want, seen) or seen.fallen or seen.rising or seen.node is None:
            return seen
        given_up = await self.log.given_up(want.key, want.nonce)
        if not given_up or await self.log.switched_off(want.key, want.nonce):
            return seen
        since = min(operation.started for operation in given_up) - CLOCK_SKEW
        rows = await self.hypervisor.tasks(seen.node, since, vmid=seen.vmid)
        last = _last(rows, seen.vmid)
        if last is None or self.token not in (None, user_of(last.upid)):
            return seen
        if not any(_may_be(last, each) for each in given_up) or await self.log.knows(last.upid):
            return seen
        why = f"a call of ours that was given up switched it off ({last.kind})"
        return replace(seen, fallen=why)


def _last(rows: Sequence[TaskRow], vmid: int | None) -> TaskRow | None:
    """Return what changed a machine's power last."""
    power = (row for row in rows if row.vmid == vmid and row.kind in RUNS | _OFF)
    return next((row for row in power if succeeded(row.status)), None)


def _may_be(row: TaskRow, given_up: OpenOperation) -> bool:
    """Say whether a task may be what a call came to that was given up."""
    late = row.started - given_up.started
    in_time = -CLOCK_SKEW <= late <= STILL_DONE + CLOCK_SKEW
    return in_time and row.kind in _OFF.intersection(TASKS[given_up.step])

"""How tasks ended, asked for once: what the poller saw is what the passes read.

An ended task stays as it ended, so its state may be remembered; a running one is always asked
again. One look a tick serves every machine that waits.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from provisioner.ports import Hypervisor, TaskState

_KEPT: Final = 4096


class TaskBoard:
    """The tasks that this process has seen end, the last few thousand of them."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor
        self._ended: OrderedDict[str, TaskState] = OrderedDict()

    async def state(self, upid: str) -> TaskState:
        """Return where a task stands, asking only if it was not seen to end."""
        known = self._ended.get(upid)
        if known is not None:
            return known
        return self._noted(upid, await self._hypervisor.task(upid))

    async def look(self, upids: Iterable[str]) -> frozenset[str]:
        """Look at tasks of one node in one call; returns those that have ended."""
        open_ones = [upid for upid in upids if upid not in self._ended]
        states = await self._hypervisor.task_states(open_ones) if open_ones else {}
        return frozenset(
            upid for upid, state in states.items() if not self._noted(upid, state).running
        )

    def _noted(self, upid: str, state: TaskState) -> TaskState:
        if not state.running:
            self._ended[upid] = state
            while len(self._ended) > _KEPT:
                self._ended.popitem(last=False)
        return state

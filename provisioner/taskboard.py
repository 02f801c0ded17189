"""How tasks ended, asked for once: what the poller saw is what the passes read.

An ended task stays as it ended, so its state may be remembered; that one runs is believed for a
tick, for the poller looks again by then and wakes whoever waits. One look a tick serves every
machine, however often its lease is passed meanwhile.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from provisioner.ports import Hypervisor, TaskState

_KEPT: Final = 4096


class TaskBoard:
    """The tasks that this process has seen end, the last few thousand of them.

    `monotonic` and `tick` in seconds.
    """

    def __init__(self, hypervisor: Hypervisor, monotonic: Callable[[], float], tick: float) -> None:
        self._hypervisor = hypervisor
        self._monotonic = monotonic
        self._tick = tick
        self._ended: OrderedDict[str, TaskState] = OrderedDict()
        self._running: dict[str, float] = {}

    async def state(self, upid: str) -> TaskState:
        """Return where a task stands, asking only if it was neither seen to end nor just now."""
        known = self._ended.get(upid)
        if known is not None:
            return known
        seen_at = self._running.get(upid)
        if seen_at is not None and self._monotonic() - seen_at < self._tick:
            return TaskState(running=True)
        return self._noted(upid, await self._hypervisor.task(upid))

    async def look(self, upids: Iterable[str]) -> frozenset[str]:
        """Look at tasks of one node in one call; returns those that have ended."""
        open_ones = [upid for upid in upids if upid not in self._ended]
        states = await self._hypervisor.task_states(open_ones) if open_ones else {}
        return frozenset(
            upid for upid, state in states.items() if not self._noted(upid, state).running
        )

    def _noted(self, upid: str, state: TaskState) -> TaskState:
        if state.running:
            self._running[upid] = self._monotonic()
        else:
            self._running.pop(upid, None)
            self._ended[upid] = state
            while len(self._ended) > _KEPT:
                self._ended.popitem(last=False)
        return state

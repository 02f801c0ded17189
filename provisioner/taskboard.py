"""How tasks ended, asked for once: what the poller saw is what the passes read.

A task of which nothing is known counts as running: the poller looks at every open one each tick,
and wakes whoever waits when it has ended. So no pass asks for a task itself, and one look a tick
serves every machine, however often its lease is passed meanwhile.
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

    def state(self, upid: str) -> TaskState:
        """Return where a task stood at the last look; asks nobody."""
        return self._ended.get(upid, TaskState(running=True))

    async def look(self, upids: Iterable[str]) -> frozenset[str]:
        """Look at tasks of one node in one call; returns those that have ended since."""
        open_ones = [upid for upid in upids if upid not in self._ended]
        states = await self._hypervisor.task_states(open_ones) if open_ones else {}
        ended = {upid: state for upid, state in states.items() if not state.running}
        self._ended.update(ended)
        while len(self._ended) > _KEPT:
            self._ended.popitem(last=False)
        return frozenset(ended)

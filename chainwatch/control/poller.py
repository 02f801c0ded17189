"""Watches the tasks of open operations, and wakes the leases that wait for them.

One call a node and look, however many tasks run there; when a look is worth its call says the task
board. A node that is away is not asked. It decides nothing: what a task's end means is for the
woken pass to observe.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from chainwatch.control.breaker import Breaker
from chainwatch.control.nodes import NodeWatch
from chainwatch.runtime.clock import Clock
from chainwatch.store.operations import Operations
from chainwatch.store.workqueue import WorkQueue
from provisioner.errors import HypervisorDown, NodeDown, ProvisionError
from provisioner.taskboard import TaskBoard
from provisioner.upids import node_of

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TaskPoller:
    """Polls as often as the board says, at least every `tick` seconds; `news` has it look anew.

    `news` is set by whoever has begun a task.
    """

    operations: Operations
    board: TaskBoard
    work: WorkQueue
    clock: Clock
    nodes: NodeWatch
    breaker: Breaker
    tick: float
    wake: Callable[[], None]
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Poll for ever."""
        for tasks in (await self._open()).values():
            self.board.inherit(tasks)
        while True:
            self.news.clear()
            await self._rest(await self.poll())

    async def poll(self) -> float:
        """Look at what is due; returns in how many seconds to come again.

        A node that does not answer is looked at again next time.
        """
        waiting = await self._open()
        answering = sorted(waiting.keys() - self.nodes.down.keys())
        due = [node for node in answering if self.board.due_in(waiting[node]) <= 0]
        await asyncio.gather(*(self._look(node, waiting[node]) for node in due))
        return min((self.board.due_in(waiting[node]) for node in answering), default=self.tick)

    async def _open(self) -> Mapping[str, Mapping[str, str]]:
        """Return the tasks of open operations, node → UPID → lease."""
        waiting: dict[str, dict[str, str]] = defaultdict(dict)
        for key, operation in await self.operations.open_all():
            if operation.upid is not None:
                waiting[node_of(operation.upid)][operation.upid] = key
        return waiting

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.news.wait()
        except TimeoutError:
            pass

    async def _look(self, node: str, tasks: Mapping[str, str]) -> None:
        """Look at tasks of one node, UPID → lease, all at once with those of the others."""
        try:
            ended = await self.board.look(tasks)
        except NodeDown as error:
            await self.nodes.tell(error)
            return
        except HypervisorDown as error:  # no pass might tell: they wait for what ends here
            await self.breaker.trip(error)
            return
        except ProvisionError as error:
            log.info("tasks were not seen", node=node, error=str(error))
            return
        if ended:
            await self.work.enqueue({tasks[upid] for upid in ended}, "its task ended")
            self.wake()

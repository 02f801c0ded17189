"""Watches the tasks of open operations, and wakes the leases that wait for them.

One call a node and tick, however many tasks run there; a node that is away is not asked. It
decides nothing: what a task's end means is for the woken pass to observe.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

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
    """Polls every `tick` seconds while anything is open."""

    operations: Operations
    board: TaskBoard
    work: WorkQueue
    clock: Clock
    nodes: NodeWatch
    breaker: Breaker
    tick: float
    wake: Callable[[], None]

    async def run(self) -> None:
        """Poll for ever."""
        while True:
            await self.poll()
            await self.clock.sleep(self.tick)

    async def poll(self) -> None:
        """Look once; a node that does not answer is looked at again next time."""
        waiting: dict[str, dict[str, str]] = defaultdict(dict)
        for key, operation in await self.operations.open_all():
            if operation.upid is not None:
                waiting[node_of(operation.upid)][operation.upid] = key
        answering = sorted(waiting.keys() - self.nodes.down.keys())
        await asyncio.gather(*(self._look(node, waiting[node]) for node in answering))

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

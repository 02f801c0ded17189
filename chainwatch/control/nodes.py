"""Nodes that do not answer: one alarm for each, however many leases wait for it.

That a node is away is seen in the shared snapshot, or told by whoever called it in vain; that it is
back, by a snapshot and a call of our own. Leases with a machine there wait meanwhile and are blamed
for nothing; all others go on. Nothing is made again elsewhere: what stood on the node still does.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from chainwatch.runtime.clock import Clock
from chainwatch.store.alarms import Alarms
from provisioner.errors import NodeDown, ProvisionError
from provisioner.ports import Hypervisor, Snapshots

log = structlog.get_logger(__name__)

#: Seconds between two looks at the nodes.
LOOK_EVERY: Final = 15.0
#: How old a snapshot (in seconds) serves for that: others ask for some too.
FRESH: Final = 10.0
ALARM: Final = "node-down"


@dataclass(slots=True)
class NodeWatch:
    """`down` are the nodes that are away, with the reason; `back` hears of each that returns."""

    hypervisor: Hypervisor
    snapshots: Snapshots
    alarms: Alarms
    clock: Clock
    back: Callable[[str], None]
    down: dict[str, str] = field(default_factory=dict)

    async def run(self) -> None:
        """Look for ever."""
        for alarm in await self.alarms.all():
            if alarm.name == ALARM:
                self.down.setdefault(alarm.subject, alarm.text)
        while True:
            await self.look()
            await self.clock.sleep(LOOK_EVERY)

    async def look(self) -> None:
        """See which nodes are away, and which are back; a cluster that is down shows nothing."""
        try:
            snapshot = await self.snapshots.get(max_age=FRESH)
        except ProvisionError:
            return
        for node in snapshot.members.values():
            if not node.online:
                await self.tell(NodeDown(node.name, "offline"))
        used = snapshot.members.keys() | {guest.node for guest in snapshot.guests.values()}
        for name in list(self.down):
            if name not in used or (name in snapshot.nodes and await self._answers(name)):
                log.info("node is back", node=name)
                del self.down[name]
                self.back(name)
                await self.alarms.clear(ALARM, name)

    async def tell(self, error: NodeDown) -> None:
        """Take note that a node was found away."""
        if error.node in self.down:
            return
        log.error("node down", node=error.node, error=str(error))
        self.down[error.node] = str(error)
        await self.alarms.raise_(ALARM, error.node, "critical", str(error), self.clock.now())

    async def _answers(self, node: str) -> bool:
        try:
            await self.hypervisor.tasks(node, self.clock.now())
        except ProvisionError:
            return False
        return True

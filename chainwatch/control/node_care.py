"""What is kept right on the nodes themselves, over SSH: routes, isolated ports, snippets.

None of it is part of a machine's configuration, and a node forgets it: routes when it boots, the
isolation of a port when the guest starts; and a snippet does not come along when its machine is
moved. So each is looked at every few seconds and put back where it is missing, for the machines
that our log knows and that stand on the node now. How it fails: one alarm for a node, and the next
look tries again.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from chainwatch.control.nodes import NodeWatch
from chainwatch.control.routing import Routing
from chainwatch.control.snippet_care import SnippetCare
from chainwatch.runtime.clock import Clock
from chainwatch.store.alarms import Alarms
from chainwatch.store.operations import Operations
from provisioner.allocate import Pool
from provisioner.errors import AgentSilent, ProvisionError
from provisioner.ports import ClusterSnapshot, NodeShell, Snapshots

log = structlog.get_logger(__name__)

#: Seconds between two looks.
LOOK_EVERY: Final = 15.0
ALARM: Final = "node-ssh"


@dataclass(frozen=True, slots=True)
class Duties:
    """What is to be kept right on which nodes, besides routes and snippets."""

    nodes: tuple[str, ...]
    isolate: bool


@dataclass(frozen=True, slots=True)
class NodeCare:
    """Takes care of the nodes that the configuration names."""

    shell: NodeShell
    snapshots: Snapshots
    operations: Operations
    alarms: Alarms
    watch: NodeWatch
    clock: Clock
    pool: Pool
    duties: Duties
    routing: Routing
    snippets: SnippetCare

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.look()
            await self.clock.sleep(LOOK_EVERY)

    async def look(self) -> None:
        """Look at every node that is there; a cluster that is down shows nothing."""
        try:
            snapshot = await self.snapshots.get()
        except ProvisionError:
            return
        for node in self.duties.nodes:
            if node in snapshot.nodes and node not in self.watch.down:
                await self._tend(node, snapshot)

    async def _tend(self, node: str, snapshot: ClusterSnapshot) -> None:
        try:
            ours = await self._standing_on(node, snapshot)
            await self._isolate(node, ours)
            try:
                await self.snippets.look(node, ours, snapshot)
            finally:
                await self._route(node, ours)
        except ProvisionError as error:
            log.warning("node not tended", node=node, error=str(error))
            await self.alarms.raise_(ALARM, node, "warning", str(error), self.clock.now())
        else:
            await self.alarms.clear(ALARM, node)

    async def _standing_on(self, node: str, snapshot: ClusterSnapshot) -> Sequence[int]:
        """Return the VMIDs of our machines on `node`."""
        reserved = await self.operations.reserved()
        guests = (row for row in snapshot.guests.values() if row.node == node and not row.template)
        return sorted(g.vmid for g in guests if g.vmid in self.pool and g.vmid in reserved)

    async def _isolate(self, node: str, ours: Collection[int]) -> None:
        if not (self.duties.isolate and ours):
            return
        isolated = await self.shell.isolated(node)
        for vmid in (vmid for vmid in ours if isolated.get(vmid) is False):
            try:
                await self.shell.isolate(node, vmid)
            except AgentSilent:
                continue  # it was shut down meanwhile
            log.info("ports isolated", vmid=vmid, node=node)

    async def _route(self, node: str, ours: Collection[int]) -> None:
        """Put routes back; an interface that takes none keeps nobody on another one waiting."""
        if not (self.routing.wanted and ours):
            return
        there, failed = await self.shell.routes(node), dict[str, ProvisionError]()
        for vmid, (address, to) in (await self.routing.routes(ours)).items():
            if there.get(address) == to or to in failed:
                continue
            try:
                await self.shell.route(node, address, to)
            except ProvisionError as error:
                failed[to] = error
            else:
                log.info("route put back", vmid=vmid, node=node, address=address, to=to)
        first = next(iter(failed.values()), None)
        if first is not None:
            raise first

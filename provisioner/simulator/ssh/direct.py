"""The in-process way to the simulated nodes: a command line, answered on virtual time.

What `provisioner.guest.connection` would raise is raised here, for the same reasons: a connection
that is refused has done nothing, one that is cut may have done everything.
"""

from collections.abc import Awaitable, Callable

from provisioner.errors import Permanent, Transient, UnknownOutcome
from provisioner.guest.ended import Ended
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.faults import FaultName
from provisioner.simulator.ssh.verbs import noted, serve
from provisioner.simulator.wire import Refused


class DirectWays:
    """See `provisioner.guest.node.Ways`; `sleep` lets the caller's own clock pass meanwhile."""

    def __init__(
        self, cluster: Cluster, *, sleep: Callable[[float], Awaitable[None]] | None = None
    ) -> None:
        self._cluster, self._sleep = cluster, sleep

    async def run(self, node: str, command: str, content: bytes, patience: float) -> Ended:
        """Run a command line, letting time pass for as long as it takes."""
        state = self._cluster.state
        self._enter(node)
        ends: list[Ended | None] = []

        def ended(value: Ended | None, _: Refused | None) -> None:
            ends.append(value)

        state.timeline.spawn(serve(state, node, command, content), ended)
        end = self._cluster.now + patience
        while not ends and self._cluster.now < end:
            due = state.timeline.next_due()
            until = end if due is None else min(due, end)
            if self._sleep is not None:
                await self._sleep(until - self._cluster.now)
            self._cluster.advance_to(until)
        if not ends:
            raise UnknownOutcome(f"node {node}: no end within {patience:g} s")
        if ends[0] is None:
            raise UnknownOutcome(f"node {node}: the connection was lost")
        return ends[0]

    def _enter(self, node: str) -> None:
        state = self._cluster.state
        if node not in state.nodes:
            raise Permanent(f"node {node} has no line in nodes_ssh.known_hosts")
        fault = state.faults.match("SSH", noted(state, node, "login"))
        if fault is not None and fault.name is FaultName.UNAUTHORIZED:
            raise Transient(
                f"node {node} refuses our key: put the line that `chainwatch node authorize` "
                "prints into its authorized_keys"
            )
        if fault is not None or not state.nodes[node].online:
            raise Transient(f"node {node} cannot be reached: is the node up, and its SSH server?")

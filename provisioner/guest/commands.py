"""Commands in a container, from its node: the other `GuestCommands`.

A container has no agent that would tell of it, so what only one could say is not known here, and
that is said at once instead of waited for.
"""

from collections.abc import Sequence

from provisioner.controls import Inside
from provisioner.errors import AgentSilent
from provisioner.ports import Finished, NodeShell


class PctCommands:
    """See `provisioner.controls.GuestCommands`."""

    def __init__(self, nodes: NodeShell) -> None:
        self._nodes = nodes

    async def run(self, node: str, vmid: int, words: Sequence[str], limit: int) -> Finished:
        """Run a command in the container, as its root."""
        return await self._nodes.pct_exec(node, vmid, words, limit=limit)

    async def inside(self, node: str, vmid: int) -> Inside:
        """Raise AgentSilent: nobody in a container is there to ask."""
        raise AgentSilent(f"node {node}: container {vmid} has no agent")

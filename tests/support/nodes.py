"""Nodes to test against: the simulated helper in process, over SSH, and the genuine one."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import asyncssh

from provisioner.guest.connection import Connections
from provisioner.guest.container import PctShell
from provisioner.guest.doors import Login, doors, public_half
from provisioner.guest.node import HelperShell
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.faults import Fault
from provisioner.simulator.settings import Settings
from provisioner.simulator.ssh.direct import DirectWays
from provisioner.simulator.ssh.server import SshFront
from provisioner.simulator.ssh.system import HelperRules, NodeSystem
from tests.support.openssh import OpenSsh, openssh

NODE: Final = "pve"
RULES: Final = HelperRules(20000, 20199, "2001:db8::/64", ("vmbr0", "vmbr1"))


@dataclass(slots=True)
class NodeWorld:
    """A node as one way shows it: a shell, and what is needed to judge."""

    shell: HelperShell
    start_container: Callable[[int], None]
    snippets: Callable[[], dict[str, bytes]]

    @property
    def guest(self) -> PctShell:
        return PctShell(self.shell)


@dataclass(slots=True)
class Simulated:
    """A simulated cluster of one node, to be reached in process or over SSH."""

    cluster: Cluster = field(default_factory=lambda: Cluster(Settings(nodes=(NODE,))))

    def __post_init__(self) -> None:
        self.cluster.state.systems[NODE] = NodeSystem(RULES)

    def arm(self, fault: Fault) -> None:
        self.cluster.arm(fault)

    def start_container(self, vmid: int) -> None:
        self.cluster.add_container(vmid, running=True)

    def snippets(self) -> dict[str, bytes]:
        return dict(self.cluster.state.systems[NODE].snippets)

    def world(self, shell: HelperShell) -> NodeWorld:
        return NodeWorld(shell, self.start_container, self.snippets)


def direct_node(simulated: Simulated) -> NodeWorld:
    """Return a simulated node in process, on virtual time."""
    return simulated.world(HelperShell(DirectWays(simulated.cluster)))


@dataclass(slots=True)
class Fronted:
    """A simulated node behind a real SSH server, and how we got in."""

    front: SshFront
    ways: Connections
    world: NodeWorld


@asynccontextmanager
async def fronted(simulated: Simulated) -> AsyncIterator[Fronted]:
    """Serve a simulated node over SSH."""
    key = asyncssh.generate_private_key("ssh-ed25519").export_private_key()
    async with SshFront(simulated.cluster, [public_half(key)]) as front:
        ways = Connections(Login("root", key, doors(front.known_hosts(), 22)))
        try:
            yield Fronted(front, ways, simulated.world(HelperShell(ways)))
        finally:
            ways.close()


@asynccontextmanager
async def genuine(folder: Path) -> AsyncIterator[tuple[OpenSsh, NodeWorld]]:
    """Serve the genuine helper behind OpenSSH."""
    async with openssh(folder) as node:
        ways = Connections(node.login())

        def snippets() -> dict[str, bytes]:
            found = sorted(node.snippets.iterdir()) if node.snippets.exists() else []
            return {path.name: path.read_bytes() for path in found}

        try:
            yield node, NodeWorld(HelperShell(ways), node.start_container, snippets)
        finally:
            ways.close()

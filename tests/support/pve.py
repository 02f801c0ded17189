"""A Proxmox VE to test against: the simulated cluster, called in process on virtual time.

`World` is what a suite needs of any transport: a hypervisor and a guest shell to call, a way to let
time pass, and the cluster itself, to misbehave with and to judge by.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from provisioner.backends.proxmox.agent import AgentShell
from provisioner.backends.proxmox.api import Api
from provisioner.backends.proxmox.hypervisor import ProxmoxHypervisor
from provisioner.backends.proxmox.settings import ProxmoxSettings
from provisioner.model import GuestConfig, GuestSettings
from provisioner.ports import TaskState
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.direct import DirectApi
from provisioner.simulator.settings import Settings

R = TypeVar("R")

NODE: Final = "pve"
TEMPLATE: Final = 9000
VMID: Final = 10000
ALICE: Final = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILXVTDnmZnHJcxufRx5YXYJizU9Ulj8Mkwgtjc8zTUx4 alice@x"
)
BOB: Final = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUfGc4XyMUNk9i3QpmMwTB1IQ0cNOdpMhDXjQFvP1WA bob@y"
)

#: Settings that a machine of ours may be wanted to have, every field of them set.
WANTED: Final = GuestSettings(
    name="lease-42",
    cores=2,
    memory_mib=2048,
    bridge="vmbr0",
    mac="02:C4:A1:00:00:05",
    ipconfig="ip=203.0.113.15/24,gw=203.0.113.1,ip6=2001:db8::15/64,gw6=2001:db8::1",
    nameserver="192.0.2.53 192.0.2.54",
    user="debian",
    ssh_keys=ALICE,
    uuid="5a0f6d3e-8d6c-5a7e-9f35-2b1c3d4e5f60",
    tags=frozenset({"chainwatch", "lease"}),
    onboot=True,
    protection=False,
    link_up=True,
    agent=True,
)


@dataclass(slots=True)
class World:
    """A cluster with one template, as one transport shows it."""

    api: Api
    hypervisor: ProxmoxHypervisor
    shell: AgentShell
    see: Callable[[Callable[[Cluster], R]], R]

    def advance(self, seconds: float) -> None:
        """Let `seconds` of the cluster's time pass."""
        self.see(lambda cluster: cluster.advance(seconds))

    async def done(self, upid: str | None) -> TaskState:
        """Let time pass until no task runs, and read how this one ended."""
        assert upid is not None
        self.see(lambda cluster: cluster.settle())
        state = await self.hypervisor.task(upid)
        assert not state.running
        return state

    async def config(self, vmid: int = VMID) -> GuestConfig:
        """Read the configuration of a guest that exists."""
        config = await self.hypervisor.config(NODE, vmid)
        assert config is not None
        return config

    async def cloned(self, vmid: int = VMID, description: str = "made by a test") -> GuestConfig:
        """Clone the template and wait for the end."""
        upid = await self.hypervisor.clone(NODE, TEMPLATE, vmid, f"lease-{vmid}", description)
        assert (await self.done(upid)).error is None
        return await self.config(vmid)

    async def running(self, settings: GuestSettings = WANTED) -> None:
        """Clone, configure and start a machine, and let it boot."""
        clone = await self.cloned()
        await self.hypervisor.configure(NODE, VMID, settings, "ours", clone.digest)
        assert (await self.done(await self.hypervisor.start(NODE, VMID))).error is None
        self.advance(60)


def direct_world(settings: ProxmoxSettings | None = None, token: str | None = None) -> World:
    """Return a world on virtual time, without sockets."""
    cluster = Cluster(Settings(nodes=(NODE,)))
    cluster.add_template(TEMPLATE)
    return world_over(DirectApi(cluster, token), lambda work: work(cluster), settings)


def world_over(
    api: Api,
    see: Callable[[Callable[[Cluster], R]], R],
    settings: ProxmoxSettings | None = None,
) -> World:
    """Return the world that `api` shows."""

    async def pause(seconds: float) -> None:
        see(lambda cluster: cluster.advance(seconds))

    hypervisor = ProxmoxHypervisor(
        api,
        settings or ProxmoxSettings(template=TEMPLATE),
        lambda: see(lambda cluster: cluster.now),
    )
    return World(api, hypervisor, AgentShell(api, pause), see)


def stopped_for(settings: GuestSettings) -> GuestSettings:
    """Return `settings` as a suspended machine has them."""
    return replace(settings, onboot=False, link_up=False)

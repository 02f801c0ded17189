"""A realm whose daemon reaches its nodes over SSH, and what is on them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from chainwatch.config import Config, NodesConfig
from chainwatch.credentials import Secret
from provisioner.allocate import AddressRange
from provisioner.simulator.ssh.system import NodeSystem
from tests.support.realm import Realm

NODE: Final = "pve"
NODES: Final = NodesConfig("root", 22, Secret(b"not used here"), (f"{NODE} 192.0.2.11 t k",))


def reaching(
    template: str | None = None, *, isolate: bool = False, routes: bool = False
) -> Callable[[Config], Config]:
    """Return the change that lets a configuration reach its nodes."""

    def adjust(config: Config) -> Config:
        six = AddressRange("2001:db8::10/64", "2001:db8::1") if routes else None
        machines = replace(
            config.machines,
            pool=replace(config.machines.pool, ipv6=six),
            cloud_init=template,
            host_routes=routes,
        )
        return replace(config, machines=machines, nodes=replace(NODES, isolate=isolate))

    return adjust


def system(world: Realm) -> NodeSystem:
    return world.cluster.state.systems.setdefault(NODE, NodeSystem())


async def tended(world: Realm) -> None:
    """Have the nodes looked at, by a snapshot of now."""
    care = world.daemon.supervisor.care
    assert care is not None
    world.cluster.advance(10)
    await care.look()

"""The command line's workshop over a simulated cluster on virtual time."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from provisioner import faultpoints
from provisioner.allocate import AddressRange, Pool
from provisioner.backends.proxmox.api import Api, JsonValue, ParamValue
from provisioner.backends.proxmox.settings import ProxmoxEndpoint, ProxmoxSettings
from provisioner.configuration import Configuration
from provisioner.guest.doors import Door, Login
from provisioner.guest.node import HelperShell
from provisioner.identity import Signer
from provisioner.placement import Limits
from provisioner.ports import NodeShell
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.direct import DirectApi
from provisioner.simulator.guests import Guest
from provisioner.simulator.settings import Settings
from provisioner.simulator.ssh.direct import DirectWays
from provisioner.simulator.ssh.system import HelperRules, NodeSystem
from provisioner.site import Site
from provisioner.verbs.order import Order, hardware
from provisioner.workshop import Workshop
from tests.support.realm import Crash

TEMPLATE: Final = 9000
FIRST: Final = 30000
LAST: Final = 30019
TOKEN: Final = "root@pam!sim"
WALLET: Final = "0x" + "aB" * 20
OTHER: Final = "0x" + "c0" * 20
DAY: Final = 86_400
SECRET: Final = b"s" * 32


class VirtualClock:
    """A command's clock, which is the cluster's: waiting lets the cluster go on."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def now(self) -> int:
        return int(self._cluster.now)

    def monotonic(self) -> float:
        return self._cluster.now

    async def sleep(self, seconds: float) -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        self._cluster.advance(seconds)


class Turns:
    """An `Api` that lets everybody else have a turn before and after each call."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def call(
        self,
        method: str,
        path: str,
        params: Mapping[str, ParamValue] | None = None,
        *,
        slow: bool = False,
    ) -> JsonValue:
        await asyncio.sleep(0)
        data = await self._api.call(method, path, params, slow=slow)
        await asyncio.sleep(0)
        return data


def configuration(installation: str = "test-1", first: int = FIRST) -> Configuration:
    """Return the settings of a small installation."""
    addresses = AddressRange("203.0.113.10/24", "203.0.113.1")
    return Configuration(
        endpoint=ProxmoxEndpoint("127.0.0.1", 8006, TOKEN, "not used"),
        proxmox=ProxmoxSettings((TEMPLATE,)),
        limits=Limits(storage_overcommit=2.0),
        site=Site(
            signer=Signer(installation, SECRET),
            pool=Pool(first, first + LAST - FIRST, "02:00:00", addresses),
            bridge="vmbr0",
            nameserver="192.0.2.53",
            user="admin",
            tags=frozenset({"chainwatch"}),
            shutdown_timeout=60,
            answer_timeout=300,
        ),
        quarantine=3600,
        grace_days=7,
        unfinished_after=3600,
        result_prefix="",
    )


def order(name: str = "web", owner: str = WALLET, **more: object) -> Order:
    """Return an order of a small machine."""
    return Order(**{"name": name, "owner": owner, "spec": hardware(1, 1024, 10), **more})  # type: ignore[arg-type]  # a test names the fields of Order


@dataclass
class Yard:
    """A cluster, and commands that come and go there; `said` is what they told."""

    cluster: Cluster
    settings: Configuration = field(default_factory=configuration)
    said: list[str] = field(default_factory=list)
    nodes: NodeShell | None = None

    def shop(self, seconds: float = 900, api: Api | None = None) -> Workshop:
        """Return the workshop of one command."""
        clock = VirtualClock(self.cluster)
        turns = Turns(api or DirectApi(self.cluster))
        return Workshop(self.settings, turns, clock, self.said.append, seconds, self.nodes)

    def guests(self) -> dict[int, Guest]:
        """Return the guests that our token made."""
        made = self.cluster.inventory().created_by(TOKEN)
        return {vmid: self.cluster.guest(vmid) for vmid in made}

    def guest(self) -> Guest:
        """Return the only machine there is."""
        (guest,) = self.guests().values()
        return guest

    def leaks(self) -> list[str]:
        """Return volumes and firewalls that belong to no guest, and snippets that none reads."""
        there = self.cluster.inventory()
        firewalls = (f"firewall of {vmid}" for vmid in there.leaked_firewalls())
        return [*there.leaked_volumes(), *firewalls, *there.leaked_snippets()]


def yard(nodes: tuple[str, ...] = ("pve",)) -> Yard:
    """Return a cluster with one template."""
    cluster = Cluster(Settings(nodes=nodes))
    cluster.add_template(TEMPLATE)
    return Yard(cluster)


def container_yard(nodes: tuple[str, ...] = ("pve",), *, over_ssh: bool = True) -> Yard:
    """Return a cluster where containers can be made, and reached from their nodes."""
    it = yard(nodes)
    it.cluster.add_storage("thin", "lvmthin")
    archive = it.cluster.add_os_template()
    it.settings = replace(
        it.settings,
        proxmox=replace(it.settings.proxmox, os_template=archive, container_storage="thin"),
    )
    if over_ssh:
        reach(it, nodes)
    return it


def reached_yard(
    nodes: tuple[str, ...] = ("pve",), *, reached: tuple[str, ...] | None = None
) -> Yard:
    """Return a cluster some of whose nodes (all of them, by default) are reached over SSH.

    A template stands on each.
    """
    it = yard(nodes)
    for place, node in enumerate(nodes[1:], 1):
        it.cluster.add_template(TEMPLATE + place, node=node)
    templates = tuple(range(TEMPLATE, TEMPLATE + len(nodes)))
    it.settings = replace(it.settings, proxmox=ProxmoxSettings(templates))
    reach(it, nodes if reached is None else reached)
    return it


def reach(it: Yard, nodes: tuple[str, ...]) -> None:
    """Have nodes be reached over SSH."""
    rules = HelperRules(FIRST, LAST, "2001:db8::/64", ("vmbr0",))
    for node in nodes:
        it.cluster.state.systems[node] = NodeSystem(rules)
    it.nodes = HelperShell(DirectWays(it.cluster))
    doors = {node: Door(node, "192.0.2.1", 22, ()) for node in nodes}
    it.settings = replace(it.settings, nodes=Login("root", b"", doors))


def crashing(point: str, nth: int = 1) -> Callable[[str], None]:
    """Return a handler that dies at `point`, the n-th time."""
    left = nth

    def handler(reached: str) -> None:
        nonlocal left
        if reached == point:
            left -= 1
            if left == 0:
                faultpoints.arm(None)
                raise Crash(point)

    return handler

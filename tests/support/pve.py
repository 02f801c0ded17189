"""A Proxmox VE to test against: the simulated cluster, in process or behind HTTPS.

`World` is what a suite needs of any cluster: a hypervisor and a guest shell to call, hands that
misbehave and let time pass, and of a simulated one the cluster itself, to judge by. The HTTPS front
runs in a thread of the test's own process, so that `see` reaches the cluster either way.
"""

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeVar

from aiohttp import web

from provisioner.backends.proxmox.agent import AgentShell
from provisioner.backends.proxmox.api import Api, JsonValue
from provisioner.backends.proxmox.client import ProxmoxerApi
from provisioner.backends.proxmox.hypervisor import ProxmoxHypervisor
from provisioner.backends.proxmox.settings import ProxmoxEndpoint, ProxmoxSettings
from provisioner.isolation import isolation
from provisioner.model import GuestConfig, GuestSettings
from provisioner.ports import TaskState
from provisioner.simulator.certificate import write_certificate
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.direct import DirectApi
from provisioner.simulator.faults import Fault
from provisioner.simulator.front import Front
from provisioner.simulator.settings import Durations, Settings
from provisioner.terms import CLOSED, LINKED, Cloning
from tests.support.hands import Hands, See, SimulatedHands

R = TypeVar("R")

#: The token that a cluster gives by default, and how fast time goes behind the front.
TOKEN: Final = "root@pam!sim"
SPEED: Final = 10.0

#: The certificates that tests make are valid for ten years from here (January 2025).
NOW: Final = 1_735_689_600.0

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

#: The firewall of such a machine, and another one that it may get later.
FIREWALL: Final = isolation(
    ("203.0.113.15/24", "2001:db8::15/64"),
    ("203.0.113.10-203.0.113.209", "2001:db8::10-2001:db8::d7"),
    CLOSED,
)
FIREWALLS: Final = (
    FIREWALL,
    isolation(("203.0.113.16/24",), ("203.0.113.10-203.0.113.209",), smtp=True),
    FIREWALL,
)


@dataclass(slots=True)
class World:
    """A cluster with one template, as one transport shows it; `token` is who calls."""

    api: Api
    hypervisor: ProxmoxHypervisor
    shell: AgentShell
    see: See
    hands: Hands
    token: str = TOKEN
    cloning: Cloning = LINKED

    def advance(self, seconds: float) -> None:
        """Let `seconds` of the cluster's time pass."""
        self.hands.advance(seconds)

    def arm(self, *faults: Fault) -> None:
        """Have something go wrong, and nothing else that was armed before."""
        self.hands.arm(*faults)

    def calls(self) -> int:
        """Count the API calls so far."""
        return self.hands.calls()

    async def shown(self, vmid: int = VMID) -> dict[str, JsonValue]:
        """Read a guest's configuration as Proxmox shows it, without its digest."""
        data = await self.api.call("GET", f"/nodes/{NODE}/qemu/{vmid}/config")
        assert isinstance(data, dict)
        return {key: value for key, value in data.items() if key != "digest"}

    async def rows(self, path: str) -> list[JsonValue]:
        """Read a list."""
        data = await self.api.call("GET", path)
        assert isinstance(data, list)
        return data

    async def done(self, upid: str | None) -> TaskState:
        """Let time pass until no task runs, and read how this one ended."""
        assert upid is not None
        self.hands.settle()
        state = await self.task(upid)
        assert not state.running
        return state

    async def task(self, upid: str) -> TaskState:
        """Read where one task stands."""
        return (await self.hypervisor.task_states([upid]))[upid]

    async def ok(self, upid: str | None) -> None:
        """Let time pass until no task runs, and expect that this one did what it should."""
        error = (await self.done(upid)).error
        assert error is None, f"the task failed: {error}"

    async def config(self, vmid: int = VMID) -> GuestConfig:
        """Read the configuration of a guest that exists."""
        config = await self.hypervisor.config(NODE, vmid)
        assert config is not None
        return config

    async def cloned(self, vmid: int = VMID, description: str = "made by a test") -> GuestConfig:
        """Clone the template and wait for the end."""
        upid = await self.hypervisor.clone(
            *(NODE, TEMPLATE, vmid, f"lease-{vmid}", description), cloning=self.cloning
        )
        await self.ok(upid)
        return await self.config(vmid)

    async def configured(self, settings: GuestSettings = WANTED) -> GuestConfig:
        """Clone and configure a machine."""
        clone = await self.cloned()
        await self.hypervisor.configure(NODE, VMID, settings, "ours", clone.digest)
        return await self.config()

    async def booted(self, settings: GuestSettings = WANTED) -> None:
        """Clone, configure and start a machine, and let it come up."""
        await self.configured(settings)
        await self.ok(await self.hypervisor.start(NODE, VMID))
        self.hands.let_boot(VMID)


def new_cluster() -> Cluster:
    """Return a cluster of one node with one template, its clones slow enough to be caught at."""
    cluster = Cluster(Settings(nodes=(NODE,), durations=Durations(linked_clone=8.0, shutdown=4.0)))
    cluster.add_template(TEMPLATE)
    return cluster


def direct_world() -> World:
    """Return a world on virtual time, without sockets."""
    cluster = new_cluster()

    def see(work: Callable[[Cluster], R], /) -> R:
        return work(cluster)

    return world_over(DirectApi(cluster), see)


def world_over(api: Api, see: See, settings: ProxmoxSettings | None = None) -> World:
    """Return the world that `api` shows."""
    return world_of(api, see, SimulatedHands(see), settings)


def world_of(
    api: Api,
    see: See,
    hands: Hands,
    settings: ProxmoxSettings | None = None,
    token: str = TOKEN,
) -> World:
    """Return the world that `api` shows and `hands` change."""

    async def pause(seconds: float) -> None:
        hands.advance(seconds)

    hypervisor = ProxmoxHypervisor(api, settings or ProxmoxSettings((TEMPLATE,)), hands.now)
    return World(api, hypervisor, AgentShell(api, pause), see, hands, token)


@contextmanager
def tls_world(folder: Path) -> Iterator[World]:
    """Yield a world behind the simulator's HTTPS front, called with proxmoxer over TLS."""
    with Fronted(folder) as front:
        api = ProxmoxerApi(front.endpoint())
        try:
            yield world_over(api, front.see)
        finally:
            close_and_join(api)


def close_and_join(api: ProxmoxerApi) -> None:
    """Close an API and see its threads end: a test leaves nothing behind, a daemon may."""
    api.close()
    for thread in threading.enumerate():
        if thread.name.startswith("proxmox "):
            thread.join(20)
            assert not thread.is_alive(), f"{thread.name} hangs"


class Fronted:
    """The simulator's HTTPS front on a port of the kernel's choice, in a thread of its own."""

    def __init__(self, folder: Path, cluster: Cluster | None = None, speed: float = SPEED) -> None:
        self.certificate, self._key = write_certificate(folder, NOW)
        self.cluster = cluster or new_cluster()
        self._speed = speed
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="simulated proxmox", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10), "the simulated Proxmox did not come up"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)
        assert not self._thread.is_alive()
        self._loop.close()

    def endpoint(self) -> ProxmoxEndpoint:
        """Return how to reach it."""
        secret = self.cluster.default_token().partition("=")[2]
        return ProxmoxEndpoint("127.0.0.1", self.port, TOKEN, secret, self.certificate)

    def see(self, work: Callable[[Cluster], R], /) -> R:
        """Do `work` with the cluster, on its thread; virtual time it spends is skipped."""

        async def there() -> R:
            self._front.catch_up()
            before = self.cluster.now
            result = work(self.cluster)
            self._front.skip(self.cluster.now - before)
            return result

        return asyncio.run_coroutine_threadsafe(there(), self._loop).result(20)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._end = asyncio.Event()
        self._front = Front(self.cluster, self._speed)
        application = web.Application(client_max_size=2**20)
        application.router.add_route("*", "/api2/json{tail:.*}", self._front.answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificate, self._key)
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        self.port = int(runner.addresses[0][1])
        async with asyncio.TaskGroup() as group:
            driver = group.create_task(self._front.drive())
            self._ready.set()
            await self._end.wait()
            driver.cancel()
        for connection in runner.server.connections if runner.server else ():
            if connection.transport is not None:
                connection.transport.abort()  # a polite end would wait for the client's
        await runner.cleanup()

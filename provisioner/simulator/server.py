"""The simulator as a process: certificate, tokens, sockets, and an orderly end.

It writes what a client needs into its folder, announces itself as one JSON line once it accepts
connections, and runs until SIGTERM or SIGINT. It is on purpose not a child of the daemon under
test: killing the daemon must leave the hypervisor as it is.
"""

import asyncio
import json
import secrets
import signal
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from provisioner.backends.proxmox.api import JsonValue
from provisioner.simulator.certificate import write_certificate
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.control import Control
from provisioner.simulator.front import IDLE_SECONDS, LARGEST_BODY, Front
from provisioner.simulator.settings import Durations, Settings


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How to run: `port` 0 asks the kernel, `speed` is virtual seconds in a real one.

    `clone_seconds` (virtual) is how long a linked clone takes; `ssh` gives the nodes SSH servers.
    `record` is a file that each request is added to.
    """

    host: str
    port: int
    folder: Path
    speed: float = 1.0
    clone_seconds: float = 0.65
    seed: int = 0
    nodes: tuple[str, ...] = ("pve",)
    template: int = 9000
    ssh: bool = False
    record: Path | None = None


async def serve(
    options: ServerOptions, clock: Callable[[], float], announce: Callable[[str], None]
) -> None:
    """Serve until SIGTERM or SIGINT; `clock` gives wall seconds, for virtual time's start."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    options.folder.mkdir(parents=True, exist_ok=True)
    certificate, key = write_certificate(options.folder, clock())
    durations = Durations(linked_clone=options.clone_seconds)
    settings = Settings(nodes=options.nodes, start=clock(), durations=durations)
    cluster = Cluster(settings, options.seed)
    cluster.add_template(options.template)
    cluster.add_os_template()
    front = Front(cluster, options.speed, options.record)
    control_token = secrets.token_urlsafe(24)
    runner = web.AppRunner(
        _application(front, Control(front, control_token)),
        access_log=None,
        keepalive_timeout=IDLE_SECONDS,
        shutdown_timeout=0.5,
    )
    await runner.setup()
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        await web.TCPSite(runner, options.host, options.port, ssl_context=context).start()
        port = int(runner.addresses[0][1])
        said = _announcement(options, cluster, port, certificate, control_token)
        async with AsyncExitStack() as held:
            if options.ssh:
                said |= await _open_nodes(front, options.folder, held)
            announce(json.dumps(said))
            await _drive_until(front, stop)
    finally:
        await runner.cleanup()


async def _open_nodes(front: Front, folder: Path, held: AsyncExitStack) -> dict[str, JsonValue]:
    """Open the nodes over SSH to a new key; returns what is announced of them."""
    from provisioner.simulator.ssh.server import SshFront, new_login

    private, public = new_login()
    nodes = await held.enter_async_context(SshFront(front.cluster, [public], front.catch_up))
    return {
        "node_key_file": str(_write_secret(folder / "node-key", private)),
        "known_hosts": list(nodes.known_hosts()),
    }


async def _drive_until(front: Front, stop: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as group:
        driver = group.create_task(front.drive())
        await stop.wait()
        driver.cancel()


def _application(front: Front, control: Control) -> web.Application:
    application = web.Application(client_max_size=2 * LARGEST_BODY)
    application.add_routes(control.routes())
    application.router.add_route("*", "/api2/json{tail:.*}", front.answer)
    return application


def _announcement(
    options: ServerOptions, cluster: Cluster, port: int, certificate: Path, control_token: str
) -> dict[str, JsonValue]:
    token_id, _, secret = cluster.default_token().partition("=")
    return {
        "url": f"https://{options.host}:{port}",
        "port": port,
        "token_id": token_id,
        "token_file": str(_write_secret(options.folder / "token", secret)),
        "ca_file": str(certificate),
        "control_token_file": str(_write_secret(options.folder / "control", control_token)),
        "nodes": list(options.nodes),
        "template": options.template,
    }


def _write_secret(path: Path, secret: str) -> Path:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(f"{secret}\n")
    return path

"""The composition root: the only place that builds adapters and wires them together.

`adapters` makes what talks to the outside (chains, Proxmox) from a configuration; `wire` joins
adapters, a database and a clock to a daemon. Tests wire the same daemon with other adapters.
"""

import asyncio
import math
import os
import signal
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlsplit

import structlog

from chainwatch import log as logging_setup
from chainwatch.admin.server import AdminServer
from chainwatch.app.wiring import Adapters, Daemon, wire
from chainwatch.chain.pace import Paces
from chainwatch.chain.rpc import RpcPool
from chainwatch.chain.settings import SourceSettings
from chainwatch.config import Config, load
from chainwatch.control.checkup import checkup
from chainwatch.control.desk import Desk
from chainwatch.control.hands import Means
from chainwatch.control.outlook import Outlook
from chainwatch.control.pulse import Pulse
from chainwatch.control.readings import Finding
from chainwatch.control.rebuild import Report
from chainwatch.domain.batches import Source
from chainwatch.errors import OperatorError
from chainwatch.runtime import garbage
from chainwatch.runtime.clock import Clock, SystemClock
from chainwatch.runtime.notify import Notifier
from chainwatch.store.census import Census
from chainwatch.store.database import Database
from chainwatch.store.installation import check_installation
from provisioner.backends.proxmox.client import ProxmoxerApi
from provisioner.backends.proxmox.commands import AgentCommands
from provisioner.backends.proxmox.controls import ProxmoxControls
from provisioner.backends.proxmox.settings import ProxmoxEndpoint
from provisioner.guest.commands import PctCommands
from provisioner.guest.node import HelperShell, Ways

__all__ = ["Adapters", "Daemon", "adapters", "check", "desk", "opened", "rebuild", "run", "wire"]

log = structlog.get_logger(__name__)

DATABASE: Final = "chainwatch.db"


@asynccontextmanager
async def adapters(config: Config) -> AsyncIterator[Adapters]:
    """Open the ways to the outside that `config` describes. Raises Permanent for a bad CA file."""
    async with AsyncExitStack() as held:
        pools, paces = {}, Paces(_ceilings(config.sources))
        for settings in config.sources:
            pool = RpcPool(
                settings.http,
                timeout=settings.timeout,
                confirmations=settings.confirmations,
                paces=paces,
            )
            held.push_async_callback(pool.close)
            pools[settings.source.name] = pool
        api = ProxmoxerApi(_endpoint(config))
        held.callback(api.close)
        yield Adapters(pools, api, _nodes(config, held))


def _nodes(config: Config, held: AsyncExitStack) -> Ways | None:
    """Return the ways to the nodes over SSH, where the configuration has them."""
    nodes = config.nodes
    if nodes is None:
        return None
    from provisioner.guest.connection import (
        Connections,
    )  # costs time, which not everybody has to pay
    from provisioner.guest.doors import Login, doors

    login = Login(nodes.user, nodes.key.reveal(), doors(nodes.known_hosts, nodes.port))
    ways = Connections(login)
    held.callback(ways.close)
    return ways


def _ceilings(sources: Sequence[SourceSettings]) -> dict[str, float]:
    """Return how often each address may be asked: the lowest that any source says of it."""
    ceilings: dict[str, float] = {}
    for settings in sources:
        if (most := settings.requests_per_second) is not None:
            ceilings |= {url: min(most, ceilings.get(url, math.inf)) for url in settings.http}
    return ceilings


def _endpoint(config: Config) -> ProxmoxEndpoint:
    url = urlsplit(config.proxmox.url)
    return ProxmoxEndpoint(
        host=url.hostname or "",
        port=url.port or 8006,
        token_id=config.proxmox.token_id,
        token_secret=config.proxmox.token.text(),
        ca_file=config.proxmox.ca_file,
        timeout=config.proxmox.timeout,
        threads=config.proxmox.threads,
    )


def desk(config: Config, ways: Adapters, daemon: Daemon, pulse: Pulse) -> Desk:
    """Return where an operator asks and orders."""
    supervisor = daemon.supervisor
    outlook = Outlook(
        installation=config.installation.id,
        stores=daemon.stores,
        census=Census(daemon.stores.db),
        supervisor=supervisor,
        endpoints=ways.endpoints,
        pulse=pulse,
        started=supervisor.clock.monotonic(),
    )
    return Desk(outlook, _means(config, ways, supervisor.clock))


def _means(config: Config, ways: Adapters, clock: Clock) -> Means:
    """Return what operators work on machines with."""
    return Means(
        controls=ProxmoxControls(ways.api),
        vms=AgentCommands(ways.api, clock.sleep, clock.monotonic),
        containers=PctCommands(HelperShell(ways.nodes)) if ways.nodes else None,
        console=config.admin.console,
    )


@asynccontextmanager
async def opened(config: Config, path: Path, *, create: bool) -> AsyncIterator[Database]:
    """Open the database at `path` as this installation's. Raises Fatal for another's."""
    db = await Database.open(path, create=create)
    try:
        sources: list[Source] = [each.source for each in config.sources]
        await check_installation(db, config.installation.id, sources)
        yield db
    finally:
        await db.close()


def run(config_path: Path) -> int:
    """Run the daemon until SIGTERM or SIGINT; returns 0. Raises Fatal, alone or in a group."""
    config = load(config_path, os.environ)
    logging_setup.configure(config.log)
    garbage.settle()
    asyncio.run(_until_told_to_stop(_run(config)))
    log.info("stopped")
    return 0


async def _run(config: Config) -> None:
    clock, notifier = SystemClock(), Notifier.from_environment(os.environ)
    path = config.installation.state_dir / DATABASE
    async with adapters(config) as ways, opened(config, path, create=True) as db:
        pulse = Pulse(clock, notifier.alive)
        daemon = wire(config, ways, db, clock, pulse.beat)
        async with AdminServer(config.admin, desk(config, ways, daemon, pulse)):
            with notifier.serving():
                log.info("started", installation=config.installation.id)
                await daemon.supervisor.run()


async def _until_told_to_stop(work: Coroutine[None, None, None]) -> None:
    """Run `work` until it ends or a signal says to stop; a signal is no error."""
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(work, name="daemon")
        stopping = tasks.create_task(told.wait(), name="signal")
        await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        running.cancel()  # does nothing to one that ended by itself: the group raises its error


def rebuild(config_path: Path) -> Report:
    """Make the database again from the chains and the machines. Raises OperatorError or Fatal."""
    config = load(config_path, os.environ)
    logging_setup.configure(config.log)
    garbage.settle()
    path = config.installation.state_dir / DATABASE
    if path.exists():
        raise OperatorError(
            f"{path} exists: stop the daemon and move the file away (with -wal and -shm), then "
            "run `chainwatch rebuild` again"
        )
    unfinished = path.with_suffix(".rebuilding")
    for leftover in unfinished.parent.glob(f"{unfinished.name}*"):
        leftover.unlink()
    report = asyncio.run(_rebuild(config, unfinished))
    unfinished.rename(path)
    return report


async def _rebuild(config: Config, path: Path) -> Report:
    async with adapters(config) as ways, opened(config, path, create=True) as db:
        daemon = wire(config, ways, db, SystemClock(), lambda: None)
        return await daemon.rebuild.run(os.getuid())


def check(config_path: Path, *, deep: bool) -> Sequence[Finding]:
    """Look whether everything is as the daemon needs it, while none runs. Raises Fatal."""
    config = load(config_path, os.environ)
    logging_setup.configure(config.log)
    return asyncio.run(_check(config, deep=deep))


async def _check(config: Config, *, deep: bool) -> Sequence[Finding]:
    """Check with the database where there is one, else with an empty one that is thrown away."""
    path = config.installation.state_dir / DATABASE
    with TemporaryDirectory() as scratch:
        where = path if path.exists() else Path(scratch, DATABASE)
        async with adapters(config) as ways, opened(config, where, create=True) as db:
            supervisor = wire(config, ways, db, SystemClock(), lambda: None).supervisor
            return await checkup(supervisor, db, deep=deep)

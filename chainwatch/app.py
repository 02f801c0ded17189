"""The composition root: the only place that builds adapters and wires them together.

`adapters` makes what talks to the outside (chains, Proxmox) from a configuration; `wire` joins
adapters, a database and a clock to a daemon. Tests wire the same daemon with other adapters.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlsplit

import structlog

from chainwatch import log as logging_setup
from chainwatch.admin.server import AdminServer
from chainwatch.chain import profiles
from chainwatch.chain.heads import HeadFeed
from chainwatch.chain.latest import LatestReader
from chainwatch.chain.reorg import KnownBlocks
from chainwatch.chain.rpc import Endpoints, RpcPool
from chainwatch.chain.scanner import Scanner
from chainwatch.chain.settings import SourceSettings
from chainwatch.config import Config, load
from chainwatch.control.breaker import Breaker
from chainwatch.control.checkup import checkup
from chainwatch.control.desk import Desk
from chainwatch.control.facts import FactsReader
from chainwatch.control.guards import Guards
from chainwatch.control.ingest import Ingest
from chainwatch.control.outlook import Outlook
from chainwatch.control.poller import TaskPoller
from chainwatch.control.pulse import Pulse
from chainwatch.control.readings import Finding
from chainwatch.control.rebuild import Rebuild, Report
from chainwatch.control.reconciler import Reconciler
from chainwatch.control.resync import Resync
from chainwatch.control.sources import SourceStatus
from chainwatch.control.supervisor import RootTask, Supervisor
from chainwatch.control.worker import Worker
from chainwatch.domain.batches import Source
from chainwatch.domain.desired import Policy
from chainwatch.domain.events import Block
from chainwatch.errors import OperatorError
from chainwatch.runtime.clock import Clock, SystemClock
from chainwatch.runtime.notify import Notifier, watchdog_interval
from chainwatch.store.census import Census
from chainwatch.store.database import Database
from chainwatch.store.installation import check_installation
from chainwatch.store.journal import Journal
from chainwatch.store.stores import Stores
from provisioner.backends.proxmox.agent import AgentShell
from provisioner.backends.proxmox.api import Api
from provisioner.backends.proxmox.client import ProxmoxerApi
from provisioner.backends.proxmox.hypervisor import ProxmoxHypervisor
from provisioner.backends.proxmox.settings import ProxmoxEndpoint, ProxmoxSettings
from provisioner.backends.proxmox.snapshot import Snapshots
from provisioner.doorbell import Doorbell
from provisioner.executor import Executor
from provisioner.identity import Signer
from provisioner.machines import Machines
from provisioner.site import Site
from provisioner.taskboard import TaskBoard

log = structlog.get_logger(__name__)

DATABASE: Final = "chainwatch.db"
#: Seconds between heartbeats where systemd's watchdog does not ask for more.
HEARTBEAT: Final = 5.0


@dataclass(frozen=True, slots=True)
class Adapters:
    """The ways to the outside: one set of endpoints for each source, and the hypervisor's API."""

    endpoints: Mapping[str, Endpoints]
    api: Api


@dataclass(frozen=True, slots=True)
class Daemon:
    """Everything that runs, wired."""

    supervisor: Supervisor
    stores: Stores
    reconciler: Reconciler
    rebuild: Rebuild


@dataclass(frozen=True, slots=True)
class _Stored(KnownBlocks):
    """The stored blocks of one source, as its scanner asks for them."""

    journal: Journal
    source: str

    async def block(self, number: int) -> Block | None:
        return await self.journal.block(self.source, number)


@asynccontextmanager
async def adapters(config: Config) -> AsyncIterator[Adapters]:
    """Open the ways to the outside that `config` describes. Raises Permanent for a bad CA file."""
    async with AsyncExitStack() as held:
        pools = {}
        for settings in config.sources:
            pool = RpcPool(settings.http, timeout=settings.timeout)
            held.push_async_callback(pool.close)
            pools[settings.source.name] = pool
        api = ProxmoxerApi(_endpoint(config))
        held.callback(api.close)
        yield Adapters(pools, api)


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


def site(config: Config) -> Site:
    """Return what is the same for every machine of this installation."""
    machines = config.machines
    return Site(
        signer=Signer(config.installation.id, config.installation.identity_key.reveal()),
        pool=machines.pool,
        bridge=machines.bridge,
        nameserver=machines.nameserver,
        user=machines.user,
        tags=machines.tags,
        shutdown_timeout=machines.shutdown_timeout,
        answer_timeout=machines.answer_timeout,
    )


def wire(
    config: Config, ways: Adapters, db: Database, clock: Clock, alive: Callable[[], object]
) -> Daemon:
    """Join adapters, database and clock to a daemon; nothing runs yet.

    `alive` is called on every heartbeat.
    """
    return _Wiring(config, ways, Stores.over(db, clock.now), clock).daemon(alive)


class _Wiring:
    """What several parts share, made once; each method makes one part."""

    def __init__(self, config: Config, ways: Adapters, stores: Stores, clock: Clock) -> None:
        self.config, self.ways, self.stores, self.clock = config, ways, stores, clock
        self.bell = asyncio.Event()
        self.site = site(config)
        self.hypervisor = ProxmoxHypervisor(
            ways.api,
            ProxmoxSettings(template=config.machines.template_vm, pool=config.proxmox.pool),
            clock.monotonic,
        )
        self.guest = AgentShell(ways.api, clock.sleep)
        self.board = TaskBoard(self.hypervisor)
        self.snapshots = Snapshots(self.hypervisor.snapshot, clock.monotonic, config.policy.tick)
        self.breaker = Breaker(self.snapshots, stores.alarms, clock)
        self.sources = {
            each.source.name: SourceStatus(each, clock, clock.monotonic())
            for each in config.sources
        }

    def daemon(self, alive: Callable[[], object]) -> Daemon:
        stores, resync = self.stores, self.resync()
        reconciler = self.reconciler(resync)
        ingests = [self.ingest(each) for each in self.config.sources]
        supervisor = Supervisor(
            ingests=ingests,
            feeds=_feeds(ingests),
            worker=self.worker(reconciler),
            poller=self.poller(),
            resync=resync,
            breaker=self.breaker,
            operations=stores.operations,
            clock=self.clock,
            alive=alive,
            heartbeat=watchdog_interval(os.environ, os.getpid()) or HEARTBEAT,
        )
        rebuilding = Rebuild(ingests, resync, stores.leases, stores.holds, self.clock)
        return Daemon(supervisor, stores, reconciler, rebuilding)

    def reconciler(self, resync: Resync) -> Reconciler:
        log_, policy = self.stores.operations, self.config.policy
        return Reconciler(
            facts=FactsReader(self.stores.standings, log_, self.sources),
            machines=Machines(
                self.hypervisor,
                self.snapshots,
                self.board,
                Doorbell(self.guest, max(1, self.config.policy.workers // 2)),
                log_,
                self.site,
                self.clock.now,
            ),
            executor=Executor(
                self.hypervisor,
                self.snapshots,
                self.guest,
                log_,
                self.site,
                template=self.config.machines.template_vm,
                quarantine=policy.quarantine,
                clones=self.config.proxmox.clones_per_storage,
            ),
            guards=Guards(
                self.stores.holds,
                log_,
                self.stores.standings,
                {each.source.name: self.latest(each) for each in self.config.sources},
                self.clock,
                policy.destroys_per_hour,
            ),
            site=self.site,
            policy=Policy(self.config.machines.template_vm, policy.default_grace),
            index=resync,
            clock=self.clock,
        )

    def worker(self, reconciler: Reconciler) -> Worker:
        return Worker(
            reconciler=reconciler,
            work=self.stores.work,
            leases=self.stores.leases,
            alarms=self.stores.alarms,
            breaker=self.breaker,
            clock=self.clock,
            bell=self.bell,
            width=self.config.policy.workers,
        )

    def poller(self) -> TaskPoller:
        return TaskPoller(
            operations=self.stores.operations,
            board=self.board,
            work=self.stores.work,
            clock=self.clock,
            tick=self.config.policy.tick,
            wake=self.bell.set,
        )

    def resync(self) -> Resync:
        return Resync(
            hypervisor=self.hypervisor,
            snapshots=self.snapshots,
            operations=self.stores.operations,
            leases=self.stores.leases,
            work=self.stores.work,
            alarms=self.stores.alarms,
            site=self.site,
            clock=self.clock,
            sources=self.sources,
            interval=self.config.policy.resync_interval,
            wake=self.bell.set,
        )

    def ingest(self, settings: SourceSettings) -> Ingest:
        name, profile = settings.source.name, profiles.get(settings.source.profile)
        known = _Stored(self.stores.journal, name)
        return Ingest(
            status=self.sources[name],
            scanner=Scanner(settings, self.ways.endpoints[name], profile, known),
            journal=self.stores.journal,
            leases=self.stores.leases,
            work=self.stores.work,
            alarms=self.stores.alarms,
            clock=self.clock,
            wake=self.bell.set,
        )

    def latest(self, settings: SourceSettings) -> LatestReader:
        source = settings.source
        endpoints = self.ways.endpoints[source.name]
        return LatestReader(settings, endpoints, profiles.get(source.profile))


def _feeds(ingests: Sequence[Ingest]) -> Mapping[str, RootTask]:
    return {
        ingest.name: HeadFeed(ingest.status.settings.ws, ingest.hint.set).run
        for ingest in ingests
        if ingest.status.settings.ws
    }


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
    return Desk(outlook)


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


def check(config_path: Path) -> Sequence[Finding]:
    """Look whether everything is as the daemon needs it, while none runs. Raises Fatal."""
    config = load(config_path, os.environ)
    logging_setup.configure(config.log)
    return asyncio.run(_check(config))


async def _check(config: Config) -> Sequence[Finding]:
    """Check with the database where there is one, else with an empty one that is thrown away."""
    path = config.installation.state_dir / DATABASE
    with TemporaryDirectory() as scratch:
        where = path if path.exists() else Path(scratch, DATABASE)
        async with adapters(config) as ways, opened(config, where, create=True) as db:
            supervisor = wire(config, ways, db, SystemClock(), lambda: None).supervisor
            return await checkup(supervisor.ingests, supervisor.resync, db)

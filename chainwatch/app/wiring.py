"""Joining the parts: adapters, a database and a clock become a daemon that does not run yet.

Nothing here opens a connection or a file; what several parts share (the site, the shared snapshot,
the bell that wakes the worker) is made once, in `_Wiring`, and each method makes one part.
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chainwatch.app.known import Stored
from chainwatch.app.sending import news_of, promises, senders
from chainwatch.app.sites import copied, limits, routing, site, sold
from chainwatch.chain import profiles
from chainwatch.chain.audit import StateReader
from chainwatch.chain.heads import HeadFeed
from chainwatch.chain.latest import LatestReader
from chainwatch.chain.rpc import Endpoints
from chainwatch.chain.scanner import Scanner
from chainwatch.chain.second_look import SecondLook
from chainwatch.chain.settings import SourceSettings
from chainwatch.config import Config
from chainwatch.control.ahead import ReadAhead
from chainwatch.control.audit import LeaseAudit
from chainwatch.control.breaker import Breaker
from chainwatch.control.facts import FactsReader
from chainwatch.control.firewall_watch import FirewallWatch
from chainwatch.control.guards import Guards
from chainwatch.control.ingest import Ingest
from chainwatch.control.lookout import Lookout
from chainwatch.control.node_care import Duties, NodeCare
from chainwatch.control.nodes import NodeWatch
from chainwatch.control.obedience import Obedience
from chainwatch.control.poller import TaskPoller
from chainwatch.control.quarantine import Quarantines
from chainwatch.control.rebuild import Rebuild
from chainwatch.control.reconciler import Reconciler
from chainwatch.control.resync import Resync
from chainwatch.control.second_look import WindowWatch
from chainwatch.control.sights import Sights
from chainwatch.control.snippet_care import SnippetCare
from chainwatch.control.sources import SourceStatus
from chainwatch.control.supervisor import RootTask, Supervisor
from chainwatch.control.unread import UnreadLogs
from chainwatch.control.worker import Worker
from chainwatch.domain.desired import Policy
from chainwatch.runtime.clock import Clock
from chainwatch.runtime.notify import watchdog_interval
from chainwatch.store.database import Database
from chainwatch.store.stores import Stores
from provisioner.archives import Archives
from provisioner.backends.proxmox.agent import AgentShell
from provisioner.backends.proxmox.api import Api
from provisioner.backends.proxmox.archives import ProxmoxArchives
from provisioner.backends.proxmox.containershell import ContainerShell
from provisioner.backends.proxmox.hypervisor import ProxmoxHypervisor
from provisioner.backends.proxmox.inspection import Inspection
from provisioner.backends.proxmox.ostemplates import os_template
from provisioner.backends.proxmox.settings import ProxmoxSettings
from provisioner.backends.proxmox.snapshot import Snapshots
from provisioner.backends.proxmox.volumes import ProxmoxVolumes
from provisioner.doorbell import Doorbell
from provisioner.executor import Executor
from provisioner.guest.container import PctShell
from provisioner.guest.node import HelperShell, Ways
from provisioner.machines import Machines
from provisioner.rooms import Rooms
from provisioner.shells import Shells
from provisioner.taskboard import TaskBoard

#: For how many seconds a snapshot of the cluster serves to select machines and free VMIDs.
SNAPSHOT: Final = 5.0
#: Seconds between heartbeats where systemd's watchdog does not ask for more.
HEARTBEAT: Final = 5.0


@dataclass(frozen=True, slots=True)
class Adapters:
    """The ways to the outside: one set of endpoints for each source, the hypervisor's API, nodes.

    `nodes` is None where the configuration does not reach them over SSH.
    """

    endpoints: Mapping[str, Endpoints]
    api: Api
    nodes: Ways | None = None


@dataclass(frozen=True, slots=True)
class Daemon:
    """Everything that runs, wired."""

    supervisor: Supervisor
    stores: Stores
    reconciler: Reconciler
    rebuild: Rebuild


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
        backups = config.policy.backups
        self.machines = ProxmoxSettings(
            (*config.machines.template_vms, *config.plan_templates),
            pool=config.proxmox.pool,
            backup_storage=backups.storage if backups else None,
            os_template=config.machines.os_template,
            container_storage=config.machines.container_storage,
        )
        self.hypervisor = ProxmoxHypervisor(ways.api, self.machines, clock.monotonic)
        self.node_shell = HelperShell(ways.nodes) if ways.nodes else None
        inside = PctShell(self.node_shell) if self.node_shell else None
        self.guests = Shells(AgentShell(ways.api, clock.sleep), ContainerShell(ways.api, inside))
        self.board = TaskBoard(self.hypervisor, clock.monotonic, config.policy.tick)
        self.begun = asyncio.Event()
        self.sights = Sights()
        self.snapshots = Snapshots(self.hypervisor.snapshot, clock.monotonic, SNAPSHOT)
        self.archives = Archives(
            ProxmoxArchives(ways.api, self.machines), self.snapshots, self.site
        )
        self.breaker = Breaker(self.snapshots, stores.alarms, clock)
        self.rooms = self._rooms()
        self.suspects: set[int] = set()
        self.nodes = NodeWatch(
            self.hypervisor, self.snapshots, stores.alarms, clock, self.rooms.welcome
        )
        self.senders = senders(config, ways.endpoints, stores, clock)
        self.promises = promises(
            config, self.senders, self.guests, self.site, stores=stores, clock=clock
        )
        self.sources = {
            each.source.name: SourceStatus(each, clock, clock.monotonic())
            for each in config.sources
        }
        self.facts = FactsReader(
            stores.standings, stores.operations, self.sources, self.promises.answered
        )
        self.policy = Policy(config.policy.default_grace, config.plans)

    def daemon(self, alive: Callable[[], object]) -> Daemon:
        stores, resync = self.stores, self.resync()
        reconciler = self.reconciler(resync)
        lookouts = [self.lookout(each) for each in self.config.sources]
        ingests = [
            self.ingest(each, lookout)
            for each, lookout in zip(self.config.sources, lookouts, strict=True)
        ]
        supervisor = Supervisor(
            ingests=ingests,
            feeds=_feeds(ingests),
            lookouts=lookouts,
            worker=self.worker(reconciler),
            poller=self.poller(),
            resync=resync,
            breaker=self.breaker,
            nodes=self.nodes,
            care=self.care(),
            senders=self.senders,
            firewalls=self.firewalls(resync),
            inspection=self.inspection(),
            operations=stores.operations,
            sendings=stores.sendings,
            clock=self.clock,
            alive=alive,
            heartbeat=watchdog_interval(os.environ, os.getpid()) or HEARTBEAT,
        )
        rebuilding = Rebuild(ingests, resync, stores.leases, stores.holds, self.clock)
        return Daemon(supervisor, stores, reconciler, rebuilding)

    def reconciler(self, resync: Resync) -> Reconciler:
        log_, policy = self.stores.operations, self.config.policy
        unanswered = set[int]()
        return Reconciler(
            facts=self.facts,
            machines=Machines(
                self.hypervisor,
                self.snapshots,
                self.board,
                Doorbell(self.guests, max(1, policy.workers // 2), self.clock.monotonic),
                log_,
                self.site,
                self.clock.now,
                self.suspects,
                self.archives,
                unanswered=unanswered,
            ),
            executor=Executor(
                self.hypervisor,
                self.snapshots,
                self.guests,
                log_,
                self.site,
                rooms=self.rooms,
                quarantine=policy.quarantine,
                archives=self.archives,
                nodes=self.node_shell,
                unanswered=unanswered,
            ),
            guards=Guards(
                self.stores.holds,
                log_,
                self.stores.standings,
                {each.source.name: self.latest(each) for each in self.config.sources},
                self.clock,
                policy.destroys_per_hour,
            ),
            obedience=Obedience(self.stores.wishes, log_, self.site, self.clock),
            site=self.site,
            policy=self.policy,
            index=resync,
            clock=self.clock,
        )

    def _rooms(self) -> Rooms:
        return Rooms(
            self.hypervisor,
            self.snapshots,
            self.stores.operations,
            self.site.pool,
            ProxmoxVolumes(self.ways.api),
            templates=self.config.machines.template_vms,
            others=self.config.plan_templates,
            limits=limits(self.config),
            containers=os_template(self.ways.api, self.machines),
            copies=copied(self.config),
        )

    def worker(self, reconciler: Reconciler) -> Worker:
        return Worker(
            reconciler=reconciler,
            work=self.stores.work,
            leases=self.stores.leases,
            alarms=self.stores.alarms,
            breaker=self.breaker,
            nodes=self.nodes,
            clock=self.clock,
            bell=self.bell,
            width=self.config.policy.workers,
            begun=self.begun.set,
            sights=self.sights,
            promises=self.promises,
            cloning=self.config.machines.cloning,
        )

    def poller(self) -> TaskPoller:
        return TaskPoller(
            operations=self.stores.operations,
            board=self.board,
            work=self.stores.work,
            clock=self.clock,
            nodes=self.nodes,
            breaker=self.breaker,
            tick=self.config.policy.tick,
            wake=self.bell.set,
            news=self.begun,
        )

    def care(self) -> NodeCare | None:
        """Return who takes care of the nodes, None where nobody can."""
        nodes = self.config.nodes
        if nodes is None or self.node_shell is None:
            return None
        return NodeCare(
            shell=self.node_shell,
            snapshots=self.snapshots,
            operations=self.stores.operations,
            alarms=self.stores.alarms,
            watch=self.nodes,
            clock=self.clock,
            pool=self.site.pool,
            duties=Duties(
                nodes=tuple(dict.fromkeys(line.split()[0] for line in nodes.known_hosts)),
                isolate=nodes.isolate,
            ),
            routing=routing(self.config, self.stores, self.sources),
            snippets=SnippetCare(
                *(self.node_shell, self.hypervisor, self.snapshots, self.stores.operations),
                *(self.site, self.facts, self.policy, self.clock),
                sights=self.sights,
                storage=nodes.snippet_storage,
            ),
        )

    def inspection(self) -> Inspection:
        bridge, token = self.config.machines.bridge, self.config.proxmox.token_id
        more, console = sold(self.config), self.config.admin.console
        return Inspection(self.ways.api, self.machines, bridge, token, more, console)

    def firewalls(self, resync: Resync) -> FirewallWatch:
        return FirewallWatch(
            hypervisor=self.hypervisor,
            snapshots=self.snapshots,
            index=resync,
            work=self.stores.work,
            alarms=self.stores.alarms,
            site=self.site,
            clock=self.clock,
            suspects=self.suspects,
            sights=self.sights,
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
            archives=self.archives,
            sights=self.sights,
        )

    def lookout(self, settings: SourceSettings) -> Lookout:
        stores, name = self.stores, settings.source.name
        endpoints, profile = self.ways.endpoints[name], profiles.of(settings)
        return Lookout(
            WindowWatch(
                status=self.sources[name],
                second=SecondLook(settings, endpoints, profile),
                samples=stores.samples,
                journal=stores.journal,
                alarms=stores.alarms,
                clock=self.clock,
            ),
            LeaseAudit(
                status=self.sources[name],
                reader=StateReader(settings, endpoints, profile, self.known(name).credentials),
                samples=stores.samples,
                journal=stores.journal,
                alarms=stores.alarms,
                clock=self.clock,
            ),
        )

    def ingest(self, settings: SourceSettings, lookout: Lookout) -> Ingest:
        name, profile = settings.source.name, profiles.of(settings)
        endpoints, hint = self.ways.endpoints[name], asyncio.Event()
        scanner = Scanner(settings, endpoints, profile, self.known(name))
        return Ingest(
            status=self.sources[name],
            scanner=scanner,
            ahead=ReadAhead(scanner),
            journal=self.stores.journal,
            leases=self.stores.leases,
            work=self.stores.work,
            alarms=self.stores.alarms,
            clock=self.clock,
            unread=UnreadLogs(settings, self.stores.alarms, self.clock),
            quarantines=Quarantines(name, endpoints, self.stores.alarms, self.clock),
            feed=HeadFeed(settings.ws, hint.set, poll=settings.poll_interval),
            wake=_all(self.bell.set, lookout.news, *news_of(self.senders, name)),
            hint=hint,
        )

    def latest(self, settings: SourceSettings) -> LatestReader:
        name, profile = settings.source.name, profiles.of(settings)
        known = self.known(name).credentials
        return LatestReader(settings, self.ways.endpoints[name], profile, known)

    def known(self, source: str) -> Stored:
        return Stored(self.stores.journal, source)


def _all(*calls: Callable[[], None]) -> Callable[[], None]:
    """Return one call that makes all of these."""

    def call() -> None:
        for each in calls:
            each()

    return call


def _feeds(ingests: Sequence[Ingest]) -> Mapping[str, RootTask]:
    return {ingest.name: ingest.feed.run for ingest in ingests if ingest.status.settings.ws}

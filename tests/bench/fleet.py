"""A cluster of several nodes and a chain with many leases, for a daemon that is wired as always.

The chain is a model that commits through the daemon's own reading, the cluster is the simulator.
`settle` puts machines there as the daemon itself would have made them, rendered by its own backend,
and writes the log that it would have written: what is measured then is a daemon that finds nothing
to do, and a pass that changes one of them is a mistake of this file.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_interface
from pathlib import Path
from typing import Final

from chainwatch.app import Adapters, Daemon, opened, wire
from chainwatch.app.sites import firewalls
from chainwatch.config import Config, PolicyConfig
from chainwatch.domain.desired import desired
from chainwatch.domain.events import Event, KeysChanged, Logged
from chainwatch.domain.lease import LeaseId
from chainwatch.store.database import Database
from provisioner.allocate import AddressRange, Pool
from provisioner.backends.proxmox import guestconfig
from provisioner.backends.proxmox.hypervisor import ProxmoxHypervisor
from provisioner.backends.proxmox.settings import ProxmoxSettings
from provisioner.identity import access_stamp
from provisioner.model import DesiredMachine, GuestSettings, Stamps
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.direct import DirectApi
from provisioner.simulator.guests import ConfigValue
from provisioner.simulator.settings import Durations, Settings
from tests.bench.recorder import Recorder
from tests.bench.skipping import LiveApi, LoopClock
from tests.support.chain_model import CONTRACT, ChainModel, minted, plan_events
from tests.support.realm import ALICE, ALICES_KEY
from tests.support.realm import config as small

NODES: Final = ("pve1", "pve2", "pve3", "pve4", "pve5")
FIRST: Final = 20_000
TEMPLATE: Final = 9000
DURATIONS: Final = Durations()
LASTS: Final = 30 * 86_400
GIB: Final = 2**30
#: Purchases in one block.
_BLOCK: Final = 10
Shown = Mapping[str, ConfigValue]


class _Chain(ChainModel):
    """A chain that does not go through its history anew for every question."""

    _known: tuple[tuple[int, int | None], list[Logged]] | None = None

    def events(self, up_to: int | None = None) -> list[Logged]:
        """Return all readable events up to a block; this chain has no forks."""
        asked = (len(self.blocks), up_to)
        if self._known is None or self._known[0] != asked:
            self._known = (asked, super().events(up_to))
        return self._known[1]


@dataclass(frozen=True, slots=True)
class Fleet:
    """How many leases there are, what makes their machines, and how long that takes.

    `clones` may run at once on one storage; every node has one storage and one template.
    """

    leases: int
    clones: int = 2
    durations: Durations = DURATIONS
    nodes: tuple[str, ...] = NODES

    @property
    def at_once(self) -> int:
        """How many clones may run at once."""
        return self.clones * len(self.nodes)

    def config(self, folder: Path) -> Config:
        """Return the configuration: policy as by default, and room for all of them."""
        base = small(folder)
        addresses = AddressRange("10.64.0.10/16", "10.64.0.1")
        return replace(
            base,
            sources=tuple(replace(each, ws=()) for each in base.sources),
            proxmox=replace(base.proxmox, clones_per_storage=self.clones, threads=8),
            machines=replace(
                base.machines,
                pool=Pool(FIRST, FIRST + self.leases + 999, "02:00:00", addresses),
                template_vms=tuple(TEMPLATE + place for place in range(len(self.nodes))),
            ),
            policy=PolicyConfig(
                default_grace=604_800,
                destroys_per_hour=5,
                resync_interval=300.0,
                tick=1.0,
                workers=8,
                quarantine=86_400,
            ),
        )

    def cluster(self) -> Cluster:
        """Return the nodes, each with a template."""
        big = Settings(
            nodes=self.nodes,
            durations=self.durations,
            storage_size=2**20 * GIB,
            node_memory=2**14 * GIB,
        )
        cluster = Cluster(big)
        for place, node in enumerate(self.nodes):
            cluster.add_template(TEMPLATE + place, node=node)
        return cluster

    def chain(self) -> ChainModel:
        """Return a chain that sells the plan, and no lease yet."""
        chain = _Chain(final_lag=3)
        chain.mine(plan_events())
        return chain

    def sell(self, chain: ChainModel, first: int = 1, last: int | None = None) -> None:
        """Mine every purchase from token `first` to `last`, final."""
        until, end = chain.head.timestamp + LASTS, (last or self.leases) + 1
        for start in range(first, end, _BLOCK):
            said: list[Event] = []
            for token in range(start, min(start + _BLOCK, end)):
                said += minted(token, ALICE, plan=1, expires_at=until)
                said.append(KeysChanged(token, ALICES_KEY, "0x"))
            chain.mine(said, seconds=0)
        for _ in range(chain.final_lag + 2):
            chain.mine(seconds=1)

    def lease(self, token: int) -> str:
        """Return a lease's public id."""
        return str(LeaseId(31337, CONTRACT, token))

    def node(self, token: int) -> str:
        """Return where `settle` puts a machine."""
        return self.nodes[token % len(self.nodes)]


async def prepare(cluster: Cluster, config: Config) -> None:
    """Do what an operator would: give the templates the firewall of their clones."""
    settings = ProxmoxSettings(config.machines.template_vms)
    hypervisor = ProxmoxHypervisor(DirectApi(cluster), settings, lambda: cluster.now)
    for vmid, (frame, *_) in firewalls(config).items():
        await hypervisor.isolate(cluster.guest(vmid).node, vmid, frame)


def stand(cluster: Cluster, pool: Pool, vmid: int, node: str, shown: Shown) -> None:
    """Have a running machine be there, with the firewall that the daemon gives it."""
    cluster.add_guest(vmid, node=node, disk=20 * GIB, running=True, config=shown)
    firewall = cluster.state.firewalls[TEMPLATE].copy()
    own = {str(ip_interface(each).ip): "" for each in pool.addresses(vmid).own}
    firewall.ipsets.setdefault("ipfilter-net0", {}).update(own)
    cluster.state.firewalls[vmid] = firewall


@dataclass(frozen=True, slots=True)
class World:
    """A fleet with a daemon that has not begun yet, made by `world`."""

    fleet: Fleet
    chain: ChainModel
    cluster: Cluster
    recorder: Recorder
    clock: LoopClock
    db: Database
    daemon: Daemon


@asynccontextmanager
async def world(fleet: Fleet, folder: Path) -> AsyncIterator[World]:
    """Wire a daemon on the loop's own time over the simulator in this process."""
    chain, cluster, config = fleet.chain(), fleet.cluster(), fleet.config(folder)
    await prepare(cluster, config)
    clock = LoopClock(cluster.now)
    recorder = Recorder(LiveApi(cluster, clock))
    async with opened(config, folder / "bench.db", create=True) as db:
        ways = Adapters({"model": chain.rpc}, recorder)
        daemon = wire(config, ways, db, clock, lambda: None)
        yield World(fleet, chain, cluster, recorder, clock, db, daemon)


async def read(daemon: Daemon) -> None:
    """Read the chain as far as it goes."""
    for ingest in daemon.supervisor.ingests:
        await ingest.scanner.check()
        while await ingest.attempt():
            pass


Put = Callable[[int, str, Shown], None]


async def settle(fleet: Fleet, db: Database, daemon: Daemon, put: Put) -> None:
    """Have a running machine for every lease, through `put` (VMID, node, configuration)."""
    reconciler = daemon.reconciler
    rows = []
    for token in range(1, fleet.leases + 1):
        lease, vmid, node = fleet.lease(token), FIRST + token, fleet.node(token)
        facts = await reconciler.facts.of(lease)
        assert facts is not None
        assert facts.lease is not None
        want = desired(facts, facts.lease.nonce, reconciler.policy)
        put(vmid, node, _shown(daemon, want, vmid))
        moment = daemon.supervisor.clock.now()
        rows += [
            (lease, step, 1, vmid, node, want.nonce, moment, moment, "ok")
            for step in ("clone", "configure", "start", "mark-started")
        ]
    columns = "operation (key, step, attempt, vmid, node, nonce, started, finished, outcome)"
    async with db.transaction("operation_begin") as tx:
        tx.insert(columns, rows)
        await tx.run("DELETE FROM work")


def _shown(daemon: Daemon, want: DesiredMachine, vmid: int) -> Shown:
    """Return the configuration that the daemon would have left, by its own hand."""
    site = daemon.reconciler.site
    stamps = Stamps(
        configured=site.isolation(want, vmid).stamp,
        access=access_stamp(want.access),
        generation=want.access.generation,
        started=True,
    )
    bare = guestconfig.parse({})
    settings: GuestSettings = site.settings(want, vmid, bare, stamps)
    return dict(guestconfig.changes({}, settings, site.describe(want, vmid, stamps)))

"""The whole daemon in one process on virtual time: a chain model, a simulated cluster, real SQLite.

Nothing of the daemon is replaced but its transports and its clock. The loops are turned by hand, in
the order in which they would get their turn, so that a test can stop between any two of them, crash
at any fault point (`crash_at`) and start again. What became of it is judged by the chain model and
by the cluster's inventory, never by the daemon's own records.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from chainwatch.app import Adapters, Daemon, opened, wire
from chainwatch.chain.settings import SourceSettings
from chainwatch.config import (
    AdminConfig,
    Config,
    InstallationConfig,
    LogConfig,
    MachinesConfig,
    PolicyConfig,
    ProxmoxConfig,
)
from chainwatch.control.node_care import LOOK_EVERY
from chainwatch.control.passes import Outcome
from chainwatch.credentials import Secret
from chainwatch.domain.batches import Source
from chainwatch.domain.events import ZERO_ADDRESS, Event, ExpiryUpdated, KeysChanged, Transferred
from chainwatch.domain.lease import LeaseId
from chainwatch.errors import Transient
from chainwatch.store.database import Database
from provisioner import faultpoints
from provisioner.allocate import AddressRange, Pool
from provisioner.simulator.cluster import OS_TEMPLATE, Cluster
from provisioner.simulator.direct import DirectApi
from provisioner.simulator.guests import Guest
from provisioner.simulator.ssh.direct import DirectWays
from tests.support.chain_model import CONTRACT, ChainModel, minted, plan_events

ALICE: Final = "0x" + "a1" * 20
BOB: Final = "0x" + "b0" * 20
ALICES_KEY: Final = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILXVTDnmZnHJcxufRx5YXYJizU9Ulj8Mkwgtjc8zTUx4 alice@x"
)
BOBS_KEY: Final = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUfGc4XyMUNk9i3QpmMwTB1IQ0cNOdpMhDXjQFvP1WA bob@y"
)
TEMPLATE: Final = 9000
FIRST: Final = 20000
LAST: Final = 20019
TOKEN: Final = "root@pam!sim"
GRACE: Final = 86_400
HOUR: Final = 3600


class Crash(BaseException):
    """The process died here."""


class ClusterClock:
    """The daemon's clock, which is the cluster's: sleeping lets the cluster go on."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def now(self) -> int:
        return int(self._cluster.now)

    def monotonic(self) -> float:
        return self._cluster.now

    async def sleep(self, seconds: float) -> None:
        self._cluster.advance(max(seconds, 0))


def source_settings(name: str = "model", *, contract: str = CONTRACT) -> SourceSettings:
    """Return a source of the chain model: one confirmation, finality by the node's tag."""
    return SourceSettings(
        source=Source(name, 31337, contract, 0, "lease"),
        http=("http://model.invalid",),
        ws=("ws://model.invalid",),
        confirmations=1,
        finality="finalized",
        poll_interval=1.0,
        stale_after=7200.0,
        max_range=100,
        timeout=5.0,
    )


def config(folder: Path, **policy: int) -> Config:
    """Return the configuration of a small installation; `policy` changes its policy."""
    return Config(
        installation=InstallationConfig("test-1", folder, Secret(b"s" * 32)),
        sources=(source_settings(),),
        proxmox=ProxmoxConfig(
            *("https://127.0.0.1:8006", TOKEN, Secret(b"not used at all"), None, None, 35.0, 4, 4),
            storage_overcommit=2.0,
        ),
        machines=MachinesConfig(
            pool=Pool(FIRST, LAST, "02:00:00", AddressRange("203.0.113.10/24", "203.0.113.1")),
            template_vms=(TEMPLATE,),
            os_template=f"local:vztmpl/{OS_TEMPLATE}",
            container_storage="local",
            bridge="vmbr0",
            nameserver="192.0.2.53",
            user="debian",
            tags=frozenset({"chainwatch"}),
            shutdown_timeout=60,
            answer_timeout=300,
        ),
        policy=PolicyConfig(
            default_grace=GRACE,
            destroys_per_hour=policy.get("destroys_per_hour", 5),
            resync_interval=300.0,
            tick=1.0,
            workers=8,
            quarantine=policy.get("quarantine", 3600),
        ),
        admin=AdminConfig(folder / "admin.sock", None, None, None),
        log=LogConfig("info", "json"),
    )


@dataclass(slots=True)
class Realm:
    """One daemon, one chain, one cluster.

    `credential` is what the daemon was given to come to the cluster with, at its first start and at
    every other: whoever takes it away takes it from all of them, and who puts it back mends them.
    """

    config: Config
    chain: ChainModel
    cluster: Cluster
    daemon: Daemon
    db: Database
    surveyed: bool = False
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    credential: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.credential = self.cluster.default_token()

    # --------------------------------------------------------------------------- the chain side

    def mine(self, *events: Event, seconds: int = 12, tx: str | None = None) -> None:
        """Mine one block with `events`."""
        self.chain.mine(events, seconds=seconds, tx=tx)

    def confirm(self, seconds: int = 1) -> None:
        """Mine the block that confirms what was said last."""
        self.chain.mine(seconds=seconds)

    def finalize(self) -> None:
        """Mine until everything said so far is final."""
        for _ in range(self.chain.final_lag + 2):
            self.chain.mine(seconds=1)

    def buy(
        self,
        token: int = 1,
        owner: str = ALICE,
        key: str = ALICES_KEY,
        *,
        lasts: int = HOUR,
        plan: int = 1,
        tx: str | None = None,
    ) -> LeaseId:
        """Mint and confirm a lease of a plan that lasts `lasts` seconds from now."""
        expires_at = self.chain.head.timestamp + lasts
        said = [
            *minted(token, owner, plan=plan, expires_at=expires_at),
            KeysChanged(token, key, "0x"),
        ]
        self.mine(*said, tx=tx)
        self.confirm()
        return self.lease(token)

    def renew(self, token: int = 1, *, lasts: int = HOUR) -> None:
        """Mine (and do not confirm) a renewal to `lasts` seconds from now."""
        self.mine(ExpiryUpdated(token, self.chain.head.timestamp + lasts))

    def transfer(self, token: int = 1, sender: str = ALICE, recipient: str = BOB) -> None:
        """Mine (and do not confirm) a transfer."""
        self.mine(Transferred(token, sender, recipient), KeysChanged(token, "", "0x"))

    def burn(self, token: int = 1, owner: str = ALICE) -> None:
        """Mine (and do not confirm) a burn."""
        self.mine(Transferred(token, owner, ZERO_ADDRESS))

    def pass_time(self, seconds: int) -> None:
        """Let `seconds` of chain time pass, confirmed."""
        self.chain.mine(seconds=seconds)
        self.confirm()

    @staticmethod
    def lease(token: int = 1) -> LeaseId:
        return LeaseId(31337, CONTRACT, token)

    # -------------------------------------------------------------------------- the daemon side

    async def read(self) -> None:
        """Read every source as far as it goes."""
        for ingest in self.daemon.supervisor.ingests:
            while await ingest.attempt():
                pass

    async def check(self) -> None:
        """Check every source, as each ingest does before it reads; a silent one is let be."""
        for ingest in self.daemon.supervisor.ingests:
            with suppress(Transient):
                await ingest.scanner.check()

    async def turn(self) -> int:
        """Give every loop one turn; returns how many passes were made."""
        supervisor = self.daemon.supervisor
        if not self.surveyed:
            await self.check()
        await self.read()
        if supervisor.breaker.reason is not None and not await supervisor.breaker.probe():
            return 0
        if not self.surveyed:
            self.surveyed = await supervisor.first_survey()
        if not self.surveyed:
            return 0
        if supervisor.nodes.down:
            await supervisor.nodes.look()
        await supervisor.poller.poll()
        return await self.pass_all()

    async def pass_all(self) -> int:
        """Give every key that is due now one pass, one after the other; returns how many."""
        worker = self.daemon.supervisor.worker
        items = await worker.work.due(worker.clock.now(), 1_000_000)
        for item in items:
            await worker.process(item)
        return len(items)

    async def turns(self, count: int, seconds: float = 1) -> None:
        """Turn `count` times, `seconds` of the cluster's time apart."""
        for _ in range(count):
            await self.turn()
            self.cluster.advance(seconds)

    async def settle(self, seconds: int = 600, watch: Callable[[], object] = lambda: None) -> None:
        """Turn until nothing is left to do, letting at most `seconds` of cluster time pass.

        `watch` is called before every turn.
        """
        end = self.cluster.now + seconds
        while self.cluster.now < end:
            watch()
            if await self.turn():
                continue
            if await self.quiet():
                return
            self.cluster.advance(1)
        raise AssertionError(f"not settled within {seconds} s: {await self.sentences()}")

    async def tended(self) -> None:
        """Have the nodes looked at twice, by lists of then, where they are reached."""
        care = self.daemon.supervisor.care
        if care is not None:
            for _ in range(2):
                self.cluster.advance(LOOK_EVERY)
                await care.look()

    async def quiet(self) -> bool:
        """Say whether nothing is left to do."""
        stores, now = self.daemon.stores, self.daemon.supervisor.clock.now()
        if await stores.operations.open_all() or self.daemon.supervisor.breaker.reason:
            return False
        due = await stores.work.next_due(now)
        return (due is None or due > now + 120) and not await stores.work.depth(now)

    async def sentences(self) -> dict[str, str]:
        """Say how every lease stands."""
        reconciler, leases = self.daemon.reconciler, self.daemon.stores.leases
        ids = [
            lease for each in self.config.sources for lease in await leases.ids(each.source.name)
        ]
        return {lease: (await reconciler.explain(lease)).sentence for lease in ids}

    async def alarms(self) -> dict[str, str]:
        """Return the alarms that stand, name → text."""
        return {alarm.name: alarm.text for alarm in await self.daemon.stores.alarms.all()}

    async def restart(self) -> None:
        """Start the daemon again over the same database, as systemd would after a crash."""
        faultpoints.arm(None)
        await self.db.close()
        self.db = await Database.open(self.config.installation.state_dir / "test.db", create=False)
        self.daemon = wired(self.config, self.chain, self.cluster, self.db, self.credential)
        self.surveyed = False

    # ------------------------------------------------------------------------- the cluster side

    def guests(self) -> dict[int, Guest]:
        """Return the guests in our range that our token made."""
        made = self.cluster.inventory().created_by(TOKEN)
        return {vmid: self.cluster.guest(vmid) for vmid in made}

    def guest(self) -> Guest:
        """Return the only machine there is."""
        (guest,) = self.guests().values()
        return guest

    def running(self) -> list[int]:
        """Return the VMIDs of our machines that run."""
        guests = self.cluster.inventory().guests
        return [vmid for vmid in self.guests() if guests[vmid].power == "running"]

    def touched_foreign(self) -> tuple[int, ...]:
        """Return what we laid hands on that was not ours."""
        return tuple(self.cluster.inventory().foreign_touched.get(TOKEN, ()))

    def leaked(self) -> tuple[str, ...]:
        """Return the volumes and firewalls of machines that are gone."""
        there = self.cluster.inventory()
        firewalls = (f"firewall of {vmid}" for vmid in there.leaked_firewalls())
        return (*there.leaked_volumes(), *firewalls)


def crash_at(point: str, nth: int = 1) -> None:
    """Have the process die when `point` is reached for the `nth` time."""
    assert point in faultpoints.POINTS, point
    left = nth

    def die(reached: str) -> None:
        nonlocal left
        if reached == point:
            left -= 1
            if left == 0:
                raise Crash(point)

    faultpoints.arm(die)


def wired(
    settings: Config,
    chain: ChainModel,
    cluster: Cluster,
    db: Database,
    credential: str | None = None,
) -> Daemon:
    """Wire a daemon to a chain model and a simulated cluster; with a new token if it has none."""
    nodes = DirectWays(cluster) if settings.nodes else None
    ways = Adapters({"model": chain.rpc}, DirectApi(cluster, credential), nodes)
    return wire(settings, ways, db, ClusterClock(cluster), lambda: None)


@asynccontextmanager
async def realm(
    folder: Path,
    *,
    plan: Sequence[Event] | None = None,
    cluster: Cluster | None = None,
    adjust: Callable[[Config], Config] = lambda same: same,
    **policy: int,
) -> AsyncIterator[Realm]:
    """Open a realm whose contract sells plan 1; close it, and disarm every fault, at the end.

    `adjust` changes the configuration.
    """
    chain, settings = ChainModel(final_lag=3), adjust(config(folder, **policy))
    machines = cluster or Cluster()
    machines.add_template(TEMPLATE)
    machines.add_os_template()
    chain.mine(plan_events() if plan is None else plan)
    async with opened(settings, folder / "test.db", create=True) as db:
        made = Realm(settings, chain, machines, wired(settings, chain, machines, db), db)
        try:
            yield made
        finally:
            faultpoints.arm(None)
            if made.db is not db:
                await made.db.close()

"""The whole daemon in one process, over a real lease contract and a simulated cluster, with a key.

Its loops are turned by hand: read, pass, send. The chain mines what it is given at once, and is
final two blocks behind; a test mines on purpose where time or finality is to pass. What became of a
lease is asked of the contract and of the cluster, and what a buyer learns is what he decrypts.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from eth_utils.address import to_checksum_address

from chainwatch.app import Adapters, Daemon, desk, opened, wire
from chainwatch.chain.ethereum import keccak
from chainwatch.chain.rpc import RpcPool
from chainwatch.chain.settings import SourceSettings
from chainwatch.config import Config
from chainwatch.config.sender import SenderChainConfig, SenderConfig
from chainwatch.control.desk import Desk
from chainwatch.control.pulse import Pulse
from chainwatch.credentials import Secret
from chainwatch.domain import details
from chainwatch.domain.batches import Source
from chainwatch.domain.details import Details
from chainwatch.domain.lease import LeaseId
from chainwatch.domain.sealing import Place
from chainwatch.domain.sealing import opened as unsealed
from chainwatch.domain.sendings import Kind, Sending
from chainwatch.store.database import Database
from chainwatch.store.installation import check_installation
from chainwatch.store.wishes import Wish
from provisioner import faultpoints
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.direct import DirectApi
from provisioner.simulator.guests import Guest
from provisioner.simulator.ssh.direct import DirectWays
from tests.support.anvil import CHAIN_ID, Anvil, running
from tests.support.lease_contract import LeaseContract, PlanOffer, Said, open_shop
from tests.support.post import ADDRESS, CEILING, COIN, KEY
from tests.support.realm import (
    ALICES_KEY,
    FIRST,
    TEMPLATE,
    ClusterClock,
    Crash,
    config,
)

HOUR: Final = 3_600
GRACE: Final = 7_200
SMALL: Final = PlanOffer(name="small", cores=2, memory_mib=2048, disk_gib=20, grace=GRACE)
LARGE: Final = replace(
    SMALL, name="large", cores=4, memory_mib=4096, disk_gib=40, price_per_second=2_000
)
HOST_KEY: Final = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUfGc4XyMUNk9i3QpmMwTB1IQ0cNOdpMhDXjQFvP1WA"
KEY_FILE: Final = "/etc/ssh/ssh_host_ed25519_key.pub"


@dataclass(slots=True)
class Estate:
    """One daemon, one contract, one cluster; plan 1 is small and plan 2 is large.

    Nothing is sent while it does not `sends`, as if that took long.
    """

    anvil: Anvil
    shop: LeaseContract
    alice: str
    bob: str
    config: Config
    pool: RpcPool
    cluster: Cluster
    db: Database
    daemon: Daemon
    surveyed: bool = False
    crashes: int = 0
    sends: bool = True
    keys: dict[str, X25519PrivateKey] = field(default_factory=dict)

    # ------------------------------------------------------------------------------ the chain

    def public(self, who: str) -> bytes:
        """Return somebody's encryption key; the private one stays with him."""
        private = self.keys.setdefault(who, X25519PrivateKey.generate())
        return private.public_key().public_bytes_raw()

    async def buy(self, *, plan: int = 1, seconds: int = HOUR, key: bytes | None = None) -> int:
        """Alice buys a lease, with a key of hers unless another is given; returns its token."""
        told = self.public(self.alice) if key is None else key
        token, _ = await self.shop.mint(
            *(plan, self.alice), seconds=seconds, ssh_key=ALICES_KEY, encryption_key=told
        )
        await self.anvil.mine(1)
        return token

    async def ask(self, token: int, kind: int) -> None:
        """Alice asks for something, confirmed and not final."""
        await self.shop.deployed.send("requestAction", token, kind, b"", sender=self.alice)
        await self.anvil.mine(1)

    async def finalize(self) -> None:
        """Mine until what was said is final."""
        await self.anvil.mine(6)

    async def pass_time(self, seconds: int) -> None:
        """Let chain time pass, and have that be final."""
        head = await self.anvil.block()
        await self.anvil.advance_to(head.timestamp + seconds)
        await self.finalize()

    async def delivered_at(self, token: int) -> int:
        return await self.shop.deployed.call(int, "deliveredAt", token)

    async def read_by(self, who: str, token: int) -> Details:
        """Decrypt what the contract tells of a lease, as a buyer does."""
        blob = await self.shop.deployed.call(bytes, "connectionOf", token)
        place = Place(CHAIN_ID, self.shop.address.lower(), token)
        return details.read(unsealed(blob, self.keys[who], place))

    async def credit(self, who: str) -> int:
        return await self.shop.deployed.call(int, "creditOf", f"0x{0:040x}", who)

    # ----------------------------------------------------------------------------- the daemon

    def lease(self, token: int) -> str:
        return str(LeaseId(CHAIN_ID, self.shop.address.lower(), token))

    async def turn(self, *, reads: int = 1_000_000) -> None:
        """Give every loop one turn: read (so many batches at most), look at tasks, pass, send."""
        supervisor = self.daemon.supervisor
        for ingest in supervisor.ingests:
            if not self.surveyed:
                await ingest.scanner.check()
            left = reads
            while left and await ingest.attempt():
                left -= 1
        if supervisor.breaker.reason is None or await supervisor.breaker.probe():
            await self._work()
        for sender in supervisor.senders if self.sends else ():
            await sender.attempt()

    async def _work(self) -> None:
        supervisor = self.daemon.supervisor
        if not self.surveyed:
            self.surveyed = await supervisor.first_survey()
        if supervisor.nodes.down:
            await supervisor.nodes.look()
        await supervisor.poller.poll()
        worker = supervisor.worker
        for item in await worker.work.due(worker.clock.now(), 1_000):
            await worker.process(item)

    async def turns(self, count: int = 30, seconds: float = 4) -> None:
        """Turn often, over and over again after a crash, with time of the cluster in between."""
        for _ in range(count):
            try:
                await self.turn()
            except Crash:
                self.crashes += 1
                await self.restart()
            self.cluster.advance(seconds)

    async def until(
        self, what: Callable[[], Awaitable[bool]], *, turns: int = 120, seconds: float = 4
    ) -> None:
        """Turn until something holds, a block of the chain with each turn."""
        for _ in range(turns):
            await self.turns(1, seconds)
            if await what():
                return
            await self.anvil.mine(1)
        raise AssertionError(await self.sentences())

    async def is_delivered(self, token: int) -> None:
        """Turn until a lease is delivered, and the daemon has read that, final."""

        async def there() -> bool:
            return bool(await self.delivered_at(token))

        await self.until(there)
        await self.finalize()
        await self.turns(3)

    async def sentences(self) -> Mapping[str, object]:
        stores = self.daemon.stores
        return {
            lease: (
                (await self.daemon.reconciler.explain(lease)).sentence,
                await stores.sendings.of(lease, 9),
                await stores.alarms.all(),
            )
            for lease in await stores.leases.ids()
        }

    async def sendings(self, token: int, kind: Kind | None = None) -> Sequence[Sending]:
        """Return what was wanted of a lease, the oldest first."""
        found = await self.daemon.stores.sendings.of(self.lease(token), 100)
        return [each for each in reversed(found) if kind in (None, each.intent.kind)]

    async def wishes(self, token: int) -> Sequence[Wish]:
        """Return what was asked of a machine, the oldest first."""
        return (await self.daemon.stores.wishes.of(self.lease(token), 100))[::-1]

    async def said(self, name: str) -> list[Said]:
        """Return every event of a name that stands on the chain now."""
        event = self.shop.deployed.contract.get_event_by_name(name)
        logs = await event.get_logs(from_block=0)
        return [Said(name, dict(log["args"])) for log in logs]

    async def restart(self) -> None:
        """Start the daemon again over the same database."""
        faultpoints.arm(None)
        await self.db.close()
        path = self.config.installation.state_dir / "estate.db"
        self.db = await Database.open(path, create=False)
        self.daemon = wired(self.config, self.pool, self.cluster, self.db)
        self.surveyed = False

    def desk(self) -> Desk:
        """Return the desk at which operators ask and order."""
        ways = Adapters({"shop": self.pool}, DirectApi(self.cluster))
        pulse = Pulse(self.daemon.supervisor.clock, lambda: None)
        return desk(self.config, ways, self.daemon, pulse)

    async def reopen(self) -> None:
        """Start the daemon with a new database, the old one being lost."""
        path = self.config.installation.state_dir / "estate.db"
        self.db = await Database.open(path, create=True)
        await check_installation(
            self.db,
            self.config.installation.id,
            [each.source for each in self.config.sources],
        )
        self.daemon = wired(self.config, self.pool, self.cluster, self.db)
        self.surveyed = False

    # ---------------------------------------------------------------------------- the cluster

    def guest(self) -> Guest:
        return self.cluster.guest(FIRST)

    def machines(self) -> dict[int, list[str]]:
        """Return how the machines of each token stand in the cluster, by what they prove of it.

        One that is still being made proves nothing yet, and is not among them.
        """
        signer = self.daemon.supervisor.resync.site.signer
        found: dict[int, list[str]] = {}
        for vmid, each in sorted(self.cluster.inventory().guests.items()):
            told = self.cluster.guest(vmid).config.get("description", "")
            if (proof := signer.prove(str(told), vmid)) is not None:
                found.setdefault(LeaseId.parse(proof[0].key).token, []).append(each.power)
        return found

    def running(self) -> bool:
        guests = self.cluster.inventory().guests
        return FIRST in guests and guests[FIRST].power == "running"


def wired(settings: Config, pool: RpcPool, cluster: Cluster, db: Database) -> Daemon:
    nodes = DirectWays(cluster) if settings.nodes else None
    ways = Adapters({"shop": pool}, DirectApi(cluster), nodes)
    return wire(settings, ways, db, ClusterClock(cluster), lambda: None)


def shop_at(url: str, source: Source) -> SourceSettings:
    """Return how a shop is read: by one endpoint, with no patience and one confirmation."""
    return SourceSettings(
        source=source,
        http=(url,),
        ws=(),
        confirmations=1,
        finality="finalized",
        poll_interval=1.0,
        stale_after=1e9,
        max_range=100,
        timeout=5.0,
    )


@asynccontextmanager
async def estate(
    folder: Path,
    *,
    adjust: Callable[[Config], Config] = lambda same: same,
    cluster: Cluster | None = None,
    kind: int = 0,
) -> AsyncIterator[Estate]:
    """Open an estate: a contract that sells two plans, and a daemon that may deliver.

    Both plans are of a `kind` of machine: 0 is virtual, 1 a container.
    """
    async with running() as anvil:
        shop = await open_shop(anvil)
        await shop.create_plan(replace(SMALL, kind=kind))
        await shop.create_plan(replace(LARGE, kind=kind))
        role = keccak(b"PROVISIONER_ROLE")
        await shop.deployed.send("grantRole", role, to_checksum_address(ADDRESS), sender=shop.admin)
        await anvil.rpc("anvil_setBalance", ADDRESS, hex(COIN))
        sender = SenderConfig(Secret(KEY), (SenderChainConfig(CHAIN_ID, CEILING, COIN // 100),))
        source = shop_at(anvil.url, Source("shop", CHAIN_ID, shop.address.lower(), 0, "lease"))
        settings = adjust(replace(config(folder), sources=(source,), sender=sender))
        async with founded(folder, anvil, shop, settings, cluster) as made:
            yield made


@asynccontextmanager
async def founded(
    folder: Path,
    anvil: Anvil,
    shop: LeaseContract,
    settings: Config,
    cluster: Cluster | None = None,
) -> AsyncIterator[Estate]:
    """Open an estate over a contract that is there, whose people are the chain's own."""
    _, alice, bob, *_ = await anvil.accounts()
    cluster, pool = cluster or Cluster(), RpcPool((anvil.url,), timeout=5.0)
    cluster.add_template(TEMPLATE)
    cluster.add_os_template()
    template = cluster.guest(TEMPLATE).os
    template.folders.add("/etc/ssh")
    template.files[KEY_FILE] = f"{HOST_KEY} root@template\n"
    async with opened(settings, folder / "estate.db", create=True) as db:
        daemon = wired(settings, pool, cluster, db)
        made = Estate(anvil, shop, alice, bob, settings, pool, cluster, db, daemon)
        try:
            yield made
        finally:
            faultpoints.arm(None)
            if made.db is not db:
                await made.db.close()
            await pool.close()

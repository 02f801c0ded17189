"""The daemon's own loops on real time, between a real chain and a simulated cluster.

anvil and the simulator are processes of their own; the daemon runs in this one, so that what it
asks can be timed where it asks, and is wired as the real one is. Only what is sold and how many are
cloned at once differ from the defaults, and every section says so.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from web3 import AsyncWeb3
from web3.types import Wei

from chainwatch import log
from chainwatch.app import Adapters, Daemon, opened, wire
from chainwatch.app.sites import firewalls
from chainwatch.chain.rpc import RpcPool
from chainwatch.chain.settings import SourceSettings
from chainwatch.config import Config, LogConfig, PolicyConfig
from chainwatch.control.supervisor import Supervisor
from chainwatch.demo import cluster
from chainwatch.domain.batches import Source
from chainwatch.runtime.clock import Clock, SystemClock
from provisioner.allocate import AddressRange, Pool
from provisioner.backends.proxmox.client import ProxmoxerApi
from provisioner.backends.proxmox.hypervisor import ProxmoxHypervisor
from provisioner.backends.proxmox.settings import ProxmoxEndpoint, ProxmoxSettings
from tests.bench.recorder import Recorder
from tests.support.anvil import CHAIN_ID, Anvil, running
from tests.support.lease_contract import LeaseContract, PlanOffer, open_shop, purchase
from tests.support.pve import NODE, TEMPLATE
from tests.support.realm import ALICES_KEY
from tests.support.realm import config as small

SOLD: Final = PlanOffer(cores=2, memory_mib=2048, disk_gib=10)
LASTS: Final = 30 * 86_400
GAS: Final = 800_000
CLONES: Final = 4
#: Real seconds of the simulated tasks that make a machine: linked clone, resize, start; and a boot.
CLONE_SECONDS: Final = 0.65
TASKS: Final = {"clone": CLONE_SECONDS, "resize": 0.2, "start": 1.2, "boot": 8.0}
PATIENCE: Final = 120.0


@dataclass(frozen=True, slots=True)
class Rig:
    """A daemon at work, whom it watches and what it asks; made by `rig`."""

    anvil: Anvil
    shop: LeaseContract
    buyer: str
    price: int
    daemon: Daemon
    recorder: Recorder

    @property
    def _clock(self) -> Clock:
        return self.daemon.supervisor.clock

    async def order(self) -> None:
        """Send a purchase to the chain; it is in no block yet."""
        far = 2**63
        mint = self.shop.deployed.contract.functions.mint(
            purchase(1, self.buyer, LASTS, self.price * LASTS, far, ssh_key=ALICES_KEY)
        )
        sender = AsyncWeb3.to_checksum_address(self.buyer)
        await mint.transact({"from": sender, "value": Wei(self.price * LASTS), "gas": GAS})

    async def mine(self) -> float:
        """Mine what was ordered; returns when (monotonic s) the node was asked to."""
        asked_at = time.monotonic()
        await self.anvil.rpc("evm_mine")
        return asked_at

    def lease(self, token: int) -> str:
        """Return a lease's public id."""
        return f"eip155:{CHAIN_ID}/erc721:{self.shop.address.lower()}/{token}"

    async def finished(self, machines: int) -> None:
        """Return when so many machines were made and seen to answer. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE):
            while len(await self._made()) < machines:
                await self._clock.sleep(0.5)

    async def _made(self) -> Sequence[str]:
        log = await self.daemon.stores.operations.recent(100_000)
        return [each.key for each in log if (each.step, each.outcome) == ("mark-started", "ok")]


@asynccontextmanager
async def rig(folder: Path, *, clean: bool = True) -> AsyncIterator[Rig]:
    """Start it all; a `clean` template passes on the firewall that machines are to have."""
    quiet()
    async with (
        running() as anvil,
        cluster.running(folder / "pve", speed=1.0, clone_seconds=CLONE_SECONDS) as machines,
    ):
        shop = await open_shop(anvil)
        await shop.create_plan(SOLD)
        price = await shop.price(1)
        await anvil.rpc("evm_setAutomine", False)
        source = source_at(anvil, shop.address, ws=True)
        proxmox = ProxmoxerApi(await asyncio.to_thread(_endpoint, machines.where))
        pool = RpcPool(source.http, timeout=source.timeout)
        try:
            if clean:
                await _prepare(proxmox, configured(folder, source))
            recorder, config = Recorder(proxmox), configured(folder, source)
            ways = Adapters({source.source.name: pool}, recorder)
            async with opened(config, folder / "bench.db", create=True) as db:
                daemon = wire(config, ways, db, SystemClock(), lambda: None)
                buyer = (await anvil.accounts())[1]
                async with at_work(daemon):
                    yield Rig(anvil, shop, buyer, price, daemon, recorder)
        finally:
            proxmox.close()
            await pool.close()


@asynccontextmanager
async def at_work(daemon: Daemon) -> AsyncIterator[None]:
    """Run the daemon's loops; the block begins when it has read its source and its machines."""
    async with asyncio.TaskGroup() as group:
        running_ = group.create_task(daemon.supervisor.run(), name="daemon")
        try:
            async with asyncio.timeout(PATIENCE):
                while not _ready(daemon.supervisor):
                    await daemon.supervisor.clock.sleep(0.1)
            yield
        finally:
            running_.cancel()


def _ready(supervisor: Supervisor) -> bool:
    read = all(ingest.status.looked for ingest in supervisor.ingests)
    return read and supervisor.resync.surveyed_at is not None


def source_at(anvil: Anvil, contract: str, *, ws: bool) -> SourceSettings:
    """Return how the daemon reads a contract on `anvil`: as by default, without confirmations."""
    return SourceSettings(
        source=Source("model", CHAIN_ID, contract.lower(), 0, "lease"),
        http=(anvil.url,),
        ws=(anvil.ws_url,) if ws else (),
        confirmations=0,
        finality="finalized",
        poll_interval=2.0,
        stale_after=3600.0,
        max_range=2000,
        timeout=10.0,
    )


def configured(folder: Path, source: SourceSettings) -> Config:
    """Return the configuration: policy as by default, and room for a thousand machines."""
    base = small(folder)
    addresses = AddressRange("10.64.0.10/16", "10.64.0.1")
    return replace(
        base,
        sources=(source,),
        proxmox=replace(base.proxmox, clones_per_storage=CLONES, threads=8),
        machines=replace(base.machines, pool=Pool(20_000, 20_999, "02:00:00", addresses)),
        policy=PolicyConfig(
            default_grace=604_800,
            destroys_per_hour=5,
            resync_interval=300.0,
            tick=1.0,
            workers=8,
            quarantine=86_400,
        ),
    )


def quiet() -> None:
    """Have the daemon write warnings only: what a log costs is its reader's affair."""
    log.configure(LogConfig("warning", "console"))


def _endpoint(where: cluster.Announcement) -> ProxmoxEndpoint:
    return ProxmoxEndpoint(
        host="127.0.0.1",
        port=int(where.url.rpartition(":")[2]),
        token_id=where.token_id,
        token_secret=where.token_file.read_text().strip(),
        ca_file=where.ca_file,
    )


async def _prepare(proxmox: ProxmoxerApi, config: Config) -> None:
    """Do what an operator would: give the template the firewall of its clones."""
    hypervisor = ProxmoxHypervisor(proxmox, ProxmoxSettings((TEMPLATE,)), time.monotonic)
    await hypervisor.isolate(NODE, TEMPLATE, firewalls(config)[TEMPLATE][0])

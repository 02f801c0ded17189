"""How fast a source is read from its start block: blocks, logs, the fold and the commits.

A real chain is filled with purchases and renewals first. Then the daemon's own reading begins with
an empty database, as after a `rebuild`, and is timed until it has reached the head.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from chainwatch.app import Adapters, opened, wire
from chainwatch.chain.rpc import RpcPool
from chainwatch.control.ingest import Ingest
from chainwatch.runtime.clock import SystemClock
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.direct import DirectApi
from tests.bench.report import Figure, Section
from tests.bench.rig import SOLD, configured, quiet, source_at
from tests.support.anvil import Anvil, running
from tests.support.lease_contract import LeaseContract, open_shop
from tests.support.realm import ALICES_KEY

#: Purchases in a block; the block after it renews them.
PER_BLOCK: Final = 20
LASTS: Final = 3600
GAS: Final = 600_000


async def measure(rounds: int, events: int) -> Section:
    """Read a chain of at least so many events, from nothing, in each of so many rounds."""
    quiet()
    async with running() as anvil:
        shop = await _filled(anvil, events)
        seen = [await _read(anvil, shop) for _ in range(rounds)]
        head = await anvil.block()
    count = seen[0][0]
    return Section(
        "Catching up",
        f"{count} events in {head.number} blocks of a local anvil over HTTP, ranges of 2000 "
        "blocks at most, an empty database",
        (
            Figure("events of the journal", "events/s", [n / s for n, s in seen], count),
            Figure("the whole reading", "s", [s for _, s in seen], rounds),
        ),
    )


async def _filled(anvil: Anvil, events: int) -> LeaseContract:
    """Open a shop and fill its chain: a block of purchases, a block of renewals, and so on."""
    shop = await open_shop(anvil)
    await shop.create_plan(SOLD)
    buyer, value = (await anvil.accounts())[1], await shop.price(1) * LASTS
    mint = ("mint", (1, buyer, LASTS, value, 2**63, ALICES_KEY, b""))
    await anvil.rpc("evm_setAutomine", False)
    tokens = nonce = said = 0
    while said < events:
        tokens += PER_BLOCK
        last = range(tokens - PER_BLOCK + 1, tokens + 1)
        renewals = [("renewSubscription", (token, LASTS)) for token in last]
        for calls in ([mint] * PER_BLOCK, renewals):
            for name, arguments in calls:
                data = shop.deployed.contract.encode_abi(name, args=arguments)
                request = {"from": buyer, "to": shop.address, "data": data, "gas": hex(GAS)}
                request |= {"nonce": hex(nonce), "value": hex(value)}
                await anvil.rpc("eth_sendTransaction", request)
                nonce += 1
            await anvil.rpc("evm_mine")
            said += await _logs_of_head(anvil, shop.address)
    await anvil.mine(4)
    return shop


async def _logs_of_head(anvil: Anvil, contract: str) -> int:
    where = {"address": contract, "fromBlock": "latest", "toBlock": "latest"}
    match await anvil.rpc("eth_getLogs", where):
        case list(logs):
            return len(logs)
        case answer:
            raise LookupError(f"no logs: {answer}")


async def _read(anvil: Anvil, shop: LeaseContract) -> tuple[int, float]:
    """Return how many events were read, and in how many seconds."""
    source = source_at(anvil, shop.address, ws=False)
    pool = RpcPool(source.http, timeout=source.timeout)
    with TemporaryDirectory() as folder:
        config = configured(Path(folder), source)
        ways = Adapters({source.source.name: pool}, DirectApi(Cluster()))
        try:
            async with opened(config, Path(folder) / "bench.db", create=True) as db:
                daemon = wire(config, ways, db, SystemClock(), lambda: None)
                began = time.monotonic()
                await _to_the_head(daemon.supervisor.ingests)
                seconds = time.monotonic() - began
                events = await daemon.stores.journal.events(limit=10_000_000)
        finally:
            await pool.close()
    return len(events), seconds


async def _to_the_head(ingests: Sequence[Ingest]) -> None:
    for ingest in ingests:
        while await ingest.attempt():
            pass

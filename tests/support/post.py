"""A daemon that sends, over a real chain and a contract that counts what is done to it.

Reading and sending are turned by hand, and so is the chain: nothing is mined unless a test says so.
Whether something was done once is judged by the contract, which minds nothing being done twice, and
by the account's nonces; never by our own rows.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, cast

from eth_abi.abi import encode
from eth_account import Account

from chainwatch.app import Adapters, Daemon, wire
from chainwatch.chain.profiles.signatures import selector
from chainwatch.chain.rpc import Call as RpcCall
from chainwatch.chain.rpc import Rpc, RpcError, RpcPool
from chainwatch.chain.sender.looks import WANTED, Answer, Look, Looks, Seen, Word
from chainwatch.chain.settings import SourceSettings
from chainwatch.chain.standing import Health
from chainwatch.config import Config
from chainwatch.config.sender import SenderChainConfig, SenderConfig
from chainwatch.control.sender import Sender
from chainwatch.credentials import Secret
from chainwatch.demo.deployed import Deployed, deploy
from chainwatch.domain.batches import Source
from chainwatch.domain.lease import LeaseId, Plan
from chainwatch.domain.sendings import Call, Intent, Kind, Sending, State
from chainwatch.store.database import Database
from chainwatch.store.installation import check_installation
from provisioner import faultpoints
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.direct import DirectApi
from tests.support.anvil import Anvil
from tests.support.compiled import fixture
from tests.support.realm import ClusterClock, Crash, config
from tests.support.wanting import want

GWEI: Final = 10**9
COIN: Final = 10**18
KEY: Final = bytes.fromhex("5e" * 32)
ADDRESS: Final = str(Account.from_key(KEY).address).lower()
CEILING: Final = 50 * GWEI
NAME: Final = "post"
#: An account that has nothing and does nothing.
BOX: Final = "0x" + "b0" * 20
_SOLD: Final = Plan(id=0, name=NAME, cores=1, memory_mib=1024, disk_gib=10, grace=60, defined=True)


def source_on(contract: str, chain_id: int, url: str, name: str, profile: str) -> SourceSettings:
    """Return a source that reads `contract`: one confirmation, finality by the node's tag."""
    return SourceSettings(
        source=Source(name, chain_id, contract.lower(), 0, profile),
        http=(url,),
        ws=(),
        confirmations=1,
        finality="finalized",
        poll_interval=1.0,
        stale_after=3600.0,
        max_range=100,
        timeout=5.0,
        plan=None if profile == "lease" else _SOLD,
    )


def delivered(sending: Sending) -> Look:
    """Look whether a token is delivered, or takes no delivery any more."""
    token = LeaseId.parse(sending.intent.lease).token

    def judge(answers: Sequence[Answer]) -> Seen:
        times, gone = (int.from_bytes(a) if isinstance(a, bytes) else 0 for a in answers)
        if times:
            return Seen(Word.DONE, "it is delivered")
        return Seen(Word.MOOT, "it takes no delivery") if gone else WANTED

    to, word = sending.intent.call.to, f"{token:064x}"
    views = (f"{selector('delivered(uint256)')}{word}", f"{selector('gone(uint256)')}{word}")
    return Look(tuple((to, view) for view in views), judge)


def blind(sending: Sending) -> Look:
    """See nothing: what is sent rests on its nonce alone."""
    del sending
    return Look((), lambda _: WANTED)


def delivery(
    contract: str, token: int, chain_id: int, *, source: str = NAME, kind: Kind = Kind.DELIVER
) -> Intent:
    """Return the wish that a token be delivered, under the name of any kind."""
    data = selector("deliver(uint256,bytes)") + encode(["uint256", "bytes"], [token, b"x"]).hex()
    lease = str(LeaseId(chain_id, contract.lower(), token))
    return Intent(source, kind, lease, "test", Call(contract.lower(), data))


Spoil = Callable[[str, Sequence[object], object], object]


class _SpoiltRpc:
    """An endpoint whose answers go through `spoil`, which may raise or give an `RpcError`."""

    def __init__(self, honest: Rpc, spoil: Spoil) -> None:
        self._honest, self._spoil = honest, spoil

    name = "spoilt"

    async def call(self, method: str, *params: object) -> object:
        return self._spoil(method, params, await self._honest.call(method, *params))

    async def batch(self, calls: Sequence[RpcCall]) -> list[object | RpcError]:
        answers = zip(calls, await self._honest.batch(calls), strict=True)
        return [self._spoil(method, params, answer) for (method, params), answer in answers]


class Spoilt:
    """The only endpoint spoilt, or a spoilt one before it (`beside`)."""

    def __init__(self, pool: RpcPool, spoil: Spoil, *, beside: bool = False) -> None:
        self._pool, self._spoil, self._beside = pool, spoil, beside

    def ranked(self) -> Sequence[Rpc]:
        (rpc,) = self._pool.ranked()
        odd = cast("Rpc", _SpoiltRpc(rpc, self._spoil))
        return [odd, rpc] if self._beside else [odd]

    def health(self) -> Sequence[Health]:
        (known,) = self._pool.health()
        odd = replace(known, host="spoilt")
        return [odd, known] if self._beside else [odd]


async def nothing_owed(_: "Post") -> None: ...


@dataclass(slots=True)
class Post:
    """The daemon, its chain and the contract."""

    anvil: Anvil
    chain_id: int
    _contract: Deployed | None
    config: Config
    pools: dict[str, RpcPool]
    cluster: Cluster
    db: Database
    daemon: Daemon
    looks: Looks
    #: What becomes owed when the sender has looked, as a pass beside it may find out.
    owe: Callable[["Post"], Awaitable[None]] = nothing_owed
    #: Blocks that are mined while the daemon is dead.
    missed: int = 0
    crashes: int = 0

    @property
    def sender(self) -> Sender:
        (sender,) = self.daemon.supervisor.senders
        return sender

    @property
    def contract(self) -> Deployed:
        """The contract that the first source reads."""
        assert self._contract is not None
        return self._contract

    # ---------------------------------------------------------------------------------- the chain

    async def mine(self, blocks: int = 1) -> None:
        """Mine what waits, and empty blocks."""
        await self.anvil.mine(blocks)

    async def times(self, token: int) -> int:
        """Return how often a token was delivered, by the contract's own count."""
        return await self.contract.call(int, "delivered", token)

    async def nonce(self) -> int:
        """Return how many transactions of our account were mined."""
        return int(str(await self.anvil.rpc("eth_getTransactionCount", ADDRESS, "latest")), 16)

    async def pending(self) -> list[str]:
        """Return the hashes of our account's transactions that wait, by nonce."""
        pool = await self.anvil.rpc("txpool_content")
        assert isinstance(pool, dict)
        found: dict[int, str] = {}
        for part in ("pending", "queued"):
            for address, by_nonce in pool[part].items():
                if address.lower() == ADDRESS:
                    found |= {int(nonce): str(tx["hash"]) for nonce, tx in by_nonce.items()}
        return [found[nonce] for nonce in sorted(found)]

    async def drop(self, tx_hash: str) -> None:
        """Have the node forget a transaction that waits."""
        await self.anvil.rpc("anvil_dropTransaction", tx_hash)

    async def base_fee(self, wei: int) -> None:
        """Set what the next block asks."""
        await self.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(wei))

    async def impersonate(self, **fields: object) -> str:
        """Send a transaction with our key past our daemon, as its thief would."""
        await self.anvil.rpc("anvil_impersonateAccount", ADDRESS)
        try:
            return str(await self.anvil.rpc("eth_sendTransaction", {"from": ADDRESS, **fields}))
        finally:
            await self.anvil.rpc("anvil_stopImpersonatingAccount", ADDRESS)

    # --------------------------------------------------------------------------------- the daemon

    async def want(self, token: int, *, source: str = NAME, kind: Kind = Kind.DELIVER) -> None:
        """Want a token delivered."""
        to, chain = self.contract.address, self.chain_id
        intent = delivery(to, token, chain, source=source, kind=kind)
        await self._alive(lambda: want(self.daemon.stores.db, intent, now=self.cluster_now()))

    async def want_coins(self, to: str, wei: int) -> None:
        """Want `to` to have some more coins."""
        intent = Intent(NAME, Kind.DELIVER, "coins", f"{wei} to {to}", Call(to, "0x", wei))
        await want(self.daemon.stores.db, intent, now=self.cluster_now())

    def cluster_now(self) -> int:
        return int(self.cluster.now)

    async def turn(self) -> None:
        """Read all there is, then do one pass of sending."""
        for ingest in self.daemon.supervisor.ingests:
            while await ingest.attempt():
                pass
        await self._alive(self._attempt)
        await self._alive(lambda: self.owe(self))

    async def _attempt(self) -> None:
        await self.sender.attempt()  # of the daemon that lives now

    async def _alive(self, act: Callable[[], Awaitable[object]]) -> None:
        """Do something, and should the process die of it, start it again and do it again."""
        try:
            await act()
        except Crash:
            self.crashes += 1
            if self.missed:
                await self.mine(self.missed)
            await self.restart()
            await act()

    async def turns(self, count: int, *, blocks: int = 1) -> None:
        """Mine and take turns."""
        for _ in range(count):
            await self.mine(blocks)
            await self.turn()

    def wait(self, seconds: float) -> None:
        """Let wall time pass."""
        self.cluster.advance(seconds)

    async def sendings(self) -> list[Sending]:
        """Return all there are, whatever became of them, the oldest first."""
        async with self.db.reading() as read:
            leases = await read.rows("SELECT DISTINCT lease FROM sending")
        found = [
            each
            for row in leases
            for each in await self.daemon.stores.sendings.of(row["lease"], 1000)
        ]
        return sorted(found, key=lambda each: each.id)

    async def only(self) -> Sending:
        (found,) = await self.sendings()
        return found

    async def states(self) -> list[State]:
        return [each.state for each in await self.sendings()]

    async def alarms(self) -> dict[str, str]:
        """Return the alarms that stand, name → text."""
        return {alarm.name: alarm.text for alarm in await self.daemon.stores.alarms.all()}

    async def restart(self) -> None:
        """Start the daemon again over the same database."""
        faultpoints.arm(None)
        await self.db.close()
        path = self.config.installation.state_dir / "post.db"
        self.db = await Database.open(path, create=False)
        self._wire()

    def _wire(self) -> None:
        ways = Adapters(self.pools, DirectApi(self.cluster))
        self.daemon = wire(self.config, ways, self.db, ClusterClock(self.cluster), lambda: None)
        self.look_with(self.looks)

    def look_by(self, look: Callable[[Sending], Look], kind: Kind = Kind.DELIVER) -> None:
        """Have the effects of a kind looked up in this way, and no others."""
        self.look_with({kind: look})

    def look_with(self, looks: Looks) -> None:
        """Have effects looked up in these ways."""
        self.looks = looks
        self.sender.looks = dict.fromkeys(self.sender.looks, looks)


@asynccontextmanager
async def post(
    folder: Path,
    anvil: Anvil,
    *,
    chain_id: int = 31337,
    ceiling: int = CEILING,
    coins: int = COIN,
    sources: int = 1,
    address: str | None = None,
    profile: str = "erc5643",
) -> AsyncIterator[Post]:
    """Open a post on `anvil`, which mines on purpose only from then on.

    With an `address` it reads that one, and has no contract of its own.
    """
    deployer, *_ = await anvil.accounts()
    await anvil.rpc("evm_setAutomine", True)
    contracts = (
        []
        if address
        else [await deploy(anvil, fixture("Deliveries"), sender=deployer) for _ in range(sources)]
    )
    await anvil.rpc("anvil_setBalance", ADDRESS, hex(coins))
    await anvil.rpc("evm_setAutomine", False)
    await anvil.mine(4)
    addresses = [address] if address else [contract.address for contract in contracts]
    names = [NAME if place == 0 else f"{NAME}-{place}" for place in range(len(addresses))]
    settings = replace(
        config(folder),
        sources=tuple(
            source_on(each, chain_id, anvil.url, name, profile)
            for each, name in zip(addresses, names, strict=True)
        ),
        sender=SenderConfig(Secret(KEY), (SenderChainConfig(chain_id, ceiling, COIN // 100),)),
    )
    pools = {
        each.source.name: RpcPool(each.http, timeout=each.timeout) for each in settings.sources
    }
    first = contracts[0] if contracts else None
    db = await Database.open(folder / "post.db", create=True)
    cluster = Cluster()
    ways = Adapters(pools, DirectApi(cluster))
    daemon = wire(settings, ways, db, ClusterClock(cluster), lambda: None)
    await check_installation(db, "test-1", [each.source for each in settings.sources])
    looks = {Kind.DELIVER: delivered}
    made = Post(anvil, chain_id, first, settings, pools, cluster, db, daemon, looks)
    made.look_with(looks)
    try:
        await made.turn()
        yield made
    finally:
        faultpoints.arm(None)
        await made.db.close()
        for pool in pools.values():
            await pool.close()

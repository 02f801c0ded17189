"""One daemon over many sources in one process: a chain model for each, one simulated cluster.

Several sources may lie on one chain: their models then have its id and pass time together, and
each shows its own contract's side of it. The daemon's side is a `Realm`.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from chainwatch.app import Adapters, Daemon, desk, opened, wire
from chainwatch.chain.rpc import Endpoints
from chainwatch.chain.settings import SourceSettings
from chainwatch.config import Config
from chainwatch.control.desk import Desk
from chainwatch.control.pulse import Pulse
from chainwatch.domain.batches import Source
from chainwatch.domain.events import Event, ExpiryUpdated
from chainwatch.domain.lease import LeaseId
from chainwatch.store.database import Database
from provisioner import faultpoints
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.direct import DirectApi
from tests.support.chain_model import ChainModel, Tamper, minted, plan_events
from tests.support.realm import (
    ALICE,
    FIRST,
    HOUR,
    TEMPLATE,
    ClusterClock,
    Realm,
    config,
    source_settings,
)

CHAINS: Final = 5
CONTRACTS: Final = 4


def source_named(name: str, chain_id: int, number: int) -> SourceSettings:
    """A source of our own contract: contract `number` of a chain."""
    made = source_settings(name)
    return replace(made, source=Source(name, chain_id, f"0x{number:040x}", 0, "lease"))


def many() -> list[SourceSettings]:
    """Twenty sources: four contracts on each of five chains."""
    return [
        source_named(f"chain{chain}-shop{shop}", 1000 + chain, 256 * chain + shop)
        for chain in range(1, CHAINS + 1)
        for shop in range(1, CONTRACTS + 1)
    ]


@dataclass(slots=True)
class Empire:
    """One daemon, the chain of each of its sources, one cluster."""

    realm: Realm
    chains: dict[str, ChainModel]

    @property
    def names(self) -> list[str]:
        return list(self.chains)

    @property
    def capitals(self) -> list[str]:
        """The first source of each chain."""
        return [name for name in self.chains if name.endswith("-shop1")]

    def of_chain(self, number: int) -> list[str]:
        """The sources that lie on chain `number`."""
        return [name for name in self.chains if name.startswith(f"chain{number}-")]

    def lease(self, name: str, token: int = 1) -> str:
        chain = self.chains[name]
        return str(LeaseId(chain.chain_id, chain.contract, token))

    def mine(
        self, names: Iterable[str], events: Sequence[Event] = (), *, seconds: int = 12
    ) -> None:
        """Mine a block with `events` on each of these, and one that confirms it."""
        for name in names:
            self.chains[name].mine(events, seconds=seconds)
            self.chains[name].mine(seconds=1)

    def buy(self, names: Iterable[str], token: int = 1, *, lasts: int = HOUR) -> None:
        """Buy a lease on each of these, until `lasts` seconds from now in its chain's time."""
        for name in names:
            until = self.chains[name].head.timestamp + lasts
            self.mine([name], minted(token, ALICE, plan=1, expires_at=until))

    def renew(self, names: Iterable[str], token: int = 1, *, lasts: int = HOUR) -> None:
        for name in names:
            until = self.chains[name].head.timestamp + lasts
            self.mine([name], [ExpiryUpdated(token, until)])

    def tamper(self, names: Iterable[str], how: Tamper | None) -> None:
        """Have the endpoints of these see to every answer."""
        for name in names:
            for endpoint in self.chains[name].rpc.endpoints:
                endpoint.tamper = how

    def running(self) -> set[str]:
        """The sources whose machines run, by what the cluster's descriptions say."""
        signer = self.realm.daemon.supervisor.resync.site.signer
        found = set()
        for vmid in self.realm.running():
            proof = signer.prove(str(self.realm.guests()[vmid].config["description"]), vmid)
            assert proof is not None, f"VM {vmid} says nothing of itself"
            found.add(proof[0].key)
        return {name for name in self.chains if self.lease(name) in found}

    def desk(self) -> Desk:
        """Where an operator asks."""
        realm = self.realm
        ways = Adapters(_pools(realm.config, self.chains), DirectApi(realm.cluster))
        pulse = Pulse(realm.daemon.supervisor.clock, lambda: None)
        return desk(realm.config, ways, realm.daemon, pulse)

    async def alarms(self) -> set[tuple[str, str]]:
        """What stands: names and subjects."""
        return {(a.name, a.subject) for a in await self.realm.daemon.stores.alarms.all()}

    async def restart(self, change: Callable[[Config], Config] = lambda same: same) -> None:
        """Start the daemon again over the same database, with its configuration changed."""
        faultpoints.arm(None)
        realm = self.realm
        await realm.db.close()
        realm.config = change(realm.config)
        path = realm.config.installation.state_dir / "test.db"
        realm.db = await Database.open(path, create=False)
        realm.daemon = wired(realm.config, self.chains, realm.cluster, realm.db)
        realm.surveyed = False


def wired(
    settings: Config, chains: dict[str, ChainModel], cluster: Cluster, db: Database
) -> Daemon:
    """Wire a daemon to the chains of its sources and to a simulated cluster."""
    ways = Adapters(_pools(settings, chains), DirectApi(cluster))
    return wire(settings, ways, db, ClusterClock(cluster), lambda: None)


def _pools(settings: Config, chains: Mapping[str, ChainModel]) -> Mapping[str, Endpoints]:
    return {each.source.name: chains[each.source.name].rpc for each in settings.sources}


@asynccontextmanager
async def empire(folder: Path, sources: Sequence[SourceSettings]) -> AsyncIterator[Empire]:
    """Open a daemon over these sources, each of whose contracts sells plan 1 if it knows plans."""
    settings = config(folder)
    room = replace(settings.machines, pool=replace(settings.machines.pool, last=FIRST + 99))
    settings = replace(settings, sources=tuple(sources), machines=room)
    chains = {
        each.source.name: ChainModel(each.source.chain_id, each.source.contract, final_lag=3)
        for each in sources
    }
    for each in sources:
        chains[each.source.name].mine([] if each.plan else plan_events())
    cluster = Cluster()
    cluster.add_template(TEMPLATE)
    cluster.add_os_template()
    async with opened(settings, folder / "test.db", create=True) as db:
        daemon = wired(settings, chains, cluster, db)
        first = next(iter(chains.values()))
        made = Empire(Realm(settings, first, cluster, daemon, db), chains)
        try:
            yield made
        finally:
            faultpoints.arm(None)
            if made.realm.db is not db:
                await made.realm.db.close()

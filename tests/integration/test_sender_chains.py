"""One daemon on two chains, with a key for each: neither account is the other's affair."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from eth_account import Account

from chainwatch.app import Adapters, Daemon, opened, wire
from chainwatch.chain.rpc import RpcPool
from chainwatch.config.sender import SenderChainConfig, SenderConfig
from chainwatch.control.hand import BALANCE
from chainwatch.control.sender_check import check_sender
from chainwatch.credentials import Secret
from chainwatch.demo.deployed import Deployed, deploy
from chainwatch.domain.sendings import Kind, State
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.direct import DirectApi
from tests.support.anvil import CHAIN_ID, Anvil, running
from tests.support.compiled import fixture
from tests.support.post import ADDRESS, CEILING, COIN, KEY, delivered, delivery, source_on
from tests.support.realm import ClusterClock, config
from tests.support.wanting import want

FAR = 100
OTHER = bytes.fromhex("0a" * 31 + "61")
OTHERS = str(Account.from_key(OTHER).address).lower()


@dataclass(frozen=True, slots=True)
class Branch:
    """One of the chains, what is read there, and whose account is to send."""

    chain: Anvil
    chain_id: int
    name: str
    contract: Deployed

    async def nonce(self, address: str) -> int:
        return int(str(await self.chain.rpc("eth_getTransactionCount", address, "latest")), 16)


@dataclass(frozen=True, slots=True)
class Firm:
    """A daemon with a common key, which the second chain does not take."""

    here: Branch
    there: Branch
    daemon: Daemon

    async def turns(self, count: int) -> None:
        """Mine on both chains, read, and send."""
        for _ in range(count):
            await self.here.chain.mine()
            await self.there.chain.mine()
            for ingest in self.daemon.supervisor.ingests:
                while await ingest.attempt():
                    pass
            for sender in self.daemon.supervisor.senders:
                await sender.attempt()

    async def want(self, branch: Branch, token: int) -> str:
        intent = delivery(branch.contract.address, token, branch.chain_id, source=branch.name)
        await want(self.daemon.stores.db, intent, now=1)
        return intent.lease

    async def state(self, lease: str) -> State:
        (sending,) = await self.daemon.stores.sendings.of(lease, 9)
        return sending.state

    async def poor(self) -> dict[str, str]:
        """The chains on which coins are short, and what is said of each."""
        alarms = await self.daemon.stores.alarms.all()
        return {alarm.subject: alarm.text for alarm in alarms if alarm.name == BALANCE}


async def branch(chain: Anvil, chain_id: int, name: str) -> Branch:
    deployer, *_ = await chain.accounts()
    contract = await deploy(chain, fixture("Deliveries"), sender=deployer)
    await chain.mine(4)
    return Branch(chain, chain_id, name, contract)


@pytest.fixture
async def firm(tmp_path: Path) -> AsyncIterator[Firm]:
    async with founded(tmp_path) as made:
        yield made


@asynccontextmanager
async def founded(folder: Path) -> AsyncIterator[Firm]:
    async with running() as first, running(chain_id=FAR) as second:
        branches = (await branch(first, CHAIN_ID, "here"), await branch(second, FAR, "there"))
        await first.rpc("anvil_setBalance", ADDRESS, hex(COIN))
        await second.rpc("anvil_setBalance", OTHERS, hex(COIN))
        sources = [
            source_on(b.contract.address, b.chain_id, b.chain.url, b.name, "erc5643")
            for b in branches
        ]
        chains = (
            SenderChainConfig(CHAIN_ID, CEILING, COIN // 100),
            SenderChainConfig(FAR, CEILING, COIN // 100, Secret(OTHER)),
        )
        settings = replace(
            config(folder),
            sources=tuple(sources),
            sender=SenderConfig(Secret(KEY), chains),
        )
        pools = {each.source.name: RpcPool(each.http, timeout=5.0) for each in sources}
        cluster = Cluster()
        async with opened(settings, folder / "firm.db", create=True) as db:
            ways = Adapters(pools, DirectApi(cluster))
            daemon = wire(settings, ways, db, ClusterClock(cluster), lambda: None)
            for sender in daemon.supervisor.senders:
                sender.looks = {name: {Kind.DELIVER: delivered} for name in sender.looks}
            try:
                yield Firm(*branches, daemon)
            finally:
                for pool in pools.values():
                    await pool.close()


async def test_each_chain_is_sent_on_by_its_own_account(firm: Firm) -> None:
    await firm.turns(1)
    here = [await firm.want(firm.here, token) for token in (1, 2)]
    there = await firm.want(firm.there, 3)
    await firm.turns(8)
    assert [await firm.state(lease) for lease in (*here, there)] == [State.FINAL] * 3
    times = [await firm.here.contract.call(int, "delivered", token) for token in (1, 2)]
    assert [*times, await firm.there.contract.call(int, "delivered", 3)] == [1, 1, 1]
    nonces = [[await b.nonce(who) for who in (ADDRESS, OTHERS)] for b in (firm.here, firm.there)]
    assert nonces == [[2, 0], [0, 1]]


async def test_each_account_has_a_balance_that_is_looked_at_and_told_by_its_chain(
    firm: Firm,
) -> None:
    await firm.turns(1)
    assert await firm.poor() == {}
    await firm.there.chain.rpc("anvil_setBalance", OTHERS, hex(COIN // 1000))
    lease = await firm.want(firm.there, 3)
    await firm.turns(2)
    poor = await firm.poor()
    assert set(poor) == {f"eip155:{FAR}"}
    assert f"{OTHERS} has 0.00" in poor[f"eip155:{FAR}"]
    found = {
        each.subject: (each.ok, each.text)
        for sender in firm.daemon.supervisor.senders
        for each in await check_sender(sender)
    }
    assert found[f"sender on chain {CHAIN_ID}"] == (
        True,
        f"{ADDRESS} has 1 of the chain's coin",
    )
    poorly, said = found[f"sender on chain {FAR}"]
    assert (poorly, OTHERS in said, "send it some" in said) == (False, True, True)
    await firm.there.chain.rpc("anvil_setBalance", OTHERS, hex(COIN))
    await firm.turns(8)
    assert (await firm.state(lease), await firm.poor()) == (State.FINAL, {})

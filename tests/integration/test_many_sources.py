"""Twenty sources on five chains in one daemon: what happens to one is no concern of the others.

Judged by the chain models, by the cluster's inventory, and by which alarms stand for whom.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from chainwatch.config import Config
from chainwatch.control.desk import Filter
from chainwatch.domain.events import KeysChanged
from chainwatch.errors import Fatal, OperatorError, RpcUnavailable
from provisioner.model import Identity, Stamps
from tests.support.chain_model import Tamper, minted
from tests.support.empire import Empire, empire, many
from tests.support.realm import ALICE, FIRST, HOUR

ILL = 3
"""The chain to which everything happens."""

SICK = "chain3-shop1"
"""The source of it that has a lease."""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Empire]:
    async with empire(tmp_path, many()) as world:
        yield world


def _silent(_: str, __: Sequence[object], ___: object) -> object:
    raise RpcUnavailable("connection refused")


def _nonsense(_: str, __: Sequence[object], ___: object) -> object:
    return {"an": "answer"}


def _wrong_chain(method: str, _: Sequence[object], result: object) -> object:
    return "0x1" if method == "eth_chainId" else result


def _foreign_logs(method: str, _: Sequence[object], result: object) -> object:
    if method == "eth_getLogs" and isinstance(result, list):
        return [{**log, "address": "0x" + "ee" * 20} for log in result if isinstance(log, dict)]
    return result


ILLS: dict[str, Tamper] = {
    "silent": _silent,
    "talks nonsense": _nonsense,
    "became another chain": _wrong_chain,
    "tells another contract's logs": _foreign_logs,
}


async def test_twenty_leases_on_five_chains_are_twenty_machines(world: Empire) -> None:
    world.buy(world.names)
    await world.realm.settle()
    assert world.running() == set(world.names)
    assert len(world.realm.guests()) == len(world.names) == 20
    assert await world.alarms() == set()


async def test_leases_and_events_are_listed_by_source(world: Empire) -> None:
    world.buy(world.names[:3])
    await world.realm.read()
    desk = world.desk()
    for name in world.names[:3]:
        assert [each.id for each in await desk.leases(Filter(source=name))] == [world.lease(name)]
        assert {each.source for each in await desk.events(10, source=name)} == {name}
    assert await desk.leases(Filter(source=world.names[5])) == []
    with pytest.raises(OperatorError, match=r"no source chain9 is configured; there are: chain1"):
        await desk.leases(Filter(source="chain9"))
    with pytest.raises(OperatorError, match="no source chain9"):
        await desk.events(10, source="chain9")
    with pytest.raises(OperatorError, match=r"token 1 is of several leases; say which:\n  eip155"):
        await desk.show("1")


async def test_each_lease_ends_by_the_time_of_its_own_chain(world: Empire) -> None:
    world.buy(world.capitals)
    await world.realm.settle()
    left = set(world.capitals)
    for number in (2, 5, 1):
        world.mine(world.of_chain(number), seconds=2 * HOUR)
        left -= set(world.of_chain(number))
        await world.realm.settle()
        assert world.running() == left


@pytest.mark.parametrize("ill", ILLS)
async def test_a_chain_whose_endpoints_fail_leaves_the_others_going(
    world: Empire, ill: str
) -> None:
    sick = world.of_chain(ILL)
    well = [name for name in world.names if name not in sick]
    renewed = [name for name in world.capitals if name not in sick][:2]
    world.buy(world.capitals, lasts=24 * HOUR)
    await world.realm.settle()
    world.tamper(sick, ILLS[ill])
    world.mine(world.names, [KeysChanged(1, "", "0x")], seconds=25 * HOUR)
    world.renew(renewed)
    await world.realm.settle()
    assert world.running() == {SICK, *renewed}  # time stands still for who cannot be read
    status = {each.name: each for each in (await world.desk().status()).sources}
    assert {name for name in world.names if status[name].word == "trouble"} == set(sick)
    assert all(status[name].word == "live" for name in well)
    world.tamper(sick, None)
    await world.realm.settle()
    assert world.running() == set(renewed)
    assert await world.alarms() == set()


async def test_a_chain_that_takes_back_what_was_final_halts_its_own_sources_only(
    world: Empire,
) -> None:
    sick = world.of_chain(ILL)
    world.buy(world.capitals, lasts=24 * HOUR)
    for _ in range(3):
        world.mine(world.names)
    await world.realm.settle()
    for name in sick:
        world.chains[name].reorg(len(world.chains[name].blocks) - 1)
    world.mine(world.names, seconds=25 * HOUR)
    world.buy(["chain1-shop2"])
    await world.realm.settle()
    assert world.running() == {SICK, "chain1-shop2"}
    assert await world.alarms() == {("source-halted", name) for name in sick}


async def test_a_reorg_on_one_chain_is_none_of_the_others(world: Empire) -> None:
    sick = world.of_chain(ILL)
    for _ in range(3):
        world.mine(world.names)
    world.buy(world.capitals)
    await world.realm.settle()
    journal = world.realm.daemon.stores.journal
    before = {name: await journal.state(name) for name in world.names}
    for name in sick:
        world.chains[name].drop(2)  # on one of them that is a purchase and what confirmed it
        world.mine([name], seconds=20)
    await world.realm.settle()
    assert world.running() == {name for name in world.capitals if name != SICK}
    changed = {name for name in world.names if await journal.state(name) != before[name]}
    assert changed == set(sick)
    world.buy([SICK])
    await world.realm.settle()
    assert world.running() == set(world.capitals)


async def test_an_endpoint_that_is_wrong_at_a_restart_stops_its_own_source_only(
    world: Empire,
) -> None:
    world.mine(world.names)
    await world.realm.read()
    world.tamper([SICK], _wrong_chain)
    await world.restart()
    ingests = world.realm.daemon.supervisor.ingests
    assert {each.name for each in ingests if not await each.is_fit()} == {SICK}
    world.tamper([SICK], None)
    assert all([await each.is_fit() for each in ingests])


async def test_a_source_that_was_never_as_configured_is_fatal(tmp_path: Path) -> None:
    async with empire(tmp_path, many()[:2]) as world:
        world.tamper(world.names[:1], _wrong_chain)
        wrong, right = world.realm.daemon.supervisor.ingests
        with pytest.raises(Fatal, match="serves chain 1"):
            await wrong.is_fit()
        assert await right.is_fit()


async def test_leases_of_a_source_that_is_no_longer_configured_are_left_alone(
    world: Empire,
) -> None:
    gone, stays = world.capitals[:2]
    world.buy([gone, stays])
    await world.realm.settle()
    await world.realm.daemon.stores.work.enqueue([world.lease(gone)], "left over from before")

    def without(config: Config) -> Config:
        kept = tuple(each for each in config.sources if each.source.name != gone)
        return replace(config, sources=kept)

    await world.restart(without)
    world.mine([gone], seconds=2 * HOUR)
    await world.realm.settle()
    assert world.running() == {gone, stays}
    assert await world.alarms() == set()


async def test_a_token_that_one_transaction_mints_in_two_contracts_is_two_machines(
    tmp_path: Path,
) -> None:
    async with empire(tmp_path, many()[:2]) as world:
        for chain in world.chains.values():
            until = chain.head.timestamp + HOUR
            chain.mine(minted(1, ALICE, plan=1, expires_at=until), tx="0x" + "77" * 32)
            chain.mine()
        await world.realm.settle()
        await world.restart()  # so that the machines are surveyed
        await world.realm.settle()
        assert world.running() == set(world.names)
        assert await world.alarms() == set()
        await world.realm.daemon.supervisor.resync.survey()
        world.mine(world.names[:1], seconds=2 * HOUR)
        await world.realm.settle()
        assert world.running() == set(world.names[1:])


async def test_a_machine_of_a_lease_that_nobody_sold_is_told_as_soon_as_its_own_source_was_read(
    tmp_path: Path,
) -> None:
    async with empire(tmp_path, many()[:2]) as world:
        read, silent = world.names
        world.tamper([silent], _silent)
        world.buy([read])
        await world.realm.settle()
        resync = world.realm.daemon.supervisor.resync
        for vmid, name in ((FIRST + 50, read), (FIRST + 51, silent)):
            identity = Identity("test-1", world.lease(name, 99), "ab" * 16, vmid)
            said = resync.site.signer.describe(identity, Stamps())
            world.realm.cluster.add_guest(vmid, config={"description": said})
        await resync.survey()
        assert [orphan.vmid for orphan in resync.orphans] == [FIRST + 50]
        world.tamper([silent], None)
        await world.realm.read()
        await resync.survey()
        assert [orphan.vmid for orphan in resync.orphans] == [FIRST + 50, FIRST + 51]

"""From its first boot on an account says whose it is, for no more calls than that takes."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from chainwatch.config import Config, NodesConfig
from chainwatch.credentials import Secret
from provisioner import faultpoints
from provisioner.simulator.guestos import GuestOs, Run
from provisioner.simulator.programs import PROGRAMS
from tests.support.chain_model import plan_events
from tests.support.realm import FIRST, GRACE, HOUR, Crash, Realm, crash_at, realm

ALICES: Final = f"wallet=0x{'a1' * 20},nft=1"
NODES: Final = NodesConfig("root", 22, Secret(b"not used here"), ("pve 192.0.2.11 t k",))
EXEC: Final = "POST /nodes/{node}/qemu/{vmid}/agent/exec"
LOOK: Final = "GET /nodes/{node}/qemu/{vmid}/agent/exec-status"


def plain(config: Config) -> Config:
    return config


def asking(config: Config) -> Config:
    return replace(config, machines=replace(config.machines, wallet_login=True))


def reached(config: Config) -> Config:
    return replace(config, nodes=NODES)


def with_user_data(config: Config) -> Config:
    return reached(replace(config, machines=replace(config.machines, cloud_init="base")))


@asynccontextmanager
async def bought(
    folder: Path, adjust: Callable[[Config], Config], *, container: bool = False
) -> AsyncIterator[Realm]:
    folder.mkdir(exist_ok=True)  # noqa: ASYNC240 - a folder of the test's own
    plan = plan_events(kind=1) if container else None
    async with realm(folder, adjust=adjust, plan=plan) as world:
        world.buy(lasts=HOUR)
        await world.settle()
        assert world.running() == [FIRST]
        yield world


def calls(world: Realm, *names: str) -> list[int]:
    made = world.cluster.inventory().calls
    return [made.get(name, 0) for name in names]


def comments(world: Realm) -> dict[str, str]:
    return world.guest().os.comments


async def test_where_nothing_reads_it_nothing_is_asked_for_it(tmp_path: Path) -> None:
    async with bought(tmp_path, plain) as world:
        assert comments(world) == {}
        assert calls(world, EXEC, LOOK) == [0, 0]
        assert await world.alarms() == {}


async def test_where_a_login_reads_it_it_costs_two_calls(tmp_path: Path) -> None:
    async with bought(tmp_path / "plain", plain) as world:
        before = sum(world.cluster.inventory().calls.values())
    async with bought(tmp_path / "asking", asking) as world:
        assert comments(world) == {"debian": ALICES}
        assert calls(world, EXEC, LOOK) == [1, 1]
        assert sum(world.cluster.inventory().calls.values()) == before + 2


async def test_user_data_of_ours_says_it_for_no_call(tmp_path: Path) -> None:
    async with bought(tmp_path, lambda config: with_user_data(asking(config))) as world:
        assert comments(world) == {"debian": ALICES}
        assert calls(world, EXEC, LOOK) == [0, 0]


async def test_a_container_is_told_from_its_node(tmp_path: Path) -> None:
    async with bought(tmp_path / "reached", reached, container=True) as world:
        assert comments(world) == {"root": ALICES}
    async with bought(tmp_path / "alone", asking, container=True) as world:
        assert comments(world) == {}


async def test_it_is_said_once_and_not_at_every_start(tmp_path: Path) -> None:
    async with bought(tmp_path, asking) as world:
        world.pass_time(2 * HOUR)
        await world.settle()
        assert world.running() == []
        world.renew()
        world.confirm()
        await world.settle()
        assert world.running() == [FIRST]
        assert calls(world, EXEC, LOOK) == [1, 1]


@pytest.mark.parametrize("container", [False, True], ids=["vm", "container"])
async def test_an_account_that_is_not_made_yet_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, container: bool
) -> None:
    told, early = PROGRAMS["usermod"], [Run(6, error="no such user"), Run(6, error="no such user")]

    def usermod(system: GuestOs, words: tuple[str, ...], text: str) -> Run:
        return early.pop() if early else told(system, words, text)

    monkeypatch.setitem(PROGRAMS, "usermod", usermod)
    async with bought(tmp_path, reached if container else asking, container=container) as world:
        assert comments(world) == {"root" if container else "debian": ALICES}
    assert early == []


@pytest.mark.parametrize("container", [False, True], ids=["vm", "container"])
async def test_a_guest_that_cannot_be_told_is_somebody_s_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, container: bool
) -> None:
    asked: list[tuple[str, ...]] = []

    def usermod(_: GuestOs, words: tuple[str, ...], __: str) -> Run:
        asked.append(words)
        return Run(6, error="no such user\n" * 1000)

    monkeypatch.setitem(PROGRAMS, "usermod", usermod)
    async with bought(tmp_path, reached if container else asking, container=container) as world:
        for _ in range(60):
            world.cluster.advance(10)
            await world.turn()
        await world.settle()
        assert set(await world.alarms()) <= {"failing"}
        assert (await world.sentences())[str(world.lease())].endswith("running, as desired")
        given_up = len(asked)
        assert 1 < given_up < 60
        world.cluster.advance(HOUR / 2)
        await world.settle()
        assert len(asked) == given_up
        assert all(words == ("-c", ALICES, "--", words[-1]) for words in asked)


async def test_a_container_on_a_node_without_a_line_runs_untold(tmp_path: Path) -> None:
    def elsewhere(config: Config) -> Config:
        nodes = replace(NODES, known_hosts=("other 192.0.2.11 t k",))
        return replace(config, nodes=nodes)

    async with bought(tmp_path, elsewhere, container=True) as world:
        world.cluster.state.systems.clear()
        assert world.running() == [FIRST]


@pytest.mark.parametrize("point", ["guest.set_gecos.before", "guest.set_gecos.after"])
async def test_who_dies_while_saying_it_says_it_again(tmp_path: Path, point: str) -> None:
    async with realm(tmp_path, adjust=asking) as world:
        world.buy(lasts=100 * GRACE)
        crash_at(point)
        with pytest.raises(Crash):
            await world.settle()
        faultpoints.arm(None)
        assert world.guest().running
        await world.settle()
        assert comments(world) == {"debian": ALICES}
        assert (await world.sentences())[str(world.lease())].endswith("running, as desired")

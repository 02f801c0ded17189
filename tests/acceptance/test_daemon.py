"""The daemon as systemd and its operator meet it: it starts, it refuses, it answers, it stops."""

import asyncio
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from web3 import AsyncWeb3

from chainwatch.cli.answers import Answer, answers
from chainwatch.demo.buyer import LeaseContract
from tests.support.anvil import Anvil, running
from tests.support.daemon import GRACE, HOUR, Grounds, Installation, installation
from tests.support.relay import Relay, relay

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]

DAY = 86_400
IDLE_LIMIT = 120_000_000


# --------------------------------------------------------------------------------------- stopping


async def test_an_idle_daemon_stops_at_once_and_is_smaller_than_120_mb(
    place: Grounds, folder: Path, record_property: Callable[[str, object], None]
) -> None:
    async with installation(place, folder) as it:
        token = await it.buy()
        await it.daemon.start()
        await it.provisioned(token)
        resident = psutil.Process(it.daemon.pid).memory_info().rss
        record_property("resident_mb", resident // 10**6)
        sys.stderr.write(f"resident memory of the idle daemon: {resident // 10**6} MB\n")
        assert resident < IDLE_LIMIT
        assert await it.daemon.stop() == 0
        assert not it.socket.exists()
        await it.judge(machines=1)


async def test_it_stops_within_5_s_while_it_is_still_being_loaded(
    place: Grounds, folder: Path
) -> None:
    async with installation(place, folder) as it:
        await it.daemon.start()
        await it.until("it minds SIGTERM", lambda: _minds_sigterm(it.daemon.pid))
        assert await it.daemon.stop() == 0


@pytest.mark.parametrize("route", ["*/clone", "*/resources", "*/status/start", "*/agent/*"])
async def test_it_stops_within_5_s_while_a_proxmox_call_hangs(
    place: Grounds, folder: Path, route: str
) -> None:
    async with installation(place, folder) as it:
        token = await it.buy()
        await place.arm(name="hang", path=route, seconds=1e6)
        await it.daemon.start()
        await it.until("the call hangs", place.all_struck)
        assert await it.daemon.stop() == 0
        await it.daemon.start()
        await it.provisioned(token)
        assert await it.daemon.stop() == 0
        await it.judge(machines=1)


async def test_it_stops_within_5_s_while_proxmox_does_not_even_shake_hands(
    place: Grounds, folder: Path
) -> None:
    async with (
        relay(urlsplit(place.cluster.where.url).port) as way,
        installation(place, folder) as it,
    ):
        it.configure(proxmox={"url": f"https://127.0.0.1:{way.port}"})
        way.hold_up()
        await it.daemon.start()
        async with asyncio.timeout(30):
            await way.kept_waiting.wait()
        assert await it.daemon.stop() == 0


async def test_it_stops_within_5_s_while_its_node_is_silent_from_the_start(
    place: Grounds, folder: Path
) -> None:
    async with relay(place.chain.port) as way, installation(place, folder) as it:
        _lead_through(it, way.port)
        way.hold_up()
        await it.daemon.start()
        async with asyncio.timeout(30):
            await way.kept_waiting.wait()
        assert await it.daemon.stop() == 0


async def test_it_stops_within_5_s_while_its_node_has_fallen_silent(
    place: Grounds, folder: Path
) -> None:
    async with relay(place.chain.port) as way, installation(place, folder) as it:
        _lead_through(it, way.port)
        token = await it.buy()
        await it.daemon.start()
        await it.provisioned(token)
        way.hold_up()
        async with asyncio.timeout(30):
            await way.kept_waiting.wait()
        assert await it.daemon.stop() == 0


async def test_it_stops_within_5_s_while_somebody_waits_for_an_answer(
    place: Grounds, folder: Path
) -> None:
    async with installation(place, folder) as it:
        token = await it.buy()
        await it.daemon.start()
        await it.provisioned(token)
        await place.arm(name="hang", path="*", seconds=1e6)
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(_asked_in_vain(it, f"/leases/{it.lease(token)}"))
            await it.until("the answer hangs", place.all_struck)
            assert await it.daemon.stop() == 0
            await asked


# --------------------------------------------------------------------------------------- systemd


async def test_systemd_is_told_ready_then_alive_again_and_again_then_stopping(
    place: Grounds, folder: Path
) -> None:
    async with installation(place, folder) as it:
        path = folder / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as listening:
            listening.bind(str(path))
            await it.daemon.start(NOTIFY_SOCKET=str(path), WATCHDOG_USEC="200000")
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(30):
                told = [await loop.sock_recv(listening, 4096) for _ in range(5)]
                assert await it.daemon.stop() == 0
                while told[-1] == b"WATCHDOG=1":
                    told.append(await loop.sock_recv(listening, 4096))
        assert told[0] == b"READY=1"
        assert set(told[1:-1]) == {b"WATCHDOG=1"}
        assert told[-1] == b"STOPPING=1"


# -------------------------------------------------------------------------------------- refusals


async def refused(it: Installation, because: str) -> None:
    """Assert that the daemon ends at once with 1 and one sentence, and that nothing was done."""
    before = await it.grounds.cluster.inventory()
    await it.daemon.start()
    assert await it.daemon.end() == 1
    sentences = [line for line in it.daemon.said().splitlines() if not line.startswith("{")]
    said = "\n".join(sentences)
    assert sentences[0].startswith("chainwatch: "), said
    assert re.search(because, said), said
    assert len(sentences) <= 2, said
    now = await it.grounds.cluster.inventory()
    assert [task.upid for task in now.tasks] == [task.upid for task in before.tasks]
    await it.judge(machines=0)


async def test_a_chain_that_is_not_the_configured_one_is_refused(
    place: Grounds, folder: Path
) -> None:
    async with installation(place, folder) as it:
        await it.buy()
        it.configure(source={"chain_id": 1})
        await refused(it, "31337")


async def test_an_address_without_code_is_refused(place: Grounds, folder: Path) -> None:
    async with installation(place, folder) as it:
        it.configure(source={"contract": "0x" + "ab" * 20})
        await refused(it, r"no contract at 0x(ab){20} on chain 31337")


async def test_an_unknown_key_is_refused(place: Grounds, folder: Path) -> None:
    async with installation(place, folder) as it:
        await it.buy()
        it.configure(policy={"tik": 1})
        await refused(it, r"policy\.tik")


async def test_a_missing_secret_is_refused(place: Grounds, folder: Path) -> None:
    async with installation(place, folder) as it:
        await it.buy()
        (folder / "identity-key").unlink()
        await refused(it, r"installation\.identity_key_file.*No such file")


async def test_a_secret_that_everybody_may_read_is_refused(place: Grounds, folder: Path) -> None:
    async with installation(place, folder) as it:
        await it.buy()
        (folder / "identity-key").chmod(0o644)
        await refused(it, r"installation\.identity_key_file.*chmod o=")


async def test_another_installation_s_database_is_refused(place: Grounds, folder: Path) -> None:
    async with installation(place, folder) as it:
        await it.daemon.start()
        await it.until("it is ready", it.status.ready)
        assert await it.daemon.stop() == 0
        it.configure(installation={"id": "somebody-else"})
        await refused(it, "somebody-else")


async def test_a_second_daemon_over_the_same_database_is_refused(
    place: Grounds, folder: Path
) -> None:
    async with installation(place, folder) as it:
        token = await it.buy()
        await it.daemon.start()
        await it.provisioned(token)
        elsewhere = str(folder / "second.sock")
        code, said = await it.run("run", "--config", str(it.daemon.config))
        assert (code, "another" in said) == (1, True), said
        it.configure(admin={"socket": elsewhere})
        code, said = await it.run("run", "--config", str(it.daemon.config))
        assert code == 1
        assert f"another chainwatch has {it.database} open" in said
        assert (await it.ask("/healthz"))[0] == 200, "the first one goes on"
        assert await it.daemon.stop() == 0
        await it.judge(machines=1)


# -------------------------------------------------------------------------------- the status socket


async def test_a_socket_that_a_killed_daemon_left_behind_is_replaced(
    place: Grounds, folder: Path
) -> None:
    async with installation(place, folder) as it:
        await it.daemon.start()
        await it.until("it is ready", it.status.ready)
        await it.daemon.kill()
        assert it.socket.is_socket()
        await it.daemon.start()
        await it.until("it is ready again", it.status.ready)
        assert await it.daemon.stop() == 0


async def test_plain_http_over_the_socket_tells_the_status(place: Grounds, folder: Path) -> None:
    async with installation(place, folder) as it:
        token = await it.buy()
        await it.daemon.start()
        await it.provisioned(token)
        status, answer = await it.ask("/status")
        assert status == 200
        found = Answer.of(answer)
        assert found.flag("ready")
        assert found.number("machines") == 1
        assert [alarm.text("name") for alarm in found.all("alarms")] == ["orphans"]
        assert [orphan.number("vmid") for orphan in found.all("orphans")] == [it.stranger]
        assert (await it.ask("/nonsense"))[0] == 404


# ------------------------------------------------------------------------------ loss and recovery


async def test_a_database_deleted_in_mid_life_is_made_again_with_the_same_machines(
    place: Grounds, folder: Path
) -> None:
    async with installation(place, folder) as it:
        lasting, ending = await it.buy(seconds=30 * DAY), await it.buy(seconds=HOUR)
        await it.daemon.start()
        await it.until("both run", lambda: _running(it, 2))
        await place.chain.advance(2 * HOUR)
        await place.chain.mine(3)
        await it.until("one is suspended", lambda: _running(it, 1))
        await it.until("it is settled", lambda: it.settled(ending))
        assert await it.daemon.stop() == 0
        before = await place.cluster.inventory()
        for path in it.database.parent.glob("chainwatch.db*"):
            path.unlink()

        code, said = await it.run("rebuild", "--config", str(it.daemon.config))
        assert (code, "rebuilt: 2 leases, 2 machines" in said) == (0, True), said
        await it.daemon.start()
        await it.until("it is settled again", lambda: it.settled(lasting))
        assert await it.machines() == it.made(before)

        await place.chain.advance(GRACE + HOUR)
        await place.chain.mine(3)
        await it.until("the destroy waits", lambda: _waits(it, ending, "destroys are paused"))
        await it.judge(machines=2)
        code, said = await it.run("resume-all", "--reason", "looked through")
        assert code == 0, said
        await it.until("it is destroyed", lambda: _standing(it, 1))
        await it.until("the other one is settled", lambda: it.settled(lasting))
        assert await it.daemon.stop() == 0
        await it.judge(machines=1)
        now = await place.cluster.inventory()
        clones = [inventory.ended_well("qmclone", place.token) for inventory in (before, now)]
        assert clones[0] == clones[1], "a machine was made anew"


async def test_an_outage_that_outlives_a_lease_renewed_meanwhile_takes_nothing_from_anybody(
    place: Grounds, folder: Path
) -> None:
    async with _chain_of_its_own(place) as (alone, way), installation(alone, folder) as it:
        _lead_through(it, way.port)
        it.configure(source={"stale_after": 1.0, "max_range": 1})
        token = await it.buy(seconds=HOUR)
        await it.daemon.start()
        machine = await it.provisioned(token)
        state = await alone.chain.rpc("anvil_dumpState")
        way.lead_to(None)
        await it.until("it says that its chain stands still", lambda: _alarmed(it, "source-stale"))

        async with running() as restarted:
            await restarted.rpc("anvil_loadState", state)
            await restarted.advance(HOUR + GRACE // 2)
            await _moved(it.shop, restarted).renew(token, 30 * DAY, it.buyer)
            await restarted.advance(GRACE)
            await restarted.mine(3)
            way.lead_to(restarted.port)
            await it.until("it has caught up", lambda: _not_alarmed(it, "source-stale"))
            await it.until("its lease is settled", lambda: it.settled(token))
            assert await it.daemon.stop() == 0
        assert await it.tasks("qmshutdown") == await it.tasks("qmstop") == []
        assert [guest.boots for guest in await it.machines()] == [machine.boots]
        await it.judge(machines=1)


async def test_a_new_head_is_heard_of_without_a_poll(place: Grounds, folder: Path) -> None:
    async with installation(place, folder) as it:
        it.configure(
            source={"poll_interval": 3600.0, "stale_after": 7200.0, "ws": [place.chain.ws_url]}
        )
        await it.daemon.start()
        await it.until("it has read the chain", it.status.ready)
        token = await it.buy()
        await it.provisioned(token)
        assert await it.daemon.stop() == 0
        await it.judge(machines=1)


# ---------------------------------------------------------------------------------------- details


async def _minds_sigterm(pid: int) -> bool:
    """Whether a process has a handler for SIGTERM, by the kernel's word."""
    status = await asyncio.to_thread(Path(f"/proc/{pid}/status").read_text)
    caught = re.search(r"SigCgt:\s*([0-9a-f]+)", status)
    return caught is not None and bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


async def _asked_in_vain(it: Installation, route: str) -> None:
    """Ask for what is never answered: the daemon stops first, or says that it does not know."""
    try:
        await it.ask(route)
    except (OSError, ValueError):
        return


def _lead_through(it: Installation, port: int) -> None:
    it.configure(source={"http": [f"http://127.0.0.1:{port}"], "ws": [f"ws://127.0.0.1:{port}"]})


async def _running(it: Installation, count: int) -> bool:
    return sum(guest.power == "running" for guest in await it.machines()) == count


async def _standing(it: Installation, count: int) -> bool:
    return len(await it.machines()) == count


async def _waits(it: Installation, token: int, reason: str) -> bool:
    status, story = await it.ask(f"/leases/{it.lease(token)}")
    return status == 200 and isinstance(story, dict) and reason in str(story["waits"])


async def _alarmed(it: Installation, name: str) -> bool:
    return name in [alarm.text("name") for alarm in answers((await it.ask("/alarms"))[1])]


async def _not_alarmed(it: Installation, name: str) -> bool:
    return not await _alarmed(it, name)


@asynccontextmanager
async def _chain_of_its_own(place: Grounds) -> AsyncIterator[tuple[Grounds, Relay]]:
    """The same cluster beside a chain that the test may end, and a way to it that lasts."""
    async with running() as chain, relay(chain.port) as way:
        yield replace(place, chain=chain), way


def _moved(shop: LeaseContract, chain: Anvil) -> LeaseContract:
    """Return the same contract on a chain that has the same state."""
    deployed = shop.deployed
    contract = AsyncWeb3(chain.provider).eth.contract(
        address=deployed.contract.address, abi=deployed.artifact.abi
    )
    return replace(shop, deployed=replace(deployed, anvil=chain, contract=contract))

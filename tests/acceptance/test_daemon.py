"""The daemon as systemd and its operator meet it: it starts, it refuses, it answers, it stops."""

import asyncio
import re
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from chainwatch.cli.answers import Answer
from tests.support.daemon import Grounds, Installation, installation
from tests.support.relay import relay

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

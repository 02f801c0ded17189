"""The status socket as programs and people meet it: through curl and the real command line."""

import asyncio
import json
import os
import socket
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from chainwatch.admin import routes
from chainwatch.admin.client import Client
from chainwatch.admin.peers import Peer
from chainwatch.admin.server import AdminServer
from chainwatch.errors import Fatal, OperatorError
from tests.support.office import PROGRAM, Counter, counter, office, ran
from tests.support.realm import FIRST

STRANGER = Peer(4242, frozenset({4242}))


async def settled(at: Counter) -> None:
    at.realm.buy(1)
    at.realm.cluster.add_guest(FIRST + 5)
    await at.realm.settle()


async def refuse(at: Counter, *, reader: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have everybody who connects be a stranger, or one who may only read."""
    peer = Peer(4242, frozenset({os.getegid()})) if reader else STRANGER
    monkeypatch.setattr(routes, "peer_of", lambda _connection: peer)


# ------------------------------------------------------------------------------------ who gets in


async def test_the_socket_is_open_to_its_owner_and_its_group_only(tmp_path: Path) -> None:
    async with counter(tmp_path) as at:
        found = at.socket.stat()
        assert stat.S_IMODE(found.st_mode) == 0o660
        assert (found.st_uid, found.st_gid) == (os.geteuid(), os.getegid())


async def test_a_stranger_gets_no_word_out_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with counter(tmp_path) as at:
        await refuse(at, reader=False, monkeypatch=monkeypatch)
        for route in ("/status", "/healthz", "/metrics", "/no-such-route"):
            body, code = (await at.curl(route)).out.rsplit("\n", 1)
            assert (code, list(json.loads(body))) == ("403", ["error"])


async def test_a_reader_reads_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with counter(tmp_path) as at:
        await settled(at)
        await refuse(at, reader=True, monkeypatch=monkeypatch)
        assert (await at.curl("/status")).out.endswith("\n200")
        said = await at.type("hold", "1", "--reason", "mine")
        assert said.code == 1
        assert "only root and admins" in said.err
        assert (await at.curl("/check", "-X", "POST")).out.endswith("\n403")
        assert await at.desk.audit(9) == []
        assert (await at.desk.status()).holds == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
async def test_another_user_of_the_host_cannot_even_connect(tmp_path: Path) -> None:
    async with counter(tmp_path) as at:
        ours = (each for each in (tmp_path, *tmp_path.parents) if each.stat().st_mode & 0o77 == 0)
        for folder in ours:  # pytest's own folders, however deep, are closed to others
            folder.chmod(0o755)
        url = ("--unix-socket", str(at.socket), "http://daemon/status")
        assert (await ran("curl", "-sS", *url, nobody=True)).code != 0
        at.socket.chmod(0o666)  # even where somebody opened the file to all
        assert "may not read" in (await ran("curl", "-sS", *url, nobody=True)).out


# ------------------------------------------------------------------------------- how it comes to be


async def test_what_a_killed_daemon_left_behind_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with counter(tmp_path) as at:
        assert (await at.curl("/healthz")).out.endswith("\n200")


async def test_a_socket_that_somebody_answers_on_is_not_taken(tmp_path: Path) -> None:
    async with counter(tmp_path) as at:
        with pytest.raises(Fatal, match="another daemon answers"):
            await AdminServer(at.realm.config.admin, at.desk).__aenter__()
        assert (await at.curl("/healthz")).out.endswith("\n200")


async def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    path.write_text("somebody's notes")
    async with office(tmp_path) as (town, desk):
        with pytest.raises(Fatal, match="is no socket"):
            await AdminServer(town.config.admin, desk).__aenter__()
    assert path.read_text() == "somebody's notes"


async def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    async with office(tmp_path) as (town, desk):
        config = replace(town.config.admin, socket=tmp_path / "none" / "admin.sock")
        with pytest.raises(Fatal, match="folder must exist"):
            await AdminServer(config, desk).__aenter__()


async def test_a_port_in_use_is_said_and_the_socket_is_taken_away_again(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        async with office(tmp_path) as (town, desk):
            config = replace(town.config.admin, metrics_listen=other.getsockname())
            with pytest.raises(Fatal, match=r"admin\.metrics_listen"):
                await AdminServer(config, desk).__aenter__()
            assert not config.socket.exists()


async def test_it_closes_at_once_though_somebody_hangs_on_the_line(tmp_path: Path) -> None:
    async with asyncio.timeout(5):
        async with counter(tmp_path) as at:
            path = at.socket
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readline()
        assert not path.exists()
        writer.close()


# --------------------------------------------------------------------------------- what is answered


async def test_curl_reads_the_status(tmp_path: Path) -> None:
    async with counter(tmp_path) as at:
        await settled(at)
        body, code = (await at.curl("/status")).out.rsplit("\n", 1)
        status = json.loads(body)
        assert (code, status["ready"], status["machines"]) == ("200", True, 1)
        assert status["sources"][0]["word"] == "live"


async def test_curl_gives_an_order_in_the_name_of_who_runs_it(tmp_path: Path) -> None:
    async with counter(tmp_path) as at:
        await settled(at)
        if os.geteuid() == 0:
            said = await at.curl(
                f"/leases/{at.realm.lease(1)}/hold", "-d", '{"reason": "a dispute"}'
            )
            assert said.out.endswith("\n200")
            (line,) = await at.desk.audit(9)
            assert (line.uid, line.what, line.why) == (0, "hold", "a dispute")
        else:
            said = await at.curl("/pause", "-d", '{"scope": "effects", "reason": "x"}')
            assert said.out.endswith("\n403")


@pytest.mark.parametrize(
    ("route", "words", "code", "said"),
    [
        ("/leases/99", (), 404, "no lease 99"),
        ("/leases/nonsense", (), 400, "eip155:CHAIN"),
        ("/nowhere", (), 404, "/nowhere"),
        ("/status", ("-X", "DELETE"), 405, "Not Allowed"),
        ("/leases?colour=red", (), 400, "unknown in the query: colour"),
        ("/events?limit=0", (), 400, "limit is not a number"),
        ("/events?limit=%EF%BC%91", (), 400, "limit is not a number"),
    ],
)
async def test_what_is_asked_wrongly_is_answered_with_a_sentence(
    tmp_path: Path, route: str, words: tuple[str, ...], code: int, said: str
) -> None:
    async with counter(tmp_path) as at:
        answer = await at.curl(route, *words)
        body, status = answer.out.rsplit("\n", 1)
        wanted = {code, 403} if words and os.geteuid() != 0 else {code}
        assert int(status) in wanted
        assert int(status) == 403 or said in json.loads(body)["error"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("reason=x", "not JSON"),
        ("[]", "not an object of texts"),
        ('{"reason": 1}', "not an object of texts"),
        ('{"reason": "x", "why": "y"}', "unknown in the body: why"),
        ('{"scope": "all", "reason": "x"}', "effects, destroys"),
        ('{"scope": "effects"}', "say why"),
    ],
)
async def test_an_order_that_is_not_understood_changes_nothing(
    tmp_path: Path, body: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with counter(tmp_path) as at:
        monkeypatch.setattr(routes, "peer_of", lambda _connection: Peer(0, frozenset()))
        answer, code = (await at.curl("/pause", "-d", body)).out.rsplit("\n", 1)
        assert (code, said in json.loads(answer)["error"]) == ("400", True)
        assert (await at.desk.status()).pauses == ()


async def test_the_tcp_port_shows_health_and_numbers_and_nothing_else(tmp_path: Path) -> None:
    async with counter(tmp_path, metrics=("127.0.0.1", 0)) as at:
        await settled(at)
        place = at.server.metrics_listen
        assert place is not None
        assert not place.endswith(":0")

        async def asked(route: str, *words: str) -> str:
            url = f"http://{place}{route}"
            said = await ran("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", url, *words)
            return said.out

        assert [await asked(route) for route in ("/healthz", "/readyz", "/metrics")] == ["200"] * 3
        for route in ("/status", "/leases", "/events", "/audit"):
            assert await asked(route) == "404"
        assert await asked("/pause", "-d", '{"scope": "effects", "reason": "x"}') == "404"
        assert (await at.desk.status()).pauses == ()
        status = Client(at.socket)
        told = await asyncio.to_thread(status.get, "/status")
        assert isinstance(told, dict)
        assert told["metrics_listen"] == place


async def test_an_unready_daemon_says_so_and_why(tmp_path: Path) -> None:
    async with counter(tmp_path) as at:
        body, code = (await at.curl("/readyz")).out.rsplit("\n", 1)
        said = json.loads(body)
        assert (code, said["ready"]) == ("503", False)
        assert any("source model" in why for why in said["unready"])
        assert (await at.curl("/healthz")).out.endswith("\n200")


# ------------------------------------------------------------------------------------- the commands

READING = (
    ("status",),
    ("leases",),
    ("show", "1"),
    ("operations",),
    ("events",),
    ("orphans",),
    ("alarms",),
    ("audit",),
)


async def test_every_reading_command_prints_plainly_in_a_pipe_and_json_on_request(
    tmp_path: Path,
) -> None:
    async with counter(tmp_path) as at:
        await settled(at)
        for words in READING:
            said = await at.type(*words)
            assert (said.code, said.err) == (0, "")
            assert said.out
            assert said.out.isprintable() or said.out.replace("\n", "").isprintable()
            as_json = await at.type(*words, "--json")
            assert as_json.code == 0
            assert json.loads(as_json.out) is not None


async def test_the_orders_are_given_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with counter(tmp_path) as at:
        await settled(at)
        monkeypatch.setattr(routes, "peer_of", lambda _connection: Peer(0, frozenset()))
        for words in (
            ("hold", "1", "-r", "a dispute"),
            ("release", "1"),
            ("suspend", "1", "-r", "spam"),
            ("unsuspend", "1"),
            ("retry", "1"),
            ("pause", "destroys", "-r", "a look"),
            ("resume-all",),
            ("survey",),
            ("check",),
        ):
            said = await at.type(*words)
            assert (said.code, said.err) == (0, ""), words
        asked = await at.type("reboot", "1")
        number = asked.out.split(":")[0].removeprefix("order ")
        back = await at.type("withdraw", "1", number, "-r", "it cleaned up")
        assert (back.code, back.out) == (
            0,
            f"order {number} is withdrawn; nothing is done for it\n",
        )
        again = await at.type("withdraw", "1", number)
        assert again.code != 0
        assert f"order {number} has ended already (withdrawn)" in again.err
        shown = await at.type("show", "1")
        assert "withdrawn by user 0: it cleaned up" in shown.out
        assert [each.what for each in reversed(await at.desk.audit(20))] == [
            *("hold", "release hold", "suspend", "release suspend"),
            *("retry", "pause", "resume", "survey"),
            *("reboot", f"withdraw reboot {number}"),
        ]


async def test_a_check_that_finds_something_is_exit_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with counter(tmp_path) as at:
        await settled(at)
        monkeypatch.setattr(routes, "peer_of", lambda _connection: Peer(0, frozenset()))
        async with at.realm.db.transaction("wake") as tx:
            await tx.run("UPDATE lease SET owner = 'somebody'")
        said = await at.type("check", "--json")
        assert said.code == 1
        found = json.loads(said.out)
        assert {each["subject"] for each in found if not each["ok"]} == {"database"}
        warned = {each["subject"] for each in found if each["warning"]}
        assert warned == {"firewall", "template 9000"}


async def test_a_person_at_a_terminal_gets_a_table_with_colours(tmp_path: Path) -> None:
    async with counter(tmp_path) as at:
        await settled(at)
        words = " ".join(f"'{word}'" for word in (*PROGRAM, "leases"))
        said = await ran(
            *("script", "-qec", words, "/dev/null"),
            TERM="xterm-256color",
            COLUMNS="140",
            CHAINWATCH_SOCKET=str(at.socket),
        )
        assert said.code == 0
        assert "\x1b[1mTOKEN" in said.out
        assert "active" in said.out


async def test_the_client_says_who_may_when_the_door_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(self: socket.socket, address: object) -> None:
        raise PermissionError

    path = tmp_path / "admin.sock"
    path.touch()
    monkeypatch.setattr(socket.socket, "connect", closed)
    with pytest.raises(OperatorError, match=f"join group {path.group()}, or ask as root"):
        Client(path).get("/status")

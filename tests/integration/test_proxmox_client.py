"""proxmoxer over real sockets and TLS: what is known after everything that can go wrong."""

import logging
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, unquote

import pytest

from provisioner.backends.proxmox.api import ApiError, ParamValue, ReplyLost, Unreachable
from provisioner.backends.proxmox.client import ProxmoxerApi
from provisioner.backends.proxmox.guestconfig import changes
from provisioner.backends.proxmox.settings import ProxmoxEndpoint
from provisioner.errors import Permanent
from tests.support.pve import ALICE, NODE, TEMPLATE, WANTED, Fronted, close_and_join
from tests.support.scripted import RESET, SILENCE, Scripted, answered

#: How bytes travel is tested here, not what they say.
pytestmark = pytest.mark.rude_requests

SECRET = "3f0b374d-093a-4d72-9b73-267ec77ae1b0"


def endpoint(port: int, ca_file: Path | None = None, host: str = "127.0.0.1") -> ProxmoxEndpoint:
    return ProxmoxEndpoint(host, port, "svc@pve!chainwatch", SECRET, ca_file)


@contextmanager
def calling(where: ProxmoxEndpoint) -> Iterator[ProxmoxerApi]:
    api = ProxmoxerApi(where)
    try:
        yield api
    finally:
        close_and_join(api)


@contextmanager
def talking(
    server: Scripted, *, host: str = "127.0.0.1", timeout: float = 35
) -> Iterator[ProxmoxerApi]:
    where = replace(endpoint(server.port, server.certificate, host), timeout=timeout)
    with server, calling(where) as api:
        yield api


# --------------------------------------------------------------------------- nothing was ever sent


async def test_a_certificate_that_is_not_the_pinned_one_is_not_spoken_to(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with (
        Scripted(tmp_path / "a") as server,
        Scripted(tmp_path / "b") as other,
        calling(endpoint(server.port, ca_file=other.certificate)) as api,
    ):
        with pytest.raises(Unreachable, match=r"(?i)certificate"):
            await api.call("POST", "/nodes/pve/qemu/9000/clone", {"newid": 1})
        assert server.asked == []


async def test_a_certificate_that_the_system_does_not_know_is_not_spoken_to(
    tmp_path: Path,
) -> None:
    with Scripted(tmp_path) as server, calling(endpoint(server.port)) as api:
        with pytest.raises(Unreachable, match=r"(?i)certificate"):
            await api.call("GET", "/version")
        assert server.asked == []


async def test_a_pinned_certificate_counts_for_its_own_address_only(tmp_path: Path) -> None:
    server = Scripted(tmp_path, host="127.0.0.2")
    with talking(server, host="127.0.0.2") as api:
        with pytest.raises(Unreachable, match=r"127\.0\.0\.2"):
            await api.call("GET", "/version")
        assert server.asked == []


async def test_where_nobody_listens_nothing_happened() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    with calling(endpoint(port)) as api, pytest.raises(Unreachable, match="refused"):
        await api.call("POST", "/nodes/pve/qemu/9000/clone", {"newid": 1})


async def test_a_host_without_an_address_is_unreachable() -> None:
    with calling(endpoint(8006, host="pve.invalid")) as api, pytest.raises(Unreachable):
        await api.call("POST", "/nodes/pve/qemu/9000/clone", {"newid": 1})


async def test_after_closing_nothing_is_sent() -> None:
    with calling(endpoint(8006)) as api:
        api.close()
        with pytest.raises(Unreachable, match="closed"):
            await api.call("GET", "/version")


@pytest.mark.parametrize("text", [None, "no certificate at all"])
def test_an_unusable_ca_file_is_refused_at_once(tmp_path: Path, text: str | None) -> None:
    ca_file = tmp_path / "ca.pem"
    if text is not None:
        ca_file.write_text(text)
    with pytest.raises(Permanent, match=r"ca\.pem.*pve-root-ca\.pem"):
        ProxmoxerApi(endpoint(8006, ca_file=ca_file))


@pytest.mark.parametrize("token_id", ["root@pam", "root!t1", "root@pam!", ""])
def test_a_token_id_that_is_none_is_refused_at_once(token_id: str) -> None:
    with pytest.raises(ValueError, match="user@realm!name"):
        replace(endpoint(8006), token_id=token_id)


# ----------------------------------------------------------------------------- it may have happened


@pytest.mark.parametrize(
    "line",
    [
        SILENCE,
        RESET,
        answered("200 OK", "<html>hello</html>"),
        answered("200 OK", "[]"),
        answered("200 OK", "null"),
        answered("200 OK", '{"success":1}'),
        answered("200 OK", '{"data":nu'),
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
    ],
    ids=["silence", "reset", "html", "list", "null", "no data", "cut", "short", "no http"],
)
async def test_a_write_without_a_proper_answer_may_have_happened_and_is_sent_once(
    tmp_path: Path, line: bytes
) -> None:
    server = Scripted(tmp_path, line, answered("200 OK"), then_closes=True)
    with talking(server, timeout=0.5) as api:
        with pytest.raises(ReplyLost):
            await api.call("POST", "/nodes/pve/qemu/9000/clone", {"newid": 1})
        assert len(server.asked) == 1


async def test_a_read_whose_connection_went_away_is_asked_once_more(tmp_path: Path) -> None:
    server = Scripted(tmp_path, RESET, answered("200 OK", '{"data":"8.4"}'))
    with talking(server) as api:
        assert await api.call("GET", "/version") == "8.4"
        assert len(server.asked) == 2


async def test_a_read_is_not_asked_for_ever(tmp_path: Path) -> None:
    server = Scripted(tmp_path, RESET, RESET, RESET)
    with talking(server) as api:
        with pytest.raises(ReplyLost):
            await api.call("GET", "/version")
        assert len(server.asked) == 2


async def test_a_kept_connection_that_was_closed_meanwhile_is_not_written_to(
    tmp_path: Path,
) -> None:
    server = Scripted(tmp_path, *[answered("200 OK")] * 5, then_closes=True)
    with talking(server) as api:
        for _ in range(5):
            assert await api.call("POST", "/nodes/pve/qemu/1/status/start") is None
            assert server.closed.acquire(timeout=10)
        assert len(server.asked) == 5


async def test_a_connection_that_serves_a_hundred_requests_is_followed_by_another(
    tmp_path: Path,
) -> None:
    with Fronted(tmp_path) as front, calling(front.endpoint()) as api:
        for _ in range(101):
            assert (
                await api.call("PUT", f"/nodes/{NODE}/qemu/{TEMPLATE}/config", {"onboot": 1})
                is None
            )
        log = front.see(lambda cluster: cluster.inventory().calls)
        assert sum(log.values()) == 101


# -------------------------------------------------------------------------------- Proxmox said no


@pytest.mark.parametrize(
    ("line", "status", "reason", "body"),
    [
        (
            answered(
                "500 VM is locked (clone)", '{"data":null,"message":"VM is locked (clone)\\n"}'
            ),
            500,
            "VM is locked (clone)",
            '{"data":null,"message":"VM is locked (clone)\\n"}',
        ),
        (answered("401 No ticket", ""), 401, "No ticket", ""),
        (answered("502 Bad Gateway", "<html>"), 502, "Bad Gateway", "<html>"),
        (answered("500 ", ""), 500, "", ""),
        (answered("400 Straße – no", "null"), 400, "Straße – no", "null"),
        (answered("595 No route to host", ""), 595, "No route to host", ""),
        (answered("596 Broken pipe", "[1]"), 596, "Broken pipe", "[1]"),
    ],
    ids=["json", "empty", "html", "wordless", "unicode", "595", "596"],
)
async def test_a_refusal_comes_through_word_for_word(
    tmp_path: Path, line: bytes, status: int, reason: str, body: str
) -> None:
    with talking(Scripted(tmp_path, line)) as api, pytest.raises(ApiError) as refused:
        await api.call("POST", "/nodes/pve/qemu/9000/clone", {"newid": 1})
    error = refused.value
    assert (error.status, error.reason, error.body) == (status, reason, body)


async def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    server = Scripted(tmp_path)
    elsewhere = f"Location: https://127.0.0.1:{server.port}/login"
    server.script(answered("302 Found", "", elsewhere), answered("200 OK"))
    with talking(server) as api:
        with pytest.raises(ApiError, match="302"):
            await api.call("GET", "/version")
        assert len(server.asked) == 1


async def test_after_a_refused_token_calls_go_where_they_hold_up_nothing(tmp_path: Path) -> None:
    lines = [answered("401 Authentication failed!", ""), answered("200 OK"), answered("200 OK")]
    server = Scripted(tmp_path, *lines)
    with talking(server) as api:
        with pytest.raises(ApiError, match="401"):
            await api.call("GET", "/version")
        assert slow_threads(server) == 0
        await api.call("GET", "/version")
        assert slow_threads(server) == 1
        await api.call("POST", "/nodes/pve/qemu/1/agent/ping", slow=True)
        assert slow_threads(server) == 1


def slow_threads(server: Scripted) -> int:
    name = f"proxmox 127.0.0.1:{server.port} slow"
    return sum(thread.name.startswith(name) for thread in threading.enumerate())


# ---------------------------------------------------------------------- what goes over the wire


@pytest.mark.parametrize(
    ("method", "params", "form"),
    [
        ("POST", {"full": False, "purge": True, "newid": 5}, "full=0&purge=1&newid=5"),
        ("POST", {"command": ("pkill", "-u", "a b")}, "command=pkill&command=-u&command=a+b"),
        ("PUT", {"name": ""}, "name="),
        ("POST", None, ""),
    ],
)
async def test_parameters_travel_as_a_form(
    tmp_path: Path, method: str, params: Mapping[str, ParamValue] | None, form: str
) -> None:
    server = Scripted(tmp_path, answered("200 OK"))
    with talking(server) as api:
        assert await api.call(method, "/nodes/pve/qemu/1/agent/exec", params) is None
    (asked,) = server.asked
    assert asked.line == f"{method} /api2/json/nodes/pve/qemu/1/agent/exec HTTP/1.1"
    assert asked.body == form
    assert asked.headers["authorization"] == f"PVEAPIToken=svc@pve!chainwatch={SECRET}"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_a_deletion_and_a_reading_have_a_query_and_no_body(
    tmp_path: Path, method: str
) -> None:
    server = Scripted(tmp_path, answered("200 OK"))
    with talking(server) as api:
        await api.call(method, "/nodes/pve/qemu/1", {"purge": True, "a": "b c"})
    (asked,) = server.asked
    assert asked.line == f"{method} /api2/json/nodes/pve/qemu/1?purge=1&a=b+c HTTP/1.1"
    assert asked.body == ""


async def test_ssh_keys_are_encoded_twice_on_the_wire(tmp_path: Path) -> None:
    server = Scripted(tmp_path, answered("200 OK"))
    with talking(server) as api:
        await api.call("PUT", "/nodes/pve/qemu/1/config", changes({}, WANTED, "d"))
    once = dict(parse_qsl(server.asked[0].body))["sshkeys"]
    assert " " not in once
    assert unquote(once) == ALICE


async def test_the_environment_decides_neither_route_nor_trust(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "nothing.pem"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    server = Scripted(tmp_path, answered("200 OK", '{"data":1}'))
    with talking(server) as api:
        assert await api.call("GET", "/version") == 1
    assert server.asked[0].headers["authorization"].startswith("PVEAPIToken=")


async def test_no_log_shows_a_secret_a_key_or_a_body(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = Scripted(tmp_path, answered("200 OK"), answered("500 no", '{"data":"hush"}'))
    with caplog.at_level(logging.DEBUG), talking(server) as api:
        params = changes({}, WANTED, "describes") | {"cipassword": "hunter2"}
        await api.call("PUT", "/nodes/pve/qemu/1/config", params)
        with pytest.raises(ApiError):
            await api.call("PUT", "/nodes/pve/qemu/1/config", params)
    assert server.asked[0].body.count("hunter2") == 1
    for secret in (SECRET, "hunter2", "AAAAC3Nza", "hush", "describes"):
        assert secret not in caplog.text
    assert SECRET not in repr(endpoint(8006))

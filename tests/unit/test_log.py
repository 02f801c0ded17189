import asyncio
import base64
import io
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from chainwatch import log
from chainwatch.config import LogConfig
from chainwatch.credentials import Secret, _Register, redact, remember_url

TOKEN = "7e0d5c1a-83b4-4f3e-9a55-0c9e1d2f3a4b"
NAUGHTY = 'ge"heim\\nis/ü 42'
KEY_IN_URL = "Ab3dEf6hIj9lMn2pQr5tUv8x"


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Give the process back its logging."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hooks = sys.excepthook, threading.excepthook
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook, threading.excepthook = hooks
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


Lines = Callable[[], list[dict[str, object]]]


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def lines(stream: io.StringIO) -> Lines:
    """Read what was logged, as JSON."""
    log.configure(LogConfig(level="debug", format="json"), stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


ours = structlog.get_logger("chainwatch.test")


def test_a_line_says_when_in_utc_how_bad_what_and_where(lines: Lines) -> None:
    ours.warning("a clone waits", lease="eip155:1/erc721:0xab/7", vmid=20_000)

    (line,) = lines()
    assert list(line)[:4] == ["timestamp", "level", "event", "logger"]
    assert datetime.fromisoformat(str(line.pop("timestamp"))).utcoffset() == timedelta(0)
    assert line == {
        "level": "warning",
        "event": "a clone waits",
        "logger": "chainwatch.test",
        "lease": "eip155:1/erc721:0xab/7",
        "vmid": 20_000,
    }


def test_libraries_log_in_the_same_form(lines: Lines) -> None:
    logging.getLogger("web3.providers").warning("%d of %d", 3, 4, extra={"host": "node"})

    (line,) = lines()
    assert (line["event"], line["logger"], line["host"]) == ("3 of 4", "web3.providers", "node")


@pytest.mark.parametrize("name", ["proxmoxer.core", "urllib3.connectionpool", "asyncssh", "web3"])
def test_what_libraries_say_of_their_requests_is_not_written(lines: Lines, name: str) -> None:
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.DEBUG)  # as if the library had asked for it itself
    logger.info("POST /api2/json/nodes/pve/qemu/100/config %s", {"cipassword": TOKEN})
    logger.setLevel(before)

    assert lines() == []


def test_records_below_the_level_are_not_written(stream: io.StringIO) -> None:
    log.configure(LogConfig(level="warning", format="json"), stream)

    ours.info("not worth it")
    logging.getLogger("provisioner.x").info("nor this")

    assert stream.getvalue() == ""


def test_a_person_at_a_terminal_gets_columns_and_a_machine_json() -> None:
    for stream, is_json in ((io.StringIO(), True), (Terminal(), False)):
        log.configure(LogConfig(level="info", format="auto"), stream)
        ours.info("hello", vmid=7)
        assert stream.getvalue().startswith('{"timestamp"') is is_json
        assert "hello" in stream.getvalue()


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_guest_cannot_forge_a_line(form: str) -> None:
    stream = io.StringIO()
    log.configure(LogConfig(level="info", format=form), stream)

    ours.info("the agent said\nall is well\x1b[2K", answer="x\r\nnothing happened\u2028")

    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b[2K" not in stream.getvalue()


# ----------------------------------------------------------------------------- it never raises


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_record_that_cannot_be_written_is_reported_and_raises_nothing(form: str) -> None:
    stream = io.StringIO()
    log.configure(LogConfig(level="info", format=form), stream)
    cyclic: dict[str, object] = {}
    cyclic["self"] = cyclic

    ours.info("%s and %d", 1)
    logging.getLogger("chainwatch.other").info("%d", "x")
    ours.info("hostile", value=Hostile())
    ours.info("cyclic", value=cyclic, surrogate="\ud800", number=float("nan"), odd={1: b"\xff"})

    lines = stream.getvalue().splitlines()
    assert len(lines) == 4
    assert [("unloggable" in line) for line in lines] == [True, True, True, False]


def test_a_closed_stream_raises_nothing() -> None:
    stream = io.StringIO()
    log.configure(LogConfig(level="info", format="json"), stream)
    stream.close()

    ours.error("nobody hears this")


# --------------------------------------------------------------------------------- last words


def test_what_kills_the_process_is_logged_without_its_secrets(lines: Lines) -> None:
    try:
        raise ValueError(f"https://rpc.example.net/v1/{KEY_IN_URL} did not answer")
    except ValueError as error:
        sys.excepthook(ValueError, error, error.__traceback__)

    (line,) = lines()
    assert (line["level"], line["event"]) == ("critical", "died")
    assert "https://rpc.example.net/[redacted] did not answer" in str(line["exception"])


def test_what_kills_a_thread_is_logged(lines: Lines) -> None:
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()

    (line,) = lines()
    assert "ZeroDivisionError" in str(line["exception"])


async def test_what_the_event_loop_complains_of_is_logged(lines: Lines) -> None:
    asyncio.get_running_loop().call_exception_handler({"message": "a task was lost"})

    assert lines()[0]["event"] == "a task was lost"


# ---------------------------------------------------------------------------- no secret is shown


@dataclass(frozen=True)
class Holder:
    token: str


def every_position(secret: str) -> None:
    """Log `secret` wherever a value can stand."""
    library = logging.getLogger("aiohttp.client")
    ours.info(f"in the event {secret}")
    ours.info("as an argument %s", secret)
    ours.info("as a value", value=secret, raw=secret.encode(), inner={"a": [{"b": (secret,)}]})
    ours.info("as a name", **{secret: 1}, names={secret: 1})
    ours.info("in an object", value=Holder(secret), deep=[[[[[[[[secret]]]]]]]])
    ours.info("encoded", hex=secret.encode().hex(), url=quote(secret, safe=""))
    ours.info("encoded", base64=base64.b64encode(secret.encode()).decode(), json=json.dumps(secret))
    library.warning("from a library %s", secret, extra={"more": {"secret": secret}})
    structlog.contextvars.bind_contextvars(bound=secret)
    ours.bind(value=secret).info("bound")
    try:
        raise ValueError(secret) from KeyError(secret)
    except ValueError as error:
        ours.exception("failed", error=error)
        library.warning("failed", exc_info=True)


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("secret", [TOKEN, NAUGHTY])
def test_a_known_secret_shows_in_no_position(form: str, secret: str) -> None:
    stream = io.StringIO()
    log.configure(LogConfig(level="debug", format=form), stream)
    assert Secret(secret.encode()).text() == secret

    every_position(secret)

    written = stream.getvalue()
    assert written.count("[redacted]") > 20
    assert "unloggable" not in written
    for shape in (secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], quote(secret, safe="")):
        assert shape not in written
    assert secret.encode().hex() not in written
    assert base64.b64encode(secret.encode()).decode().rstrip("=") not in written


S = "t0psecretvalue"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: PVEAPIToken=a@pve!b={S}",
        f"{{'Authorization': 'Bearer {S}', 'Accept': '*/*'}}",
        f"(b'authorization', b'Basic {S}')",
        f'{{"authorization": "{S} {S}"}}',
        f"sent PVEAPIToken=a@pve!b={S}",
        f"Bearer {S}",
        f"Cookie: PVEAuthCookie={S}; other={S}",
        f"cipassword={S}&name=x",
        f"{{'name': 'x', 'cipassword': '{S}'}}",
        f'password = "{S} {S}"',
        f"private_key=0x{S}",
        f"privateKey: {S}",
        f"api-key={S}",
        f"CSRFPreventionToken: {S}",
        f"-----BEGIN OPENSSH PRIVATE KEY-----\n{S}\n-----END OPENSSH PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\\n{S}",
        f"https://rpc.example.net/v3/{S}",
        f"wss://rpc.example.net?key={S}",
        f"https://user:{S}@rpc.example.net/",
        f"https://user:{S}/{S}@rpc.example.net/",
        f"https://rpc.example.net/?mail=a@{S}",
        f"<https://rpc.example.net/#{S}>",
    ],
)
def test_what_looks_like_a_secret_is_not_shown(text: str) -> None:
    assert S not in redact(text)
    assert "[redacted]" in redact(text)
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "lease eip155:8453/erc721:0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed/42",
        "tx 0x" + "ab" * 32,
        "UPID:pve:0001:0002:65:qmclone:9000:chainwatch@pve!daemon:",
        "wrote https://pve.example.net:8006",
        "token=42 is expired",
        "read identity_key_file=/etc/chainwatch/credentials/identity-key",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA buyer",
    ],
)
def test_what_an_operator_needs_is_shown(text: str) -> None:
    assert redact(text) == text


def test_a_host_is_shown_and_the_rest_of_its_url_is_not() -> None:
    assert redact("GET https://u:p@h.example:8545/v1/x?y=z ok") == (
        "GET https://[redacted]@h.example:8545/[redacted] ok"
    )


def test_keys_of_our_urls_are_known_where_no_url_is_left_of_them() -> None:
    remember_url(f"https://rpc.example.net/v3/{KEY_IN_URL}?apikey={KEY_IN_URL[::-1]}")

    assert redact(f"POST /v3/{KEY_IN_URL} 429") == "POST /v3/[redacted] 429"
    assert redact(f"got {KEY_IN_URL[::-1]}") == "got [redacted]"


def test_a_value_is_hidden_by_its_name(lines: Lines) -> None:
    ours.info("x", cipassword="short", proxmox={"api_token": 7}, token=42, token_file="/a/b")

    (line,) = lines()
    assert line["cipassword"] == "[redacted]"
    assert line["proxmox"] == {"api_token": "[redacted]"}
    assert (line["token"], line["token_file"]) == (42, "/a/b")


def test_a_secret_has_no_readable_form() -> None:
    secret = Secret(TOKEN.encode())

    assert TOKEN not in f"{secret} {secret!r} {[secret]}"
    assert secret == Secret(TOKEN.encode())
    assert secret != Secret(b"something else")


@given(st.binary(min_size=8, max_size=64), st.text(max_size=20), st.text(max_size=20))
def test_no_known_secret_survives_in_any_text(value: bytes, before: str, after: str) -> None:
    known = _Register()
    known.add(value)
    for shape in (value.hex(), repr(value)[2:-1], value.decode(errors="replace")):
        assert shape not in known.hide(f"{before} {shape} {after}")


@given(st.text())
def test_any_text_can_be_redacted(text: str) -> None:
    assert redact(redact(text)) == redact(text)

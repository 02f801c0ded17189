import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from chainwatch.errors import Fatal
from chainwatch.runtime.notify import Notifier, watchdog_interval


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A socket's address as systemd writes it."""
    return str(tmp_path / "notify") if request.param == "path" else f"@{uuid.uuid4()}"


@pytest.fixture
def systemd(address: str) -> Iterator[socket.socket]:
    """The other end of the line."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind("\0" + address[1:] if address.startswith("@") else address)
        line.settimeout(5)
        yield line


def test_every_message_is_one_datagram(systemd: socket.socket, address: str) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": address})

    assert notifier.ready()
    assert systemd.recv(100) == b"READY=1"
    assert notifier.alive()
    assert systemd.recv(100) == b"WATCHDOG=1"
    assert notifier.status("3 leases, 1 alarm")
    assert systemd.recv(100) == b"STATUS=3 leases, 1 alarm"
    assert notifier.stopping()
    assert systemd.recv(100) == b"STOPPING=1"


def test_a_status_cannot_smuggle_in_another_message(systemd: socket.socket, address: str) -> None:
    Notifier(address).status("lost\nSTOPPING=1")

    assert systemd.recv(100) == b"STATUS=lost STOPPING=1"


def test_without_a_service_manager_nothing_is_sent() -> None:
    notifier = Notifier.from_environment({})

    assert not notifier.ready()
    assert not notifier.status("nobody reads this")


def test_a_line_that_is_gone_hurts_nobody(tmp_path: Path) -> None:
    assert not Notifier(str(tmp_path / "gone")).alive()


def test_an_address_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(Fatal, match="NOTIFY_SOCKET=vsock:2:1 is neither a path nor abstract"):
        Notifier.from_environment({"NOTIFY_SOCKET": "vsock:2:1"})


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "60000000"}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0", "WATCHDOG_PID": "7"}, None),
        ({"WATCHDOG_USEC": "soon", "WATCHDOG_PID": "7"}, None),
        ({"WATCHDOG_PID": "7"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_hears_from_us_twice_as_often_as_it_must(
    environ: dict[str, str], seconds: float | None
) -> None:
    assert watchdog_interval(environ, pid=7) == seconds

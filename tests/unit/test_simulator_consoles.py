"""A console's port serves one connection, within ten seconds, for that identity and guest."""

from collections.abc import Mapping

import pytest

from provisioner.backends.proxmox.api import JsonValue
from provisioner.simulator.state import Grant, Token
from provisioner.simulator.wire import ApiRequest, ApiResponse, Fate
from tests.support.simulated import QEMU, Console

VM = f"{QEMU}/218"
INVALID = "permission denied - invalid PVEVNC ticket"


@pytest.fixture
def console() -> Console:
    console = Console()
    console.cluster.add_guest(218)
    console.cluster.add_guest(219)
    return console


def opened(console: Console, **params: int) -> Mapping[str, JsonValue]:
    told = console.data("POST", f"{VM}/vncproxy", **params)
    assert isinstance(told, dict)
    return told


def connect(
    console: Console, told: Mapping[str, JsonValue], path: str = VM, **other: str
) -> ApiResponse:
    params = {"port": str(told["port"]), "vncticket": str(told["ticket"])} | other
    return console.ask("GET", f"{path}/vncwebsocket", **params)


def test_a_stopped_machine_has_a_console_too(console: Console) -> None:
    told = opened(console, websocket=1)
    assert (told["user"], told["port"]) == ("root@pam!sim", "5900")
    assert str(told["ticket"]).startswith(f"{told['password']}:PVEVNC:")
    assert str(told["upid"]).split(":")[5] == "vncproxy"


def test_consoles_that_wait_at_once_have_ports_of_their_own(console: Console) -> None:
    assert [opened(console)["port"] for _ in range(4)] == ["5900", "5901", "5902", "5903"]


def test_a_port_serves_one_connection(console: Console) -> None:
    told = opened(console)
    assert connect(console, told).data == {"port": "5900"}
    assert connect(console, told).fate is Fate.LOST
    assert console.ended(told["upid"]) == "OK"


def test_nobody_is_served_after_ten_seconds(console: Console) -> None:
    told = opened(console)
    console.cluster.advance(10.5)
    assert connect(console, told).fate is Fate.LOST
    assert console.ended(told["upid"]) == "connection timed out"


@pytest.mark.parametrize(
    ("path", "other"),
    [
        (VM, {"vncticket": "PVEVNC:00000000::AAAA"}),
        (VM, {"port": "5999"}),
        (f"{QEMU}/219", {}),
    ],
)
def test_a_ticket_is_for_its_port_and_guest(
    console: Console, path: str, other: dict[str, str]
) -> None:
    answer = connect(console, opened(console), path, **other)
    assert (answer.status, answer.reason, answer.delay) == (401, INVALID, 3.0)
    assert answer.body()["message"] == f"{INVALID}\n"


def test_a_ticket_is_for_whoever_asked_for_it(console: Console) -> None:
    told = opened(console)
    console.cluster.add_token(Token("other@pve!t", "secret"))
    params = {"port": str(told["port"]), "vncticket": str(told["ticket"])}
    request = ApiRequest("GET", f"{VM}/vncwebsocket", params, "other@pve!t=secret")
    assert console.cluster.handle(request).reason == INVALID


def test_a_console_needs_its_privilege(console: Console) -> None:
    few = (Grant("/vms/218", frozenset({"VM.Audit"})),)
    console.cluster.add_token(Token("low@pve!t", "secret", everything=False, grants=few))
    request = ApiRequest("POST", f"{VM}/vncproxy", {}, "low@pve!t=secret")
    assert console.cluster.handle(request).reason == (
        "Permission check failed (/vms/218, VM.Console)"
    )


@pytest.mark.rude_requests
def test_what_is_missing_is_named_and_a_low_port_refused(console: Console) -> None:
    missing = "property is missing and it is not optional"
    answer = console.ask("GET", f"{VM}/vncwebsocket")
    assert answer.errors == {"port": missing, "vncticket": missing}
    assert connect(console, opened(console), port="80").status == 400


def test_a_terminal_tells_no_password(console: Console) -> None:
    told = console.data("POST", f"{VM}/termproxy", serial="serial0")
    assert isinstance(told, dict)
    assert sorted(told) == ["port", "ticket", "upid", "user"]
    missing = console.ask("POST", f"{QEMU}/555/vncproxy")
    assert missing.reason == "Configuration file 'nodes/pve/qemu-server/555.conf' does not exist"

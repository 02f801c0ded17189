"""Consoles: a port that is open for one connection, for ten seconds, for one identity and guest.

`vncproxy` and `termproxy` start a task that waits at the port and hand out a ticket for it;
`vncwebsocket` is refused (401, late, and told in the body) unless ticket, port, guest and identity
are those. Who comes a second time, or too late, finds nobody: the connection ends without a word.
"""

from typing import Final

from provisioner.backends.proxmox.api import JsonValue
from provisioner.simulator.access import Ask
from provisioner.simulator.endpoint import Handler, Route, Rules
from provisioner.simulator.params import FLAG, Kind, Rule
from provisioner.simulator.state import Console, State
from provisioner.simulator.task import Task
from provisioner.simulator.tasks import start_task
from provisioner.simulator.timeline import Script, Sleep
from provisioner.simulator.wire import LOST, Refused

PATIENCE: Final = 10.0
FIRST, LAST = 5900, 5999
CERTIFICATE: Final = "-----BEGIN CERTIFICATE-----\nCERTIFICATE\n-----END CERTIFICATE-----\n\n"
INVALID: Final = "permission denied - invalid PVEVNC ticket"
VNC: dict[str, Rules] = {
    "qemu": {"websocket": FLAG, "generate-password": FLAG},
    "lxc": {"websocket": FLAG},
}
TERM: dict[str, Rules] = {
    "qemu": {"serial": Rule(words=tuple(f"serial{n}" for n in range(4)))},
    "lxc": {},
}
SOCKET: Rules = {
    "port": Rule(Kind.INTEGER, required=True, minimum=FIRST, maximum=LAST),
    "vncticket": Rule(required=True, longest=512),
}


def _proxy(word: str, kind: str, *, tells_password: bool) -> Handler:
    def handler(state: State, ask: Ask) -> JsonValue:
        _guest(state, ask, kind)
        console = _open(state, ask)

        def wait(task: Task) -> Script[None]:
            yield Sleep(PATIENCE)
            if state.consoles.get(console.port) is console:
                del state.consoles[console.port]
                raise Refused("connection timed out")
            task.log.append("connected")

        told: dict[str, JsonValue] = {
            "user": ask.token.id,
            "ticket": console.ticket,
            "port": str(console.port),
            "upid": start_task(state, ask, word, str(ask.vmid), wait),
        }
        if tells_password:
            told |= {"cert": CERTIFICATE, "password": console.ticket.partition(":PVEVNC:")[0]}
        return told

    return handler


def _guest(state: State, ask: Ask, kind: str) -> None:
    if kind == "lxc":
        state.container(ask.node, ask.vmid)
    else:
        state.guest(ask.node, ask.vmid)


def _open(state: State, ask: Ask) -> Console:
    port = next((p for p in range(FIRST, LAST + 1) if p not in state.consoles), None)
    if port is None:
        raise Refused("unable to find free port (5900-5999)")
    password, signature = state.draws.take(4).hex(), state.draws.take(16).hex()
    now = state.timeline.now
    ticket = f"{password}:PVEVNC:{int(now):08X}::{signature}"
    console = Console(port, ticket, ask.token.id, ask.vmid, now + PATIENCE)
    state.consoles[port] = console
    state.tickets[ticket] = console
    return console


def connect(state: State, ask: Ask) -> JsonValue:
    """GET vncwebsocket: take the port's one connection."""
    ticket, port = ask.text("vncticket"), ask.number("port", 0)
    issued = state.tickets.get(ticket)
    if issued is None or (issued.token, issued.vmid, issued.port) != (
        ask.token.id,
        ask.vmid,
        port,
    ):
        raise Refused(INVALID, 401)
    if state.consoles.get(port) is not issued:
        raise Refused(LOST)
    del state.consoles[port]
    return {"port": str(port)}


def _routes(kind: str) -> tuple[Route, ...]:
    base, need = f"/nodes/{{node}}/{kind}/{{vmid}}", ("/vms/{vmid}", "VM.Console")
    vnc = _proxy("vncproxy", kind, tells_password=True)
    term = _proxy("vncproxy", kind, tells_password=False)
    return (
        Route("POST", f"{base}/vncproxy", vnc, VNC[kind], need),
        Route("POST", f"{base}/termproxy", term, TERM[kind], need),
        Route("GET", f"{base}/vncwebsocket", connect, SOCKET, need),
    )


CONSOLE_ROUTES: Final = (*_routes("qemu"), *_routes("lxc"))

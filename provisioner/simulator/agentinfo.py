"""What the guest agent tells of its guest when it is merely asked: system, clock, processors.

`POST agent` with a command is the old way to say the same things; it takes no other parameters.
"""

from collections.abc import Callable
from typing import Final

from provisioner.backends.proxmox.api import JsonValue
from provisioner.simulator.access import Ask
from provisioner.simulator.agent import CALLS, Handler, answering, ping
from provisioner.simulator.endpoint import Rules
from provisioner.simulator.guests import Guest
from provisioner.simulator.params import Rule
from provisioner.simulator.state import State
from provisioner.simulator.timeline import Script

BLOCK: Final = 128 * 2**20
SYSTEM: Final[dict[str, JsonValue]] = {
    "id": "debian",
    "name": "Debian GNU/Linux",
    "pretty-name": "Debian GNU/Linux 12 (bookworm)",
    "version": "12 (bookworm)",
    "version-id": "12",
    "machine": "x86_64",
    "kernel-release": "6.1.0-56-cloud-amd64",
    "kernel-version": "#1 SMP PREEMPT_DYNAMIC Debian",
}
Told = Callable[[State, Guest], JsonValue]


def _blocks(_: State, guest: Guest) -> JsonValue:
    return [
        {"phys-index": number, "online": True, "can-offline": True}
        for number in range(max(guest.memory // BLOCK, 1))
    ]


def _processors(_: State, guest: Guest) -> JsonValue:
    return [{"logical-id": n, "online": True, "can-offline": n > 0} for n in range(guest.cores)]


def _users(_: State, guest: Guest) -> JsonValue:
    names = sorted({session.user for session in guest.os.sessions})
    return [{"user": name, "login-time": guest.started_at} for name in names]


def _commands(_: State, __: Guest) -> JsonValue:
    names = sorted(path for _, path, _, _ in CALLS)
    told: list[JsonValue] = [
        {"name": f"guest-{name}", "enabled": True, "success-response": True} for name in names
    ]
    return {"version": "7.2.22", "supported_commands": told}


ASKED: Final[dict[str, Told]] = {
    "get-osinfo": lambda _, __: dict(SYSTEM),
    "get-time": lambda state, _: int(state.timeline.now * 1e9),
    "get-timezone": lambda _, __: {"zone": "UTC", "offset": 0},
    "get-users": _users,
    "get-vcpus": _processors,
    "get-memory-blocks": _blocks,
    "get-memory-block-info": lambda _, __: {"size": BLOCK},
    "info": _commands,
}


def _telling(told: Told) -> Handler:
    def handler(state: State, ask: Ask) -> Script[JsonValue]:
        guest = yield from answering(state, ask)
        return {"result": told(state, guest)}

    return handler


WITHOUT_PARAMETERS: Final[dict[str, Handler]] = {
    "ping": ping,
    "fsfreeze-status": _telling(lambda _, __: "thawed"),
    **{name: _telling(told) for name, told in ASKED.items()},
    **{path: handler for method, path, handler, rules in CALLS if not rules},
}


def command(state: State, ask: Ask) -> Script[JsonValue]:
    """POST agent: one of the commands that take no parameters."""
    return (yield from WITHOUT_PARAMETERS[ask.text("command")](state, ask))


COMMAND: Final[Rules] = {"command": Rule(required=True, words=tuple(sorted(WITHOUT_PARAMETERS)))}
INFO_CALLS: Final = (
    *(("GET", f"/{name}", WITHOUT_PARAMETERS[name], {}) for name in ASKED),
    ("POST", "/fsfreeze-status", WITHOUT_PARAMETERS["fsfreeze-status"], {}),
    ("POST", "", command, COMMAND),
)

"""The guest agent: asking the simulated operating system to do things.

Silence takes three seconds (`QEMU guest agent is not running`), because that is how long Proxmox
waits for the socket; an agent that is not configured or a machine that is off is refused at once.
`exec` starts a program and returns its pid; whether it worked is only told by `exec-status` later.
A program that does not exist breaks the agent's connection: a 596 after five seconds.
"""

import base64
import binascii
from collections.abc import Callable

from provisioner.backends.proxmox.api import JsonValue
from provisioner.simulator.access import Ask
from provisioner.simulator.guests import Guest, GuestProcess, Power
from provisioner.simulator.params import FLAG, Kind, Rule
from provisioner.simulator.programs import PROGRAMS
from provisioner.simulator.state import State
from provisioner.simulator.timeline import Script, Sleep
from provisioner.simulator.wire import Refused

COUNTS = ("bytes", "packets", "errs", "dropped")
SILENCE = 3.0
COUNTED = tuple(f"{way}-{what}" for way in ("rx", "tx") for what in COUNTS)
BROKEN_PIPE = 5.0


def answering(state: State, ask: Ask) -> Script[Guest]:
    """Return the guest once its agent answers, or refuse as Proxmox does."""
    guest = state.guest(ask.node, ask.vmid)
    if not guest.agent_configured:
        raise Refused("No QEMU guest agent configured")
    if not guest.running:
        raise Refused(f"VM {ask.vmid} is not running")
    if not _answers(guest):
        yield Sleep(SILENCE)
        if not _answers(guest):
            raise Refused("QEMU guest agent is not running")
    return guest


def _answers(guest: Guest) -> bool:
    return guest.has_agent and guest.booted and guest.power is Power.RUNNING


def ping(state: State, ask: Ask) -> Script[JsonValue]:
    """POST agent/ping."""
    yield from answering(state, ask)
    return {"result": {}}


def host_name(state: State, ask: Ask) -> Script[JsonValue]:
    """GET agent/get-host-name."""
    guest = yield from answering(state, ask)
    return {"result": {"host-name": guest.os.hostname}}


def interfaces(state: State, ask: Ask) -> Script[JsonValue]:
    """GET agent/network-get-interfaces: loopback, and net0 with its configured address."""
    guest = yield from answering(state, ask)
    net = str(guest.config.get("net0", ""))
    mac = net.split(",", maxsplit=1)[0].partition("=")[2].lower()
    pairs = [part.partition("=")[::2] for part in str(guest.config.get("ipconfig0", "")).split(",")]
    static = [(key, value) for key, value in pairs if key in {"ip", "ip6"} and "/" in value]
    addresses: list[JsonValue] = [
        {
            "ip-address": value.split("/")[0],
            "ip-address-type": "ipv4" if key == "ip" else "ipv6",
            "prefix": int(value.split("/")[1]),
        }
        for key, value in static
    ]
    if guest.link_local_only:
        addresses = [{"ip-address": "fe80::1", "ip-address-type": "ipv6", "prefix": 64}]
    loopback: list[JsonValue] = [
        {"ip-address": "127.0.0.1", "ip-address-type": "ipv4", "prefix": 8},
        {"ip-address": "::1", "ip-address-type": "ipv6", "prefix": 128},
    ]
    return {
        "result": [
            _interface("lo", "00:00:00:00:00:00", loopback),
            _interface("eth0", mac, addresses),
        ]
    }


def _interface(name: str, mac: str, addresses: list[JsonValue]) -> JsonValue:
    """Return one interface; one that has no address has no list of them."""
    row: dict[str, JsonValue] = {"name": name, "hardware-address": mac}
    quiet = dict[str, JsonValue](dict.fromkeys(COUNTED, 0))
    return row | {"statistics": quiet} | ({"ip-addresses": addresses} if addresses else {})


def file_systems(state: State, ask: Ask) -> Script[JsonValue]:
    """GET agent/get-fsinfo: the root file system, a quarter full, and one that does not tell."""
    guest = yield from answering(state, ask)
    size = guest.boot_disk_size()
    root: dict[str, JsonValue] = {
        "name": "sda1",
        "mountpoint": "/",
        "type": "ext4",
        "total-bytes": size,
        "used-bytes": size // 4,
        "disk": [_disk_at("/dev/sda1")],
    }
    silent: dict[str, JsonValue] = {
        "name": "sda15",
        "mountpoint": "/boot/efi",
        "type": "vfat",
        "disk": [_disk_at("/dev/sda15")],
    }
    return {"result": [root, silent]}


def _disk_at(device: str) -> JsonValue:
    where: JsonValue = {"domain": 0, "bus": 0, "slot": 5, "function": 0}
    return {
        "bus-type": "scsi",
        "bus": 0,
        "target": 0,
        "unit": 0,
        "dev": device,
        "serial": "0QEMU_QEMU_HARDDISK_drive-scsi0",
        "pci-controller": where,
    }


def execute(state: State, ask: Ask) -> Script[JsonValue]:
    """POST agent/exec: start a program. Returns its pid."""
    guest = yield from answering(state, ask)
    command = ask.params["command"]
    words = command if isinstance(command, tuple) else (str(command),)
    name = words[0].rsplit("/", 1)[-1]
    program = guest.os.installed.get(name) or PROGRAMS.get(name)
    if program is None:
        yield Sleep(BROKEN_PIPE)
        raise Refused("Broken pipe", 596)
    run = program(guest.os, words[1:], ask.text("input-data"))
    pid = 400 + 2 * len(guest.processes)
    ends_at = state.timeline.now + run.seconds
    guest.processes[pid] = GuestProcess(pid, ends_at, run.code, run.output, run.error, run.signal)
    return {"pid": pid}


def execute_status(state: State, ask: Ask) -> Script[JsonValue]:
    """GET agent/exec-status: whether the program has ended, and how."""
    guest = yield from answering(state, ask)
    process = guest.processes.get(ask.number("pid", 0))
    if process is None:
        raise Refused("Agent error: Invalid parameter 'pid'")
    if process.ends_at > state.timeline.now:
        return {"exited": 0}
    answer: dict[str, JsonValue] = {"exited": 1}
    if process.signal is None:
        answer["exitcode"] = process.exit_code
    else:
        answer["signal"] = process.signal
    for name, text in (("out", process.output), ("err", process.error)):
        if text:
            answer |= {f"{name}-data": text, f"{name}-truncated": 0}
    return answer


def write_file(state: State, ask: Ask) -> Script[JsonValue]:
    """POST agent/file-write: replace a file's content."""
    guest = yield from answering(state, ask)
    path, content = ask.text("file"), ask.text("content")
    if "encode" in ask.params and not ask.flag("encode"):
        content = _decoded(content)
    if (path.rpartition("/")[0] or "/") not in guest.os.folders:
        text = f"failed to open file '{path}' (mode: 'wb'): No such file or directory"
        raise Refused(f"Agent error: {text}")
    guest.os.files[path] = content
    return None


def _decoded(content: str) -> str:
    try:
        return base64.b64decode(content, validate=True).decode("latin-1")
    except binascii.Error:
        raise Refused("Agent error: Invalid parameter 'buf-b64'") from None


def read_file(state: State, ask: Ask) -> Script[JsonValue]:
    """GET agent/file-read."""
    guest = yield from answering(state, ask)
    path = ask.text("file")
    content = guest.os.files.get(path)
    if content is None:
        text = f"failed to open file '{path}' (mode: 'r'): No such file or directory"
        raise Refused(f"Agent error: {text}")
    return {"content": content, "bytes-read": len(content.encode())}


def set_password(state: State, ask: Ask) -> Script[JsonValue]:
    """POST agent/set-user-password."""
    guest = yield from answering(state, ask)
    user = ask.text("username")
    if user not in guest.os.users:
        raise Refused("Agent error: child process has failed to set user password")
    guest.os.passwords[user] = ask.text("password")
    return {"result": {}}


FILE = Rule(required=True)
COMMAND = Rule(Kind.WORDS, required=True)
CONTENT = Rule(required=True, longest=61440)
PASSWORD = Rule(required=True, shortest=5, longest=1024)
Handler = Callable[[State, Ask], Script[JsonValue]]

CALLS: tuple[tuple[str, str, Handler, dict[str, Rule]], ...] = (
    ("POST", "ping", ping, {}),
    ("GET", "get-host-name", host_name, {}),
    ("GET", "network-get-interfaces", interfaces, {}),
    ("GET", "get-fsinfo", file_systems, {}),
    ("POST", "exec", execute, {"command": COMMAND, "input-data": Rule(longest=65536)}),
    ("GET", "exec-status", execute_status, {"pid": Rule(Kind.INTEGER, required=True)}),
    ("POST", "file-write", write_file, {"file": FILE, "content": CONTENT, "encode": FLAG}),
    ("GET", "file-read", read_file, {"file": FILE}),
    (
        "POST",
        "set-user-password",
        set_password,
        {"username": FILE, "password": PASSWORD, "crypted": FLAG},
    ),
)

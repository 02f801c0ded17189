"""The helper's verbs on the simulated cluster: what is refused, and what is done.

Written from what the helper promises and not from its text, so that one suite can hold both to the
same. Codes and the line `started` are those of templates/node/chainwatch-node.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address, IPv6Network

from provisioner.guest.ended import Ended
from provisioner.simulator.faults import Fault, FaultName
from provisioner.simulator.guests import Guest
from provisioner.simulator.lxc.container import Container
from provisioner.simulator.programs import PROGRAMS
from provisioner.simulator.ssh.system import NodeSystem
from provisioner.simulator.state import State
from provisioner.simulator.timeline import Script, Sleep

VERSION = "chainwatch-node 1\n"
STARTED = b"chainwatch-node: started\n"
LARGEST_CONTENT, LONGEST_COMMAND, LONGEST_RUN = 262_144, 98_304, 600
COMMAND = re.compile(r"[A-Za-z0-9+/=:._-]+( [A-Za-z0-9+/=:._-]+)*")
SNIPPET = re.compile(r"chainwatch-([1-9][0-9]{2,8})-[0-9a-f]{8,64}\.yaml")
NUMBER = re.compile(r"[1-9][0-9]{0,8}")
#: How long a verb takes on a node, in virtual seconds.
TAKES = 0.05


class Failed(Exception):
    """The helper ends with a code and a sentence."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.ended = Ended(code, b"", f"chainwatch-node: {sentence}\n".encode())


@dataclass(frozen=True, slots=True)
class Asked:
    """One command line on one node, with what came on its standard input."""

    state: State
    node: str
    words: tuple[str, ...]
    content: bytes

    @property
    def system(self) -> NodeSystem:
        """Return the node's system."""
        return self.state.systems.setdefault(self.node, NodeSystem())


def serve(state: State, node: str, command: str, content: bytes) -> Script[Ended | None]:
    """Do what `command` asks of `node`. Returns None where the connection is cut before the end."""
    fault = state.faults.match("SSH", noted(state, node, command.partition(" ")[0]))
    name = fault.name if fault else None
    yield Sleep(fault.seconds if fault and name is FaultName.HANG else TAKES)
    if name is FaultName.CUT_SHORT:
        content = content[: len(content) // 2]
    try:
        asked = Asked(state, node, _parsed(command), content)
        ended = yield from _dispatched(asked, fault)
    except Failed as failed:
        ended = failed.ended
    return None if name in {FaultName.CUT_SHORT, FaultName.LOSE_REPLY} else ended


def noted(state: State, node: str, verb: str) -> str:
    """Note in the log of calls what is asked of a node over SSH; returns the path it goes by."""
    path = f"/{node}/{verb}"
    state.record(state.timeline.now, "SSH", path, 0, None)
    return path


def _dispatched(asked: Asked, fault: Fault | None) -> Script[Ended]:
    verb, count = asked.words[0], len(asked.words)
    if fault is not None and fault.name is FaultName.DISK_FULL:
        raise Failed(73, "there is no room: make some")
    if fault is not None and fault.name is FaultName.REFUSE and verb != "pct-exec":
        raise Failed(fault.status, fault.text)
    if verb == "pct-exec" and count > 5:
        return (yield from _pct_exec(asked, fault))
    do = VERBS.get((verb, count))
    if do is None:
        raise Failed(64, "that is not a verb of this program, or not with so many words")
    return Ended(0, do(asked).encode(), b"")


def _parsed(command: str) -> tuple[str, ...]:
    if len(command) > LONGEST_COMMAND:
        raise Failed(64, "that is too long")
    if not COMMAND.fullmatch(command):
        raise Failed(64, "this key opens no shell: say one of the verbs")
    return tuple(command.split(" "))


def _number(text: str, most: int) -> int:
    if not NUMBER.fullmatch(text) or int(text) > most:
        raise Failed(64, f"not a number up to {most}")
    return int(text)


def _vmid(asked: Asked, text: str) -> int:
    rules, vmid = asked.system.rules, _number(text, 999_999_999)
    if not rules.vmid_first <= vmid <= rules.vmid_last:
        raise Failed(64, f"not a VMID of {rules.vmid_first} to {rules.vmid_last}")
    return vmid


def _received(asked: Asked, size: str, digest: str) -> bytes:
    if not re.fullmatch(r"0|[1-9][0-9]{0,6}", size) or int(size) > LARGEST_CONTENT:
        raise Failed(64, f"not a size of at most {LARGEST_CONTENT} bytes")
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise Failed(64, "not a SHA-256 sum")
    content = asked.content
    if len(content) != int(size) or hashlib.sha256(content).hexdigest() != digest:
        raise Failed(65, "what arrived is not what was sent: nothing was changed")
    return content


def _snippet(asked: Asked, name: str) -> str:
    found = SNIPPET.fullmatch(name)
    if not found:
        raise Failed(64, "not the name of a snippet: chainwatch-VMID-HASH.yaml")
    _vmid(asked, found[1])
    return name


def _version(_: Asked) -> str:
    return VERSION


def _put_snippet(asked: Asked) -> str:
    name = _snippet(asked, asked.words[1])
    asked.system.snippets[name] = _received(asked, asked.words[2], asked.words[3])
    return ""


def _drop_snippet(asked: Asked) -> str:
    asked.system.snippets.pop(_snippet(asked, asked.words[1]), None)
    return ""


def _snippets(asked: Asked) -> str:
    return "".join(f"{name}\n" for name in sorted(asked.system.snippets))


def _route_add(asked: Asked) -> str:
    _, what, text, bridge = asked.words
    try:
        address = IPv6Address(text)
    except AddressValueError:
        raise Failed(64, "not an IPv6 address") from None
    prefixes = map(IPv6Network, asked.system.rules.prefix.split())
    ours = any(address in each for each in prefixes) and text == text.lower()
    if what != "add" or not ours or bridge not in asked.system.rules.bridges:
        raise Failed(64, "not an address or a bridge of ours")
    boot = asked.state.nodes[asked.node].up_since
    asked.system.routes[str(address)] = (bridge, boot)
    return ""


def _route_list(asked: Asked) -> str:
    if asked.words[1] != "list":
        raise Failed(64, "write: route add ADDRESS BRIDGE, or route list")
    boot, routes = asked.state.nodes[asked.node].up_since, asked.system.routes
    return "".join(f"{a} {bridge}\n" for a, (bridge, at) in sorted(routes.items()) if at == boot)


def _isolate(asked: Asked) -> str:
    if asked.words[1] == "list":
        return "".join(map(_ports(asked), _running(asked)))
    vmid = _vmid(asked, asked.words[1])
    guest = next((guest for guest in _running(asked) if guest.vmid == vmid), None)
    if guest is None:
        raise Failed(69, f"guest {vmid} has no port on any bridge: it does not run here")
    asked.system.isolated[vmid] = guest.boots
    return ""


def _ports(asked: Asked) -> Callable[[Guest], str]:
    def port(guest: Guest) -> str:
        isolated = asked.system.isolated.get(guest.vmid) == guest.boots
        return f"fwpr{guest.vmid}p0 {guest.vmid} {'on' if isolated else 'off'}\n"

    return port


def _running(asked: Asked) -> list[Guest]:
    rules, guests = asked.system.rules, asked.state.guests.values()
    ours = (g for g in guests if g.node == asked.node and g.running)
    return [guest for guest in ours if rules.vmid_first <= guest.vmid <= rules.vmid_last]


def _pct_exec(asked: Asked, fault: Fault | None) -> Script[Ended]:
    vmid, limit = _vmid(asked, asked.words[1]), _number(asked.words[2], LONGEST_RUN)
    words = [_argument(word) for word in asked.words[5:]]
    content = _received(asked, asked.words[3], asked.words[4])
    guest = asked.state.guests.get(vmid)
    if not (isinstance(guest, Container) and guest.running and guest.node == asked.node):
        raise Failed(69, f"no container {vmid} runs on this node")
    if fault is not None and fault.name is FaultName.REFUSE:
        return Ended(fault.status, b"", STARTED + fault.text.encode())
    program = PROGRAMS.get(words[0].rsplit("/", 1)[-1])
    if program is None:
        return Ended(127, b"", STARTED + b"lxc-attach: Failed to exec\n")
    run = program(guest.os, tuple(words[1:]), content.decode(errors="replace"))
    yield Sleep(min(run.seconds, limit))
    if run.seconds > limit:
        return Ended(124, b"", STARTED)
    return Ended(run.code, run.output.encode(), STARTED + run.error.encode())


def _argument(word: str) -> str:
    if word == "-":
        return ""
    try:
        plain = base64.b64decode(word, validate=True)
    except binascii.Error:
        raise Failed(64, "a word that is not base64") from None
    if b"\0" in plain or base64.b64encode(plain).decode() != word:
        raise Failed(64, "a word that no argument can be")
    return plain.decode(errors="surrogateescape")


VERBS: dict[tuple[str, int], Callable[[Asked], str]] = {
    ("version", 1): _version,
    ("put-snippet", 4): _put_snippet,
    ("drop-snippet", 2): _drop_snippet,
    ("snippets", 1): _snippets,
    ("route", 4): _route_add,
    ("route", 2): _route_list,
    ("isolate", 2): _isolate,
}

"""The verbs of the helper on a Proxmox node (templates/node/chainwatch-node), asked for over SSH.

A command line is one verb and words that cannot be anything else: numbers, addresses that were
parsed, names of a strict form, base64. Every verb but `pct-exec` may be repeated without harm, so a
lost end of theirs is Transient. How it fails: what the helper refuses is Permanent, for asking
again changes nothing; what the node could not do is Transient.
"""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv6Address
from typing import Final, Protocol

from provisioner.errors import AgentSilent, Permanent, Transient, UnknownOutcome
from provisioner.faultpoints import guarded
from provisioner.guest.ended import Ended
from provisioner.ports import Finished

#: What the helper answers to `version`.
SPEAKS: Final = "chainwatch-node 1"
#: The first thing that the helper says on standard error once a command in a container runs.
STARTED: Final = b"chainwatch-node: started\n"
#: Seconds that a verb may take; and by how much the helper's own limit comes first.
PATIENCE: Final = 30.0
MARGIN: Final = 15.0
#: The most that goes to standard input (bytes), to a command line, and that a command may take (s).
LARGEST_CONTENT: Final = 262_144
LONGEST_COMMAND: Final = 98_304
LONGEST_RUN: Final = 600
#: How much of what a node or a guest said is shown to a person.
SHOWN: Final = 300

_REFUSED, _TRUNCATED, _ABSENT, _MISCONFIGURED, _TIMED_OUT = 64, 65, 69, 78, 124
_SNIPPET: Final = re.compile(r"chainwatch-[1-9][0-9]{2,8}-[0-9a-f]{8,64}\.yaml")
_BRIDGE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,14}")
_PORT: Final = re.compile(r"((?:tap|veth|fwpr)([1-9][0-9]{2,8})[ip][0-9]+) \2 (on|off)")


class Ways(Protocol):
    """Ways to the nodes' helpers: SSH, or something that answers like one."""

    async def run(self, node: str, command: str, content: bytes, patience: float) -> Ended:
        """Run a command line of the helper, for `patience` seconds at most.

        Raises Permanent and Transient when nothing was run, UnknownOutcome when its end was not
        seen.
        """
        ...


class HelperShell:
    """See `provisioner.ports.NodeShell`."""

    def __init__(self, ways: Ways) -> None:
        self._ways = ways

    @guarded("node.version")
    async def version(self, node: str) -> str:
        """Ask the helper which one it is. Raises Permanent when it is another than we speak to."""
        said = _text((await self._repeatable(node, "version")).output)
        if said != SPEAKS:
            raise Permanent(
                f"node {node}: the helper calls itself {said!r}, not {SPEAKS!r}; install the one "
                "that `chainwatch node helper` prints"
            )
        return said

    @guarded("node.put_snippet")
    async def put_snippet(self, node: str, name: str, content: bytes) -> None:
        """Write a snippet, whole or not at all."""
        if not _SNIPPET.fullmatch(name):
            raise Permanent(f"{name!r} is no name of a snippet")
        await self._repeatable(node, f"put-snippet {name} {_sum(content)}", content)

    @guarded("node.drop_snippet")
    async def drop_snippet(self, node: str, name: str) -> None:
        """Remove a snippet; one that is not there is removed."""
        if not _SNIPPET.fullmatch(name):
            raise Permanent(f"{name!r} is no name of a snippet")
        await self._repeatable(node, f"drop-snippet {name}")

    @guarded("node.snippets")
    async def snippets(self, node: str) -> Sequence[str]:
        """List the snippets of our VMIDs."""
        said = _text((await self._repeatable(node, "snippets")).output)
        return [line for line in said.splitlines() if _SNIPPET.fullmatch(line)]

    @guarded("node.pct_exec")
    async def pct_exec(
        self, node: str, vmid: int, words: Sequence[str], content: bytes = b"", limit: int = 30
    ) -> Finished:
        """Run a command in a container; see `provisioner.ports.NodeShell`."""
        command = f"pct-exec {vmid:d} {min(limit, LONGEST_RUN):d} {_sum(content)} {_argv(words)}"
        if len(command) > LONGEST_COMMAND:
            raise Permanent(f"a command of {len(command)} characters, {LONGEST_COMMAND} at most")
        ended = await self._ways.run(node, command, content, limit + MARGIN)
        if not ended.error.startswith(STARTED):
            raise _failed(node, ended)
        if ended.code == _TIMED_OUT:
            raise UnknownOutcome(f"guest {vmid}: the command did not end within {limit} s")
        return Finished(ended.code, ended.output, ended.error.removeprefix(STARTED))

    @guarded("node.route")
    async def route(self, node: str, address: str, bridge: str) -> None:
        """Send what is for one IPv6 address to a bridge."""
        await self._repeatable(node, f"route add {IPv6Address(address)} {_bridge(bridge)}")

    @guarded("node.routes")
    async def routes(self, node: str) -> Mapping[str, str]:
        """Return the bridge of every address of ours that has a route of its own."""
        found = {}
        for line in _text((await self._repeatable(node, "route list")).output).splitlines():
            address, _, bridge = line.partition(" ")
            found[str(_address(node, address))] = bridge
        return found

    @guarded("node.isolate")
    async def isolate(self, node: str, vmid: int) -> None:
        """Let a running guest's ports reach no other isolated port of their bridge."""
        await self._repeatable(node, f"isolate {vmid:d}")

    @guarded("node.isolated")
    async def isolated(self, node: str) -> Mapping[int, bool]:
        """Say of every guest of ours that has ports whether all of them are isolated."""
        found: dict[int, bool] = {}
        for line in _text((await self._repeatable(node, "isolate list")).output).splitlines():
            if port := _PORT.fullmatch(line):
                vmid = int(port[2])
                found[vmid] = found.get(vmid, True) and port[3] == "on"
        return found

    async def _repeatable(self, node: str, command: str, content: bytes = b"") -> Ended:
        try:
            ended = await self._ways.run(node, command, content, PATIENCE)
        except UnknownOutcome as error:
            raise Transient(f"{error}; it is done again") from None
        if ended.code:
            raise _failed(node, ended)
        return ended


def _sum(content: bytes) -> str:
    if len(content) > LARGEST_CONTENT:
        raise Permanent(f"{len(content)} bytes for a node, {LARGEST_CONTENT} at most")
    return f"{len(content)} {hashlib.sha256(content).hexdigest()}"


def _argv(words: Sequence[str]) -> str:
    """Return the words of a command, each in base64. Raises Permanent for what no argument is."""
    if not words or any("\0" in word for word in words):
        raise Permanent("a command is one word or more, without NUL")
    coded = (base64.b64encode(word.encode(errors="surrogateescape")).decode() for word in words)
    return " ".join(word or "-" for word in coded)


def _bridge(name: str) -> str:
    if not _BRIDGE.fullmatch(name):
        raise Permanent(f"{name!r} is no bridge")
    return name


def _address(node: str, text: str) -> IPv6Address:
    try:
        return IPv6Address(text)
    except ValueError:
        raise Transient(f"node {node}: its list of routes has {text[:60]!r}") from None


def _failed(node: str, ended: Ended) -> Permanent | Transient | AgentSilent:
    """Say what the helper's exit code means."""
    said = _text(ended.error)[:SHOWN] or f"exit code {ended.code}, and not a word"
    if ended.code == _ABSENT:
        return AgentSilent(f"node {node}: {said}")
    if ended.code == _REFUSED:
        return Permanent(f"node {node} refuses that: {said}")
    if ended.code == _MISCONFIGURED:
        return Permanent(f"node {node}: {said}; `chainwatch node authorize` prints a good one")
    if ended.code == _TRUNCATED:
        return Transient(f"node {node}: {said}; it is sent again")
    if ended.code == 127:
        return Permanent(f"node {node} has no helper: install it, see docs/howto/nodes-ssh.md")
    return Transient(f"node {node}: {said}; mend that on the node, it is tried again")


def _text(said: bytes) -> str:
    return said.decode(errors="replace").strip()

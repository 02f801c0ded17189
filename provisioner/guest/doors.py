"""Where the nodes' SSH servers are, who we are there, and which keys they have to show.

A node is only known by what the configuration pins: name, address, host keys. There is no file of
known hosts that learns, no agent, no key from a home folder, and no way to switch the check off.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

import asyncssh

#: Where the helper is put on a node, and where its configuration is.
HELPER: Final = "/usr/local/sbin/chainwatch-node"
HELPER_CONFIG: Final = "/etc/chainwatch-node.conf"

_NODE: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Door:
    """One node's SSH server; `keys` are host keys as `TYPE BASE64`."""

    node: str
    host: str
    port: int
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Login:
    """Who we are on every node, and which nodes there are; `key` is a private key (OpenSSH)."""

    user: str
    key: bytes = field(repr=False)
    doors: Mapping[str, Door] = field(default_factory=dict)


def doors(lines: Iterable[str], port: int) -> dict[str, Door]:
    """Read lines `NODE ADDRESS TYPE KEY`, one for each host key; ADDRESS may be `[HOST]:PORT`.

    Raises ValueError with a sentence about the first line that cannot be meant.
    """
    found: dict[str, Door] = {}
    for line in lines:
        words = line.split()
        if len(words) < 4:
            raise ValueError("has a line that is not NODE ADDRESS TYPE KEY")
        node, address, key = words[0], words[1], " ".join(words[2:4])
        host, at = _address(address, port)
        _host_key(node, key)
        if not _NODE.fullmatch(node):
            raise ValueError("has a line that does not begin with a node's name")
        door = found.get(node, Door(node, host, at, ()))
        if (door.host, door.port) != (host, at):
            raise ValueError(f"names two addresses of node {node}; keep one")
        found[node] = Door(node, host, at, (*door.keys, key))
    return found


def _address(text: str, port: int) -> tuple[str, int]:
    bracketed = re.fullmatch(r"\[([^]]+)\]:([1-9][0-9]{0,4})", text)
    host, at = (bracketed[1], int(bracketed[2])) if bracketed else (text, port)
    try:
        ip_address(host)
    except ValueError:
        if not _HOST.fullmatch(host):
            raise ValueError("has a line whose address is none") from None
    if at > 65_535:
        raise ValueError("has a line whose port is none")
    return host, at


def _host_key(node: str, key: str) -> None:
    try:
        asyncssh.import_public_key(key)
    except (asyncssh.KeyImportError, ValueError):
        raise ValueError(
            f"has a line of node {node} without a host key; take it from the node's "
            "/etc/ssh/ssh_host_ed25519_key.pub"
        ) from None


def public_half(key: bytes) -> str:
    """Return the public half of a private key as `TYPE BASE64`.

    Raises ValueError where it is none, or has a passphrase, which nobody could type.
    """
    try:
        private = asyncssh.import_private_key(key)
    except (asyncssh.KeyEncryptionError, asyncssh.KeyImportError, ValueError):
        raise ValueError("holds no private SSH key without a passphrase; make one") from None
    return " ".join(private.export_public_key().decode().split()[:2])


def authorized_line(key: bytes) -> str:
    """Return the line of a node's authorized_keys that forces our key to the helper."""
    return f'command="{HELPER}",restrict {public_half(key)} chainwatch'


def helper_config(
    vmid_first: int,
    vmid_last: int,
    *,
    snippets: str,
    prefixes: Sequence[str],
    bridges: Iterable[str],
) -> str:
    """Return the helper's configuration file; `prefixes` are the machines' IPv6 networks."""
    lines = [
        "# What chainwatch's key may touch on this node; see chainwatch-node.",
        f"vmid_first = {vmid_first}",
        f"vmid_last = {vmid_last}",
        f"snippets = {snippets}",
        f"bridges = {' '.join(bridges)}",
    ]
    if prefixes:
        lines.append(f"ipv6_prefix = {' '.join(prefixes)}")
    return "".join(f"{line}\n" for line in lines)

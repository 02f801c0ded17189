"""What may be ordered, checked before anything is done: every word of it may be hostile.

An owner is an Ethereum address, a token a number below 2²⁵⁶; names, tags, keys and purposes are
bounded and of few characters, because they end in a description, in a guest's GECOS, in lists.
"""

import base64
import binascii
import ipaddress
import re
from dataclasses import dataclass, field
from typing import Final

from provisioner import render
from provisioner.errors import Declined, Permanent
from provisioner.model import Kind, MachineSpec
from provisioner.names import checked

WALLET: Final = re.compile(r"0x[0-9a-fA-F]{40}")
USER: Final = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_TAG: Final = re.compile(r"[a-z0-9_][a-z0-9_.+-]{0,31}")
_NODE: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_KEY: Final = re.compile(
    r"(ssh-(ed25519|rsa)|ecdsa-sha2-nistp(256|384|521)|sk-(ssh-ed25519|ecdsa-sha2-nistp256)"
    r"@openssh\.com) [A-Za-z0-9+/]{16,8000}={0,3}( [ -~]{0,200})?"
)
_TOKENS: Final = 2**256
_MOST_TAGS: Final = 16
_LONGEST_PURPOSE: Final = 200
_MOST_DAYS: Final = 36_500
_LAST: Final = 253_402_300_799
#: The one account of a container that its owner's key opens, and the longest such key: it is kept
#: in the description, which Proxmox bounds.
ROOT: Final = "root"
_LONGEST_KEPT: Final = 3_000
#: The template whose login is by a wallet.
_WALLETS: Final = "nft-auth"
_LIMITS: Final = {"cpu": (1, 512), "memory": (128, 2**24), "disk": (1, 2**16)}


@dataclass(frozen=True, slots=True)
class Gecos:
    """Whose account it is, as the login in a guest reads it."""

    wallet: str
    nft: int
    user: str

    def __post_init__(self) -> None:
        wallet(self.wallet)
        token(self.nft)
        user(self.user)

    @property
    def text(self) -> str:
        """The field as it stands in the guest."""
        return f"wallet={self.wallet},nft={self.nft}"


@dataclass(frozen=True, slots=True)
class Order:
    """A machine that somebody wants; `expires_at` (absolute) goes before `days`.

    `cloud_init` names a template of user-data, `user_data` is one of somebody's own.
    """

    name: str
    owner: str
    spec: MachineSpec
    days: int = 30
    expires_at: int | None = None
    nft: int | None = None
    user: str = ""
    ssh_key: str = ""
    purpose: str = ""
    tags: tuple[str, ...] = ()
    ip: str | None = None
    ipv6: str | None = None
    node: str | None = None
    gecos: Gecos | None = field(default=None)
    cloud_init: str = ""
    user_data: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        checked(self.name)
        wallet(self.owner)
        days(self.days)
        if self.expires_at is not None:
            moment(self.expires_at)
        if self.nft is not None:
            token(self.nft)
        if self.user:
            user(self.user)
        _check_words(self)
        if self.spec.kind is Kind.CONTAINER:
            _check_container(self)
        if self.cloud_init or self.user_data:
            _check_user_data(self)
        for address, version in ((self.ip, 4), (self.ipv6, 6)):
            if address is not None:
                _address(address, version)


def hardware(cpu: int, memory: int, disk: int, kind: Kind = Kind.VM) -> MachineSpec:
    """Return the hardware of these sizes (MiB, GiB). Raises Declined."""
    for what, value in (("cpu", cpu), ("memory", memory), ("disk", disk)):
        least, most = _LIMITS[what]
        if not least <= value <= most:
            raise Declined(f"--{what} {value}: write a number from {least} to {most}")
    return MachineSpec(kind, cpu, memory, disk)


def wallet(address: str) -> str:
    """Return an address if it is one. Raises Declined."""
    if not WALLET.fullmatch(address):
        raise Declined(f"{address[:80]!r} is no wallet: write 0x and 40 hexadecimal digits")
    return address


def token(number: int) -> int:
    """Return a token's id if it can be one. Raises Declined."""
    if not 0 <= number < _TOKENS:
        raise Declined("a token's id is a number from 0 to 2^256 - 1")
    return number


def user(name: str) -> str:
    """Return the name of an account if it is one. Raises Declined."""
    if not USER.fullmatch(name):
        raise Declined(
            f"{name[:80]!r} is no account: a lower case letter, then letters, digits, - and _"
        )
    return name


def days(number: int) -> int:
    """Return a number of days if it is sensible. Raises Declined."""
    if not 0 <= number <= _MOST_DAYS:
        raise Declined(f"{number} days: write a number from 0 to {_MOST_DAYS}")
    return number


def moment(seconds: int) -> int:
    """Return a time, in seconds since 1970, if it has a date. Raises Declined."""
    if not 0 <= seconds <= _LAST:
        raise Declined(f"{seconds} is no time: write seconds since 1970")
    return seconds


def _check_words(order: Order) -> None:
    if len(order.purpose) > _LONGEST_PURPOSE or not order.purpose.isprintable():
        raise Declined(f"a purpose is at most {_LONGEST_PURPOSE} printable characters")
    if len(order.tags) > _MOST_TAGS or not all(map(_TAG.fullmatch, order.tags)):
        raise Declined(
            f"tags are at most {_MOST_TAGS} words of lower case letters, digits and _.+-"
        )
    if order.node is not None and not _NODE.fullmatch(order.node):
        raise Declined(f"{order.node[:80]!r} is no node's name")
    if order.ssh_key and not _is_key(order.ssh_key):
        raise Declined("that is no SSH public key: one line, TYPE BASE64 COMMENT, without options")


def _check_container(order: Order) -> None:
    if order.user not in ("", ROOT):
        raise Declined("a container has no account but root: leave out --username")
    if len(order.ssh_key) > _LONGEST_KEPT:
        raise Declined(f"a container's key has at most {_LONGEST_KEPT} characters: use ed25519")


def _check_user_data(order: Order) -> None:
    if order.spec.kind is Kind.CONTAINER:
        raise Declined("a container has no cloud-init: leave out --cloud-init(-content)")
    if order.cloud_init and order.user_data:
        raise Declined("write --cloud-init or --cloud-init-content, not both")
    if order.cloud_init and order.cloud_init not in render.names():
        there = ", ".join(render.names())
        raise Declined(f"there is no cloud-init template {order.cloud_init[:80]!r}: {there}")
    if order.cloud_init == _WALLETS and order.gecos is None:
        raise Declined(f"{_WALLETS} lets a wallet in: write --nft-token-id, without --no-web3")
    if order.user_data and order.ssh_key:
        raise Declined(
            "user-data of one's own says who may enter: write the key of --ssh-key there"
        )
    try:
        if order.user_data:
            render.given(order.user_data)
    except Permanent as error:
        raise Declined(str(error)) from None


def _is_key(line: str) -> bool:
    """Whether a line is a public key: its type stands in its data too, with the length before."""
    if not _KEY.fullmatch(line):
        return False
    kind, data, *_ = line.split(" ")
    try:
        raw = base64.b64decode(data, validate=True)
    except binascii.Error:
        return False
    sizes: list[int] = []
    while raw:
        sizes.append(int.from_bytes(raw[:4], "big"))
        if len(raw) < 4 + sizes[-1]:
            return False
        if len(sizes) == 1 and raw[4 : 4 + sizes[0]] != kind.encode():
            return False
        raw = raw[4 + sizes[-1] :]
    return len(sizes) > 1


def _address(address: str, version: int) -> None:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        raise Declined(f"{address[:80]!r} is no IP address") from None
    if isinstance(found, ipaddress.IPv6Address) and found.scope_id is not None:
        without = address.partition("%")[0]
        raise Declined(f"{address[:80]!a} names a zone: write the address alone, {without}")
    if found.version != version:
        raise Declined(f"{address} is no IPv{version} address")

"""Who is at the other end of the socket, and what he may do.

The kernel says which user connected (SO_PEERCRED, unix(7)); his groups are looked up for every
request, so that somebody who was taken out of a group is out. Reading is for the read group, root
and the daemon's own user; changing for root and the admin group. Nobody's word is taken for who he
is. How it fails: a user whose groups cannot be looked up has the one that he connected with.
"""

import grp
import os
import pwd
import socket
import struct
from dataclasses import dataclass
from typing import Final, Protocol

from chainwatch.config import AdminConfig
from chainwatch.errors import Fatal

ROOT: Final = 0
_CREDENTIALS: Final = struct.Struct("3i")  # pid, uid, gid


class Connected(Protocol):
    """What of a socket is needed to see who is at its other end."""

    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Peer:
    """A user and every group that he is in."""

    uid: int
    gids: frozenset[int]


@dataclass(frozen=True, slots=True)
class Permissions:
    """Which groups may read and change, and which user the daemon runs as."""

    own_uid: int
    read_gid: int
    admin_gid: int | None

    def may_change(self, peer: Peer) -> bool:
        return peer.uid == ROOT or (self.admin_gid is not None and self.admin_gid in peer.gids)

    def may_read(self, peer: Peer) -> bool:
        return peer.uid == self.own_uid or self.read_gid in peer.gids or self.may_change(peer)


def permissions(config: AdminConfig) -> Permissions:
    """Return what `config` says. Raises Fatal for a group that this host does not have."""
    read, admin = config.read_group, config.admin_group
    return Permissions(
        own_uid=os.geteuid(),
        read_gid=os.getegid() if read is None else _gid("admin.read_group", read),
        admin_gid=None if admin is None else _gid("admin.admin_group", admin),
    )


def peer_of(connection: Connected) -> Peer:
    """Return who connected, by the kernel's word."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, gid = _CREDENTIALS.unpack(raw)
    return Peer(uid, frozenset({gid}) | _groups_of(uid))


def _groups_of(uid: int) -> frozenset[int]:
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return frozenset()
    return frozenset(os.getgrouplist(user.pw_name, user.pw_gid))


def _gid(key: str, name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise Fatal(f"{key}: this host has no group {name!r}; create it, or name another") from None

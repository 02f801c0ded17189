"""Reading is for the read group, changing for root and admins, and the kernel says who is who."""

import grp
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from chainwatch.admin.peers import Peer, Permissions, peer_of, permissions
from chainwatch.config import AdminConfig
from chainwatch.errors import Fatal

DAEMON, READERS, ADMINS, OTHERS = 900, 901, 902, 903
ALLOWED = Permissions(own_uid=DAEMON, read_gid=READERS, admin_gid=ADMINS)


@pytest.mark.parametrize(
    ("peer", "reads", "changes"),
    [
        (Peer(0, frozenset({0})), True, True),
        (Peer(1000, frozenset({OTHERS, ADMINS})), True, True),
        (Peer(1000, frozenset({OTHERS, READERS})), True, False),
        (Peer(DAEMON, frozenset({OTHERS})), True, False),
        (Peer(1000, frozenset({OTHERS})), False, False),
        (Peer(1000, frozenset()), False, False),
    ],
    ids=["root", "admin", "reader", "the daemon's user", "stranger", "nobody's friend"],
)
def test_who_may_read_and_who_may_change(peer: Peer, reads: bool, changes: bool) -> None:
    assert (ALLOWED.may_read(peer), ALLOWED.may_change(peer)) == (reads, changes)


def test_without_an_admin_group_only_root_changes_things() -> None:
    allowed = Permissions(DAEMON, READERS, None)
    assert not allowed.may_change(Peer(1000, frozenset({READERS, ADMINS, 0})))
    assert allowed.may_change(Peer(0, frozenset()))


def test_the_kernel_says_who_connected() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        peer = peer_of(ours)
    assert peer.uid == os.getuid()
    assert os.getgid() in peer.gids


def test_without_a_read_group_the_daemons_own_group_reads() -> None:
    assert permissions(AdminConfig(Path("/s"), None, None, None)) == Permissions(
        os.geteuid(), os.getegid(), None
    )


def test_a_group_is_found_by_its_name() -> None:
    first = grp.getgrall()[0]
    found = permissions(AdminConfig(Path("/s"), first.gr_name, first.gr_name, None))
    assert (found.read_gid, found.admin_gid) == (first.gr_gid, first.gr_gid)


@pytest.mark.parametrize("key", ["read_group", "admin_group"])
def test_a_group_that_the_host_does_not_have_is_refused_by_its_key(key: str) -> None:
    missing = "no-such-group-here"
    nobody = AdminConfig(Path("/s"), None, None, None)
    reads, admins = replace(nobody, read_group=missing), replace(nobody, admin_group=missing)
    config = reads if key == "read_group" else admins
    with pytest.raises(Fatal, match=f"admin.{key}: .*{missing}"):
        permissions(config)

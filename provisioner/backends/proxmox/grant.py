"""The `pveum` commands that give a token what it needs, and nothing besides.

One role for each place, so that a privilege holds where it is used and nowhere else: a token may
do anything to machines of its pool, and only look at other guests. A privilege-separated token has
what it *and* its user have, so both get every list. An access control list of a single VMID would
be gone with the machine: that is what the pool is for.
"""

import shlex
from collections.abc import Iterator, Sequence
from typing import Final

from provisioner.backends.proxmox.privileges import Estate, Release, Scope, privileges

#: What each role is called.
ROLES: Final = {scope: f"Chainwatch{scope.capitalize()}" for scope in Scope}


def commands(estate: Estate, token_id: str, release: Release) -> Iterator[str]:
    """Yield the commands, for a shell on a node; `token_id` is `user@realm!name`."""
    user, _, name = token_id.partition("!")
    if estate.pool:
        yield _pveum("pool", "add", estate.pool)
    for scope, role in ((each, ROLES[each]) for each in Scope if estate.paths(each)):
        granted = privileges(scope, release, backups=estate.backups is not None)
        yield _pveum("role", "add", role, "--privs", ",".join(granted))
    yield _pveum("user", "add", user)
    yield _pveum("user", "token", "add", user, name, "--privsep", "1")
    for scope in Scope:
        for path in estate.paths(scope):
            yield list_line(path, scope, token_id)


def list_line(path: str, scope: Scope, token_id: str) -> str:
    """Return the command that gives token and user the role of a scope on a path."""
    user = token_id.partition("!")[0]
    below = "0" if scope is Scope.CLUSTER else "1"
    return _pveum(
        *("acl", "modify", path, "--roles", ROLES[scope], "--propagate", below),
        *("--users", user, "--tokens", token_id),
    )


def role_line(scope: Scope, more: Sequence[str]) -> str:
    """Return the command that adds privileges to the role of a scope."""
    return _pveum("role", "modify", ROLES[scope], "--append", "1", "--privs", ",".join(more))


def _pveum(*words: str) -> str:
    return shlex.join(("pveum", *words))

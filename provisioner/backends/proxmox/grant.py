"""The `pveum` commands that give a token what it needs, and nothing besides.

One role for each place, so that a privilege holds where it is used and nowhere else: a token may
do anything to machines of its pool, and only look at other guests. A privilege-separated token has
what it *and* its user have, so both get every list. An access control list of a single VMID would
be gone with the machine: that is what the pool is for.
"""

import shlex
from collections.abc import Iterator, Sequence
from typing import Final

from provisioner.backends.proxmox.privileges import (
    CALLS,
    Calls,
    Estate,
    Release,
    Scope,
    privileges,
)

#: What the names of the daemon's roles begin with.
OURS: Final = "Chainwatch"


def commands(
    estate: Estate, token_id: str, release: Release, *, calls: Calls = CALLS, prefix: str = OURS
) -> Iterator[str]:
    """Yield the commands, for a shell on a node; `token_id` is `user@realm!name`.

    `calls` are those that the token is for, and roles have names that begin with `prefix`.
    """
    user, _, name = token_id.partition("!")
    if estate.pool:
        yield _pveum("pool", "add", estate.pool)
    wanted = estate.calls(calls)
    for scope in (each for each in Scope if estate.paths(each)):
        yield new_role_line(scope, privileges(scope, release, wanted), prefix)
    yield _pveum("user", "add", user)
    yield _pveum("user", "token", "add", user, name, "--privsep", "1")
    for scope in Scope:
        for path in estate.paths(scope):
            yield list_line(path, scope, token_id, prefix)


def list_line(path: str, scope: Scope, token_id: str, prefix: str = OURS) -> str:
    """Return the command that gives token and user the role of a scope on a path."""
    user = token_id.partition("!")[0]
    below = "0" if scope is Scope.CLUSTER else "1"
    return _pveum(
        *("acl", "modify", path, "--roles", _role(scope, prefix), "--propagate", below),
        *("--users", user, "--tokens", token_id),
    )


def new_role_line(scope: Scope, names: Sequence[str], prefix: str = OURS) -> str:
    """Return the command that makes the role of a scope."""
    return _pveum("role", "add", _role(scope, prefix), "--privs", ",".join(names))


def role_line(scope: Scope, more: Sequence[str]) -> str:
    """Return the command that adds privileges to the role of a scope."""
    return _pveum("role", "modify", _role(scope, OURS), "--append", "1", "--privs", ",".join(more))


def _role(scope: Scope, prefix: str) -> str:
    return f"{prefix}{scope.capitalize()}"


def _pveum(*words: str) -> str:
    return shlex.join(("pveum", *words))

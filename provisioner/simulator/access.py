"""Who asks, and what they may see and do.

A token is known by its whole text; anything else is a 401 with an empty body, three seconds late.
A token without a grant sees *empty lists* and is refused single items (403): a revoked ACL looks
like a vanished cluster, which is exactly what a controller must not believe. `cluster/nextid` asks
for no privilege at all, so it stays truthful.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from provisioner.simulator.faults import Fault
from provisioner.simulator.state import State, Token
from provisioner.simulator.wire import Refused, Value


@dataclass(frozen=True, slots=True)
class Ask:
    """One call on its way to its handler: verified parameters, and who asked."""

    method: str
    path: str
    names: Mapping[str, str]
    params: Mapping[str, Value]
    token: Token
    fault: Fault | None = None

    @property
    def node(self) -> str:
        """Return the node that the path names."""
        return self.names["node"]

    @property
    def vmid(self) -> int:
        """Return the VMID that the path names."""
        return int(self.names["vmid"])

    def text(self, name: str, default: str = "") -> str:
        """Return a parameter as text."""
        return str(self.params.get(name, default))

    def number(self, name: str, default: int) -> int:
        """Return a parameter as a whole number."""
        value = self.params.get(name, default)
        return default if isinstance(value, tuple) else int(value)

    def flag(self, name: str) -> bool:
        """Return whether a parameter is given and on."""
        return bool(self.params.get(name, 0))


def authenticate(state: State, credentials: str | None) -> Token:
    """Return the token that `credentials` are, or refuse with 401."""
    if credentials is None:
        raise Refused("No ticket", 401)
    name, _, secret = credentials.partition("=")
    token = state.tokens.get(name)
    if token is None or not secret or token.secret != secret:
        raise Refused("Authentication failed!", 401)
    return token


def allows(state: State, token: Token, path: str, privileges: str) -> bool:
    """Say whether `token` has one of `privileges` (joined with `|`) on `path`."""
    if token.everything:
        return True
    if not token.grants:
        return False
    wanted = set(privileges.split("|"))
    paths = [path]
    if path.startswith("/vms/"):
        vmid = path.removeprefix("/vms/")
        member = int(vmid) if vmid.isdecimal() else None
        paths += [f"/pool/{p.name}" for p in state.pools.values() if member in p.members]
    return any(
        wanted & grant.privileges and _covers(grant.path, each)
        for grant in token.grants
        for each in paths
    )


def _covers(granted: str, path: str) -> bool:
    return granted in {"/", path} or path.startswith(f"{granted}/")


def require(state: State, token: Token, path: str, privileges: str) -> None:
    """Refuse with 403 unless `token` has one of `privileges` on `path`."""
    if not allows(state, token, path, privileges):
        raise Refused(f"Permission check failed ({path}, {privileges})", 403)


def require_on(
    state: State, token: Token, need: tuple[str, str], names: Mapping[str, object]
) -> None:
    """Refuse with 403 unless `token` has what `need` says: a path with names in it, privileges."""
    pattern, privileges = need
    require(state, token, pattern.format_map(defaultdict(str, names)), privileges)


def require_for_clone(state: State, ask: Ask, storage: str, bridges: list[str]) -> None:
    """Refuse with 403 unless `ask` may clone: source, new id or pool, storage and network."""
    newid, pool = ask.number("newid", 0), ask.text("pool")
    if pool and pool not in state.pools:
        raise Refused(f"Permission check failed (pool '{pool}' does not exist)", 403)
    may_allocate = allows(state, ask.token, f"/vms/{newid}", "VM.Allocate") or (
        pool != "" and allows(state, ask.token, f"/pool/{pool}", "VM.Allocate")
    )
    if not may_allocate:
        raise Refused("Permission check failed", 403)
    require(state, ask.token, f"/storage/{storage}", "Datastore.AllocateSpace")
    for bridge in bridges:
        require(state, ask.token, f"/sdn/zones/localnetwork/{bridge}", "SDN.Use")

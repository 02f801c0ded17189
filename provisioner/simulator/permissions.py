"""What a token may do, as it may ask without any privilege: path → privilege → below it too.

An Administrator on `/` is told so once for each of the eight places where lists begin. Of anybody
else the paths that have a list are told, with what holds there, and the guests of a pool, where
nothing goes on below.
"""

from typing import Final

from provisioner.backends.proxmox.api import JsonValue
from provisioner.simulator.access import Ask, allows
from provisioner.simulator.state import State

PLACES: Final = ("/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms")
#: What an 8.4.21 knows.
PRIVILEGES: Final = tuple(
    f"{family}.{name}"
    for family, names in {
        "Datastore": "Allocate AllocateSpace AllocateTemplate Audit",
        "Group": "Allocate",
        "Mapping": "Audit Modify Use",
        "Permissions": "Modify",
        "Pool": "Allocate Audit",
        "Realm": "Allocate AllocateUser",
        "SDN": "Allocate Audit Use",
        "Sys": "AccessNetwork Audit Console Incoming Modify PowerMgmt Syslog",
        "User": "Modify",
        "VM": "Allocate Audit Backup Clone Config.CDROM Config.CPU Config.Cloudinit Config.Disk"
        " Config.HWType Config.Memory Config.Network Config.Options Console Migrate Monitor"
        " PowerMgmt Snapshot Snapshot.Rollback",
    }.items()
    for name in names.split(" ")
)


def permissions(state: State, ask: Ask) -> JsonValue:
    """GET access/permissions, of oneself."""
    listed = {grant.path: 1 for grant in ask.token.grants}
    members = {
        f"/vms/{vmid}": 0
        for pool in state.pools.values()
        for vmid in pool.members
        if f"/pool/{pool.name}" in listed
    }
    paths = dict.fromkeys(PLACES, 1) if ask.token.everything else members | listed
    found: dict[str, JsonValue] = {}
    for path in [ask.text("path")] if "path" in ask.params else paths:
        names = [name for name in PRIVILEGES if allows(state, ask.token, path, name)]
        if names:
            found[path] = dict[str, JsonValue](dict.fromkeys(names, paths.get(path, 1)))
    return found


def acl(state: State, ask: Ask) -> JsonValue:
    """GET access/acl: who has which role where; nothing without the right to change it."""
    if not allows(state, ask.token, "/", "Permissions.Modify"):
        return []
    rows: list[JsonValue] = []
    for token in state.tokens.values():
        kind = "token" if "!" in token.id else "user"
        held = [("/", "Administrator")] if token.everything else []
        held += [(grant.path, _role(grant.privileges)) for grant in token.grants]
        rows += [
            {"path": path, "roleid": role, "type": kind, "ugid": token.id, "propagate": 1}
            for path, role in held
        ]
    return rows


def _role(privileges: frozenset[str]) -> str:
    """Return the name of a role that is made of these privileges and nothing else."""
    return f"Custom{len(privileges)}"

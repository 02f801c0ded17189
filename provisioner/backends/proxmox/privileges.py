"""What a token has to be allowed, call by call, and so in all: no more, and no less.

Each call of ours stands here with what Proxmox wants for it, and where; what a token needs follows
from that and is written down nowhere else. Most of it is in the API schema. The rest are lists:
they answer 200 to anybody and leave out what the asker may not see, so a privilege too few does not
fail there but hides a machine, a foreign destruction or a disk that was left behind. Those are the
needs with a `why`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, TypeAlias

Release: TypeAlias = Literal[8, 9]
RELEASES: Final[tuple[Release, ...]] = (8, 9)


class Scope(StrEnum):
    """Where a privilege is wanted: the object of an access control list."""

    CLUSTER = "cluster"
    NODES = "nodes"
    GUESTS = "guests"
    TEMPLATE = "template"
    MACHINES = "machines"
    STORAGE = "storage"
    ARCHIVE = "archive"
    BACKUPS = "backups"
    NETWORK = "network"


@dataclass(frozen=True, slots=True)
class Need:
    """What one call wants in one place: any one of these privileges, on 8 and on 9.

    `why` is set where the API schema does not ask for it: what goes wrong without it.
    """

    scope: Scope
    on_8: tuple[str, ...]
    on_9: tuple[str, ...] | None = None
    why: str = ""

    def alternatives(self, release: Release) -> tuple[str, ...]:
        """Return the privileges of which one is enough."""
        return self.on_9 if release == 9 and self.on_9 is not None else self.on_8


def _machine(*privileges: str) -> Need:
    return Need(Scope.MACHINES, privileges)


def _keys(alternatives: tuple[str, ...], keys: tuple[str, ...]) -> Need:
    return Need(Scope.MACHINES, alternatives, why=f"to change {', '.join(keys)}")


_AGENT: Final = "/nodes/{node}/qemu/{vmid}/agent"
_UNRESTRICTED: Final = "VM.GuestAgent.Unrestricted"
_OF_CONTAINERS: Final = (
    "VM.Config.Disk",
    "VM.Config.CPU",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
)
_ANY_CONFIG: Final = {
    "qemu": (*_OF_CONTAINERS, "VM.Config.CDROM", "VM.Config.HWType", "VM.Config.Cloudinit"),
    "lxc": _OF_CONTAINERS,
}

#: A machine's firewall is read, and its template's, which a clone inherits.
_FIREWALL_READ: Final = (_machine("VM.Audit"), Need(Scope.TEMPLATE, ("VM.Audit",)))

#: Which privilege (any one of these) each key takes that a machine of ours is configured with.
#: Source: an 8.4.21, asked with one privilege at a time; 9 asks for the same.
KEYS: Final[Mapping[tuple[str, ...], tuple[str, ...]]] = {
    ("VM.Config.Options",): ("name", "description", "tags", "onboot", "protection", "agent"),
    ("VM.Config.CPU",): ("cores", "cpulimit"),
    ("VM.Config.Memory",): ("memory",),
    ("VM.Config.Network",): ("net0",),
    ("VM.Config.HWType",): ("smbios1",),
    ("VM.Config.Disk",): ("scsi0",),
    ("VM.Config.Cloudinit", "VM.Config.Network"): (
        *("ciuser", "sshkeys", "ipconfig0", "nameserver", "cicustom"),
    ),
}
#: The same of a container's keys.
CONTAINER_KEYS: Final[Mapping[tuple[str, ...], tuple[str, ...]]] = {
    ("VM.Config.Options",): (
        *("description", "tags", "onboot", "protection", "unprivileged", "features"),
    ),
    ("VM.Config.CPU",): ("cores",),
    ("VM.Config.Memory",): ("memory",),
    ("VM.Config.Network",): ("hostname", "nameserver", "net0"),
    ("VM.Config.Disk",): ("rootfs",),
}
_KEYS_OF: Final = {"qemu": KEYS, "lxc": CONTAINER_KEYS}


def _of_guests(branch: str) -> Mapping[str, tuple[Need, ...]]:
    """Return the calls that are made about a guest of either kind."""
    guest = f"/nodes/{{node}}/{branch}/{{vmid}}"
    firewall, status, keys = f"{guest}/firewall", f"{guest}/status", _KEYS_OF[branch]
    read_firewall = _FIREWALL_READ if branch == "qemu" else (_machine("VM.Audit"),)
    return {
        f"GET {guest}/config": (_machine("VM.Audit"),),
        f"PUT {guest}/config": (
            _machine(*_ANY_CONFIG[branch]),
            *(_keys(alternatives, names) for alternatives, names in keys.items()),
            Need(Scope.NETWORK, ("SDN.Use",), why="net0 names its bridge"),
        ),
        f"PUT {guest}/resize": (
            _machine("VM.Config.Disk"),
            Need(Scope.STORAGE, ("Datastore.AllocateSpace",), why="the disk grows there"),
        ),
        f"DELETE {guest}": (_machine("VM.Allocate"),),
        f"GET {status}/current": (_machine("VM.Audit"),),
        f"POST {status}/start": (_machine("VM.PowerMgmt"),),
        f"POST {status}/shutdown": (_machine("VM.PowerMgmt"),),
        f"POST {status}/stop": (_machine("VM.PowerMgmt"),),
        f"GET {guest}/snapshot": (_machine("VM.Audit"),),
        f"POST {guest}/snapshot": (_machine("VM.Snapshot"),),
        f"POST {guest}/snapshot/{{snapname}}/rollback": (
            _machine("VM.Snapshot", "VM.Snapshot.Rollback"),
        ),
        f"GET {firewall}/options": read_firewall,
        f"PUT {firewall}/options": (_machine("VM.Config.Network"),),
        f"GET {firewall}/rules": read_firewall,
        f"POST {firewall}/rules": (_machine("VM.Config.Network"),),
        f"DELETE {firewall}/rules/{{pos}}": (_machine("VM.Config.Network"),),
        f"GET {firewall}/refs": read_firewall,
        f"POST {firewall}/ipset": (_machine("VM.Config.Network"),),
        f"GET {firewall}/ipset/{{name}}": read_firewall,
        f"POST {firewall}/ipset/{{name}}": (_machine("VM.Config.Network"),),
        f"DELETE {firewall}/ipset/{{name}}/{{cidr}}": (_machine("VM.Config.Network"),),
        f"DELETE {firewall}/ipset/{{name}}": (_machine("VM.Config.Network"),),
        f"DELETE {firewall}/aliases/{{name}}": (_machine("VM.Config.Network"),),
    }


Calls: TypeAlias = Mapping[str, tuple[Need, ...]]

#: Every call that the daemon makes, and what it takes; `byhand` has those of the command line.
CALLS: Final[Calls] = {
    "GET /version": (),
    "GET /access/permissions": (),
    "GET /cluster/status": (Need(Scope.CLUSTER, ("Sys.Audit",)),),
    "GET /cluster/nextid": (),
    "GET /cluster/firewall/options": (Need(Scope.CLUSTER, ("Sys.Audit",)),),
    "GET /cluster/resources": (
        Need(
            Scope.GUESTS,
            ("VM.Audit",),
            why="else a clone that has not joined its pool yet, and a stranger in the range of "
            "VMIDs, are not seen",
        ),
        Need(
            Scope.TEMPLATE,
            ("VM.Audit",),
            why="a list without the template is not believed",
        ),
        Need(
            Scope.NODES,
            ("Sys.Audit",),
            why="else a node's memory is not seen, and so nothing is made there",
        ),
        Need(
            Scope.STORAGE,
            ("Datastore.Audit",),
            why="else a storage's room is not seen, and so nothing is made there",
        ),
        Need(
            Scope.ARCHIVE,
            ("Datastore.Audit",),
            why="else a node's folder of snippets is not seen to be its own, and what a moved "
            "machine left behind there stays for as long as the machine; nor that nodes share the "
            "storage of OS templates, and each of them is asked",
        ),
    ),
    "GET /nodes": (),
    "GET /nodes/{node}/tasks": (
        Need(
            Scope.NODES,
            ("Sys.Audit",),
            why="else what others destroyed is not seen, and its VMID is used again at once",
        ),
    ),
    "GET /nodes/{node}/time": (Need(Scope.NODES, ("Sys.Audit",)),),
    "GET /nodes/{node}/tasks/{upid}/status": (),
    "GET /nodes/{node}/tasks/{upid}/log": (),
    "GET /nodes/{node}/storage": (
        Need(Scope.STORAGE, ("Datastore.Audit",), why="else a storage is not seen"),
    ),
    "GET /nodes/{node}/storage/{storage}/content": (
        Need(Scope.STORAGE, ("Datastore.Audit", "Datastore.AllocateSpace")),
        Need(
            Scope.STORAGE,
            ("Datastore.Audit",),
            why="else disks are not seen, and so not what is sold there",
        ),
        Need(Scope.ARCHIVE, ("Datastore.Audit", "Datastore.AllocateSpace")),
        Need(
            Scope.GUESTS,
            ("VM.Config.Disk",),
            why="else a disk that a destroyed machine left behind is not seen, for it is in no "
            "pool any more, and what others have of a storage is sold once more",
        ),
    ),
    "POST /nodes/{node}/qemu/{vmid}/clone": (
        Need(Scope.TEMPLATE, ("VM.Clone",)),
        Need(Scope.MACHINES, ("VM.Allocate",)),
        Need(Scope.STORAGE, ("Datastore.AllocateSpace",), why="the disks go there"),
        Need(Scope.NETWORK, ("SDN.Use",), why="the template's network card is cloned too"),
    ),
    **_of_guests("qemu"),
    **_of_guests("lxc"),
    "POST /nodes/{node}/lxc": (
        Need(Scope.MACHINES, ("VM.Allocate",), why="to make one"),
        *(_keys(alternatives, keys) for alternatives, keys in CONTAINER_KEYS.items()),
        Need(Scope.STORAGE, ("Datastore.AllocateSpace",), why="the root goes there"),
        Need(Scope.ARCHIVE, ("Datastore.Audit",), why="it is unpacked from there"),
        Need(Scope.NETWORK, ("SDN.Use",), why="net0 names its bridge"),
    ),
    "GET /nodes/{node}/lxc/{vmid}/interfaces": (_machine("VM.Audit"),),
    f"POST {_AGENT}/ping": (
        Need(Scope.MACHINES, ("VM.Monitor",), ("VM.GuestAgent.Audit", _UNRESTRICTED)),
    ),
    f"GET {_AGENT}/get-fsinfo": (
        Need(Scope.MACHINES, ("VM.Monitor",), ("VM.GuestAgent.Audit", _UNRESTRICTED)),
    ),
    f"POST {_AGENT}/exec": (Need(Scope.MACHINES, ("VM.Monitor",), (_UNRESTRICTED,)),),
    f"GET {_AGENT}/exec-status": (Need(Scope.MACHINES, ("VM.Monitor",), (_UNRESTRICTED,)),),
    f"GET {_AGENT}/file-read": (
        Need(Scope.MACHINES, ("VM.Monitor",), ("VM.GuestAgent.FileRead", _UNRESTRICTED)),
    ),
    f"POST {_AGENT}/file-write": (
        Need(Scope.MACHINES, ("VM.Monitor",), ("VM.GuestAgent.FileWrite", _UNRESTRICTED)),
    ),
}

#: What is called only where machines are backed up before they are destroyed.
BACKUP_CALLS: Final[Mapping[str, tuple[Need, ...]]] = {
    "POST /nodes/{node}/vzdump": (
        _machine("VM.Backup"),
        Need(Scope.BACKUPS, ("Datastore.AllocateSpace",)),
    ),
    "GET /nodes/{node}/storage/{storage}/content": (
        Need(Scope.BACKUPS, ("Datastore.Audit", "Datastore.AllocateSpace")),
        Need(
            Scope.GUESTS,
            ("VM.Backup",),
            why="else the backup of a machine that is gone is not seen: it is in no pool any more",
        ),
    ),
    "POST /nodes/{node}/qemu": (
        _machine("VM.Allocate"),
        _machine("VM.Config.Options"),
        Need(Scope.STORAGE, ("Datastore.AllocateSpace",), why="the disks go there"),
        Need(Scope.NETWORK, ("SDN.Use",), why="the machine's network card is restored too"),
    ),
    "PUT /nodes/{node}/storage/{storage}/content/{volume}": (
        Need(Scope.BACKUPS, ("Datastore.AllocateSpace",)),
    ),
    "DELETE /nodes/{node}/storage/{storage}/content/{volume}": (
        Need(Scope.BACKUPS, ("Datastore.AllocateSpace",)),
    ),
}

#: What is called only where operators may open the screens of machines.
CONSOLE_CALLS: Final[Calls] = {
    f"POST /nodes/{{node}}/{branch}/{{vmid}}/vncproxy": (_machine("VM.Console"),)
    for branch in ("qemu", "lxc")
}


@dataclass(frozen=True, slots=True)
class Estate:
    """What of a cluster is ours to use, as access control lists name it.

    Without a `pool` every guest of the cluster is as much ours as any. A bridge that is a VNet is
    in the `zone` of that; all others are in `localnetwork`. `archives` are storages that are only
    looked at: of OS templates and of snippets. `backups` is the storage that backups go to, where
    machines are backed up; `console` is whether operators may open their screens.
    """

    templates: tuple[int, ...]
    storages: tuple[str, ...]
    bridges: tuple[str, ...]
    archives: tuple[str, ...] = ()
    pool: str | None = None
    zone: str = "localnetwork"
    backups: str | None = None
    console: bool = False

    def calls(self, calls: Calls) -> Calls:
        """Return `calls` and those that are made only where this is so."""
        more = with_backups(calls) if self.backups else calls
        return {**more, **CONSOLE_CALLS} if self.console else more

    def paths(self, scope: Scope) -> Sequence[str]:
        """Return the paths that access control lists have for a scope."""
        match scope:
            case Scope.CLUSTER:
                return ("/",)
            case Scope.NODES:
                return ("/nodes",)
            case Scope.GUESTS:
                return ("/vms",)
            case Scope.TEMPLATE:
                return [f"/vms/{vmid}" for vmid in self.templates]
            case Scope.MACHINES:
                return (f"/pool/{self.pool}",) if self.pool else ("/vms",)
            case Scope.STORAGE:
                return [f"/storage/{storage}" for storage in self.storages]
            case Scope.ARCHIVE:
                return [f"/storage/{storage}" for storage in self.archives]
            case Scope.BACKUPS:
                return (f"/storage/{self.backups}",) if self.backups else ()
            case Scope.NETWORK:
                return [f"/sdn/zones/{self.zone}/{bridge}" for bridge in self.bridges]


def with_backups(calls: Calls) -> Calls:
    """Return `calls` and what is called where machines are backed up before they are destroyed."""
    both = {name: (*calls.get(name, ()), *needed) for name, needed in BACKUP_CALLS.items()}
    return {**calls, **both}


def needs(scope: Scope, calls: Calls = CALLS) -> Iterator[Need]:
    """Yield what all calls together want in one place."""
    for wanted in calls.values():
        yield from (need for need in wanted if need.scope is scope)


def privileges(scope: Scope, release: Release, calls: Calls = CALLS) -> tuple[str, ...]:
    """Return the fewest privileges that satisfy every need in one place, sorted.

    What has no alternative is needed; of alternatives none is added where one is needed anyway.
    What holds for every guest holds for those in a pool too (and not for a template, whose own
    list takes the place of that for all guests), so it is not granted twice.
    """
    anyway = privileges(Scope.GUESTS, release, calls) if scope is Scope.MACHINES else ()
    chosen: set[str] = set()
    for need in sorted(needs(scope, calls), key=lambda need: len(need.alternatives(release))):
        if chosen.union(anyway).isdisjoint(need.alternatives(release)):
            chosen.add(need.alternatives(release)[0])
    return tuple(sorted(chosen))


def missing(
    scope: Scope, release: Release, held: frozenset[str], calls: Calls = CALLS
) -> tuple[str, ...]:
    """Return what to add to `held` so that every need in one place is satisfied, sorted.

    For machines, what is granted on all guests is taken for held: its lack is told there.
    """
    anyway = privileges(Scope.GUESTS, release, calls) if scope is Scope.MACHINES else ()
    have = held.union(anyway)
    unmet = [
        alternatives
        for need in needs(scope, calls)
        if have.isdisjoint(alternatives := need.alternatives(release))
    ]
    best = privileges(scope, release, calls)
    return tuple(each for each in best if any(each in some for some in unmet))

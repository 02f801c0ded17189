"""Everything the simulated cluster is made of, in one place and without behaviour of its own.

Each subject (clone, power, agent, …) is a module of functions over this state. It is mutable on
purpose, and has one owner, the `Cluster`; whoever holds a reference sees every change. Randomness
(MAC addresses, uuids) is drawn from the seed and a counter, so equal histories are equal.
"""

import hashlib
import math
import uuid
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from provisioner.simulator.faults import Faults
from provisioner.simulator.guestos import GuestOs
from provisioner.simulator.guests import ConfigValue, Guest, Heard
from provisioner.simulator.lxc.container import Container
from provisioner.simulator.settings import Settings
from provisioner.simulator.ssh.system import NodeSystem
from provisioner.simulator.task import Task
from provisioner.simulator.timeline import Timeline
from provisioner.simulator.wire import Refused

CALL_LOG = 20_000


class Draws:
    """A stream of values that follows from a seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._drawn = 0

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes (at most 32)."""
        self._drawn += 1
        return hashlib.sha256(f"{self._seed}:{self._drawn}".encode()).digest()[:size]

    def share(self) -> float:
        """Return a number from -1 to 1."""
        return 2 * int.from_bytes(self.take(4), "big") / (2**32 - 1) - 1

    def uuid(self) -> str:
        """Return a random uuid (version 4)."""
        return str(uuid.UUID(bytes=self.take(16), version=4))

    def mac(self) -> str:
        """Return a MAC address with Proxmox's default prefix."""
        return ":".join(["BC", "24", "11", *(f"{byte:02X}" for byte in self.take(3))])


@dataclass(slots=True)
class Volume:
    """One disk image; sizes in bytes, `parent` is the base volume's id of a linked clone.

    `node` is where it lies, empty for one on a shared storage, which every node sees.
    """

    volid: str
    vmid: int
    size: int
    format: str
    ctime: int
    parent: str | None = None
    node: str = ""
    thick: bool = False

    @property
    def written(self) -> int:
        """Return how much of it is taken from its storage: all of it where that is not thin."""
        return self.size if self.thick else self.size // 8


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup keeps of a guest: all that it was, but for its locks and its power.

    `disks` maps a config key to the size in bytes of its volume.
    """

    kind: str
    config: Mapping[str, ConfigValue]
    disks: Mapping[str, int]
    system: GuestOs
    firewall: "Firewall | None"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that is no disk: `content` is `vztmpl` (an OS template) or `backup`; size in bytes.

    `vmid` is whose backup it is, `nodes` where it lies (empty: every node sees it), `made_by` the
    token that had it made.
    """

    volid: str
    content: str
    format: str
    size: int
    ctime: int
    vmid: int = 0
    nodes: tuple[str, ...] = ()
    backup: Backup | None = None
    notes: str = ""
    protected: bool = False
    made_by: str = ""

    def on(self, node: str) -> bool:
        """Say whether `node` sees it."""
        return not self.nodes or node in self.nodes


@dataclass(slots=True)
class Storage:
    """Where volumes lie: `size` bytes on each node, or once for all if it is `shared`.

    `kind` is dir, nfs, lvm, lvmthin or zfspool; `nodes` are those that have it, all if empty; not
    `active` means that what is below it is away. `lvm` is thick, and usual on a shared disk array.
    """

    name: str
    size: int
    shared: bool = False
    enabled: bool = True
    active: bool = True
    kind: str = "dir"
    nodes: tuple[str, ...] = ()
    only: tuple[str, ...] = ()

    @property
    def content(self) -> tuple[str, ...]:
        """Return what may be kept there: `only` that, and files only where there are files."""
        if self.only:
            return self.only
        disks = ("images", "rootdir")
        return (*disks, "snippets", "vztmpl", "iso", "backup") if self.keeps_files else disks

    @property
    def keeps_files(self) -> bool:
        """Say whether volumes there are files."""
        return self.kind in {"dir", "nfs"}

    def on(self, node: str) -> bool:
        """Say whether `node` has it."""
        return not self.nodes or node in self.nodes

    def trouble(self) -> str | None:
        """Return why nothing there can be used now, in Proxmox's words."""
        if not self.enabled:
            return f"storage '{self.name}' is disabled"
        if self.active:
            return None
        if self.kind != "dir":
            return f"storage '{self.name}' is not online"
        where = f"/mnt/{self.name}"
        missing = f"directory is expected to be a mount point but is not mounted: '{where}'"
        return f"unable to activate storage '{self.name}' - {missing}"


@dataclass(slots=True)
class Node:
    """One member of the cluster; its clock is `clock_ahead` seconds ahead of the true time."""

    name: str
    online: bool = True
    up_since: float = 0.0
    next_pid: int = 18_000
    clock_ahead: float = 0.0


@dataclass(slots=True)
class Pool:
    """A resource pool."""

    name: str
    comment: str = ""
    members: set[int] = field(default_factory=set)
    storages: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Firewall:
    """The firewall file of one VMID; it exists apart from the guest, as on a real node."""

    options: dict[str, str | int] = field(default_factory=dict)
    rules: list[dict[str, str | int]] = field(default_factory=list)
    ipsets: dict[str, dict[str, str]] = field(default_factory=dict)
    ipset_comments: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, dict[str, str]] = field(default_factory=dict)

    def copy(self) -> "Firewall":
        """Return what a clone inherits: all of it."""
        return Firewall(
            dict(self.options),
            [dict(rule) for rule in self.rules],
            {name: dict(members) for name, members in self.ipsets.items()},
            dict(self.ipset_comments),
            {name: dict(alias) for name, alias in self.aliases.items()},
        )


@dataclass(frozen=True, slots=True)
class Grant:
    """Privileges on a path and, unless told otherwise, below it."""

    path: str
    privileges: frozenset[str]


@dataclass(slots=True)
class Token:
    """An API token, `user@realm!name`; `everything` is an Administrator on `/`."""

    id: str
    secret: str
    everything: bool = True
    grants: tuple[Grant, ...] = ()


@dataclass(slots=True)
class HaResource:
    """A guest that the HA manager keeps in `state` (started, stopped, ignored, disabled)."""

    sid: str
    state: str = "started"
    group: str = ""
    comment: str = ""
    max_restart: int = 1
    max_relocate: int = 1


@dataclass(frozen=True, slots=True)
class Console:
    """A console's port, open for one connection until `until` (virtual seconds)."""

    port: int
    ticket: str
    token: str
    vmid: int
    until: float


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One line of the call log; `at` is when it was asked (virtual seconds)."""

    at: float
    method: str
    path: str
    status: int
    token: str | None


@dataclass(slots=True)
class State:
    """The cluster."""

    settings: Settings
    timeline: Timeline
    draws: Draws
    faults: Faults = field(default_factory=Faults)
    nodes: dict[str, Node] = field(default_factory=dict)
    systems: dict[str, NodeSystem] = field(default_factory=dict)
    guests: dict[int, Guest] = field(default_factory=dict)
    storages: dict[str, Storage] = field(default_factory=dict)
    volumes: dict[str, Volume] = field(default_factory=dict)
    files: dict[str, StoredFile] = field(default_factory=dict)
    firewalls: dict[int, Firewall] = field(default_factory=dict)
    firewall_options: dict[str, str | int] = field(default_factory=dict)
    pools: dict[str, Pool] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    quorate: bool = True
    statistics_stopped_at: float | None = None
    vmids: range = range(100, 10**9)
    ha: dict[int, HaResource] = field(default_factory=dict)
    consoles: dict[int, Console] = field(default_factory=dict)
    tickets: dict[str, Console] = field(default_factory=dict)
    touched: set[tuple[str, int]] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    calls: deque[CallRecord] = field(default_factory=lambda: deque(maxlen=CALL_LOG))

    def record(self, at: float, method: str, path: str, status: int, token: str | None) -> None:
        """Keep one line of the call log."""
        self.calls.append(CallRecord(at, method, path, status, token))

    @property
    def has_quorum(self) -> bool:
        """Say whether most of the nodes see each other; a node that stands alone does."""
        online = sum(node.online for node in self.nodes.values())
        return self.quorate and (len(self.nodes) == 1 or 2 * online > len(self.nodes))

    def last_round(self) -> float:
        """Return when the statistics daemon last broadcast; it may have stopped since."""
        interval = self.settings.statistics_interval
        stopped = self.statistics_stopped_at
        now = self.timeline.now if stopped is None else stopped
        return math.floor(now / interval) * interval

    def changing(self, guest: Guest) -> Guest:
        """Settle what the last round heard, then hand `guest` out for a change."""
        self.heard(guest)
        guest.digest_seen = None
        return guest

    def clock(self, node: str) -> int:
        """Return what time a node's own clock says, which dates its tasks."""
        return int(self.timeline.now + self.nodes[node].clock_ahead)

    def heard(self, guest: Guest) -> Heard | None:
        """Return what the last statistics round said of `guest`, None before its first."""
        latest = self.last_round()
        if latest > guest.settled_at:
            guest.heard = guest.hear(latest)
            guest.settled_at = latest
        return guest.heard

    def guest(self, node: str, vmid: int) -> Guest:
        """Return the virtual machine `vmid` on `node`, or refuse as Proxmox does."""
        guest = self.guests.get(vmid)
        if guest is None or guest.node != node or guest.kind != "qemu":
            raise Refused(
                f"Configuration file 'nodes/{node}/qemu-server/{vmid}.conf' does not exist"
            )
        return guest

    def container(self, node: str, vmid: int) -> Container:
        """Return the container `vmid` on `node`, or refuse as Proxmox does."""
        guest = self.guests.get(vmid)
        if not isinstance(guest, Container) or guest.node != node:
            raise Refused(f"Configuration file 'nodes/{node}/lxc/{vmid}.conf' does not exist")
        return guest

    def add_guest(self, guest: Guest) -> Guest:
        """Put a new guest into the cluster; no statistics round has seen it yet."""
        guest.settled_at = self.last_round()
        self.guests[guest.vmid] = guest
        return guest

    def firewall(self, vmid: int) -> Firewall:
        """Return the firewall file of `vmid`, an empty one if there is none."""
        return self.firewalls.setdefault(vmid, Firewall())

    def storage_trouble(self, name: str) -> str | None:
        """Return why nothing on the storage `name` can be used now, in Proxmox's words."""
        storage = self.storages.get(name)
        return f"storage '{name}' does not exist" if storage is None else storage.trouble()

    def used(self) -> dict[tuple[str, str], int]:
        """Return the bytes taken from each storage on each node (empty for a shared one)."""
        used: dict[tuple[str, str], int] = {}
        for volume in self.volumes.values():
            where = (volume.volid.partition(":")[0], volume.node)
            used[where] = used.get(where, 0) + volume.written
        for file in self.files.values():
            for node in file.nodes or ("",):
                where = (file.volid.partition(":")[0], node)
                used[where] = used.get(where, 0) + file.size
        return used

    def volumes_of(self, vmid: int) -> list[Volume]:
        """Return every volume that carries `vmid`, referenced or not."""
        return [volume for volume in self.volumes.values() if volume.vmid == vmid]

"""What this package needs from the outside, as protocols.

A hypervisor, ways into guests and onto nodes; the durable log of intents is `provisioner.oplog`.
Each method of `Hypervisor`, `GuestShell` and `NodeShell` is one effect or one reading and never
waits for a task; each is also two fault points (`before` and `after`), which a test holds against
the registry in `provisioner.faultpoints`.

Every method may raise `Transient`, `Permanent`, `UnknownOutcome` or `HypervisorDown` from
`provisioner.errors`; what else a method raises, it says.
"""

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Protocol

from provisioner.errors import ProvisionError
from provisioner.isolation import Isolation
from provisioner.model import GuestConfig, GuestSettings, Kind, Power
from provisioner.terms import LINKED, Cloning


@dataclass(frozen=True, slots=True)
class GuestRow:
    """A guest as the cluster's resource list shows it; stale by seconds, so it only selects.

    `memory` is what it may use and `disk` the size of its boot disk (bytes), both 0 while no
    statistics round has seen it.
    """

    vmid: int
    node: str
    name: str | None
    kind: Kind
    template: bool
    memory: int = 0
    running: bool = False
    disk: int = 0


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A member of the cluster; `memory` is all it has (bytes), 0 where it does not tell.

    `uptime` (s) is as old as the list, and 0 too where it does not tell.
    """

    name: str
    online: bool
    maintenance: bool
    memory: int
    uptime: int = 0


@dataclass(frozen=True, slots=True)
class StorageRow:
    """A storage as one node sees it; a shared one has a row for each node. In bytes."""

    name: str
    node: str
    shared: bool
    available: bool
    size: int
    used: int


@dataclass(frozen=True, slots=True)
class ClusterSnapshot:
    """A trusted list of every guest in the cluster; `taken_at` is monotonic seconds.

    `members` are all nodes by name, `nodes` those that are online; `storages` are for disks,
    `archives` for OS templates, and `folders`, (name, node), each node's own for snippets.
    """

    taken_at: float
    guests: Mapping[int, GuestRow]
    nodes: tuple[str, ...]
    members: Mapping[str, NodeRow] = field(default_factory=dict)
    storages: Sequence[StorageRow] = ()
    folders: AbstractSet[tuple[str, str]] = frozenset()
    archives: Sequence[StorageRow] = ()


@dataclass(frozen=True, slots=True)
class TaskState:
    """Where a task stands; `error` is None for success (`OK`, `WARNINGS: n`) and while running.

    An `UnknownOutcome` says that the exit status proves nothing (`unexpected status`, a lost
    log); any other error is what the task's exit status means. `freed` are the VMIDs of guests that
    may have been destroyed on its node since it began, None where that was not looked for.
    """

    running: bool
    error: ProvisionError | None = None
    freed: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One line of a node's task list; times are wall seconds on the node."""

    upid: str
    kind: str
    vmid: int | None
    user: str
    started: int
    ended: int | None
    status: str | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a machine stands, or was meant to."""

    vmid: int
    node: str


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """A snapshot of one guest; `taken_at` is wall seconds on its node."""

    name: str
    description: str
    taken_at: int


class Hypervisor(Protocol):
    """A cluster that can hold machines. Writes return a task's UPID, or None when done.

    What is about one guest takes its `kind`; called with the wrong one there is no such guest.
    """

    async def snapshot(self) -> ClusterSnapshot:
        """Read the whole cluster. Raises Untrusted when it is not evidence."""
        ...

    async def vmid_is_free(self, vmid: int) -> bool:
        """Say whether the cluster would accept `vmid` for a new guest: the proof of absence."""
        ...

    async def config(
        self, node: str, vmid: int, *, kind: Kind = Kind.VM, running: bool = False
    ) -> GuestConfig | None:
        """Read a guest's configuration, or what it runs with; None if none is on that node."""
        ...

    async def power(self, node: str, vmid: int, *, kind: Kind = Kind.VM) -> Power:
        """Read whether a guest runs, and since when."""
        ...

    async def clone(
        self,
        node: str,
        template: int,
        vmid: int,
        name: str,
        description: str,
        *,
        target: str | None = None,
        cloning: Cloning = LINKED,
    ) -> str:
        """Clone `template`, which stands on `node`, to `vmid`, which reserves it.

        The machine will stand on `target`, by default on the same node. Returns the UPID.
        """
        ...

    async def create_container(
        self,
        node: str,
        vmid: int,
        settings: GuestSettings,
        description: str,
        *,
        disk_gib: int,
        keys: str,
        storage: str | None = None,
    ) -> str:
        """Make a container at `vmid`, reserving it; `keys` enter as root. Returns the UPID."""
        ...

    async def configure(
        self,
        node: str,
        vmid: int,
        settings: GuestSettings,
        description: str,
        digest: str,
        *,
        kind: Kind = Kind.VM,
    ) -> None:
        """Make a guest's configuration `settings` and `description`, and delete what it inherited.

        Raises Transient when `digest` is no longer the configuration's.
        """
        ...

    async def isolation(self, node: str, vmid: int, *, kind: Kind = Kind.VM) -> Isolation:
        """Read a guest's firewall."""
        ...

    async def isolate(
        self,
        node: str,
        vmid: int,
        wanted: Isolation,
        *,
        base: Isolation | None = None,
        kind: Kind = Kind.VM,
    ) -> None:
        """Make a guest's firewall exactly `wanted`.

        `base` is the one that it has, where that is known for sure; else it is read first.
        """
        ...

    async def resize(
        self, node: str, vmid: int, disk: str, gib: int, *, kind: Kind = Kind.VM
    ) -> str | None:
        """Grow `disk` to `gib` GiB (absolute). A shrink is Permanent."""
        ...

    async def start(self, node: str, vmid: int, *, kind: Kind = Kind.VM) -> str:
        """Start a guest. Returns the UPID."""
        ...

    async def shutdown(
        self, node: str, vmid: int, force_after: int, *, kind: Kind = Kind.VM
    ) -> str:
        """Shut a guest down, by force after `force_after` seconds. Returns the UPID."""
        ...

    async def stop(self, node: str, vmid: int, *, kind: Kind = Kind.VM) -> str:
        """Cut a guest's power, whatever shutdown is under way. Returns the UPID."""
        ...

    async def snapshots(
        self, node: str, vmid: int, *, kind: Kind = Kind.VM
    ) -> Sequence[SnapshotRow]:
        """List a guest's snapshots, the oldest first."""
        ...

    async def take_snapshot(self, node: str, vmid: int, name: str, *, kind: Kind = Kind.VM) -> str:
        """Keep a guest's disks and configuration as they are, as snapshot `name`.

        Returns the UPID. Raises Declined for what is no name.
        """
        ...

    async def roll_back(self, node: str, vmid: int, name: str, *, kind: Kind = Kind.VM) -> str:
        """Stop a guest, and give it back the disks and configuration of a snapshot.

        What its description then says is either's. Returns the UPID. Raises Declined for what is no
        name.
        """
        ...

    async def destroy(self, node: str, vmid: int, *, kind: Kind = Kind.VM) -> str:
        """Destroy a stopped guest and its own disks. Returns the UPID."""
        ...

    async def task_states(self, upids: Collection[str]) -> Mapping[str, TaskState]:
        """Read where tasks of one node stand; of one that makes, also what was freed meanwhile."""
        ...

    async def tasks(
        self, node: str, since: int, *, vmid: int | None = None, kind: str | None = None
    ) -> Sequence[TaskRow]:
        """List a node's tasks since `since` (its wall s), newest first, at most `LONGEST_LIST`."""
        ...

    async def clock(self, node: str) -> int:
        """Return what time it is by a node's own clock, which dates its tasks (wall s)."""
        ...

    async def freed(self, since: int) -> AbstractSet[int]:
        """Return the VMIDs that the nodes' task lists show as destroyed at or after `since`.

        Wall seconds; what was read may be a minute old.
        """
        ...

    async def volumes(
        self, node: str, vmid: int, *, destroyed_by: str | None = None
    ) -> Sequence[str]:
        """List the volumes that carry `vmid` on a node's storages.

        Those that the task `destroyed_by` could not remove are among them, listed or not.
        """
        ...


class Snapshots(Protocol):
    """The cluster at a glance, shared by all who look within a few seconds."""

    async def get(
        self, *, newer_than: float | None = None, max_age: float | None = None
    ) -> ClusterSnapshot:
        """Return a recent snapshot, by default one as old as serves to select.

        Where they are given, it was taken after `newer_than` (monotonic s) and is at most `max_age`
        seconds old.
        """
        ...

    @property
    def last(self) -> ClusterSnapshot | None:
        """The last snapshot, however old; asks nobody."""
        ...


class GuestShell(Protocol):
    """A way into a running guest. Raises AgentSilent when nobody answers there."""

    async def answers(self, node: str, vmid: int) -> bool:
        """Ask whether the guest is up and answering; False when it is silent."""
        ...

    async def set_authorized_keys(self, node: str, vmid: int, user: str, keys: str) -> None:
        """Replace the keys that open `user`'s account (and root's) with `keys`, one a line."""
        ...

    async def set_gecos(self, node: str, vmid: int, user: str, gecos: str) -> None:
        """Make `gecos` what the account of `user` says of whose it is."""
        ...

    async def end_sessions(self, node: str, vmid: int, user: str) -> None:
        """End every session of `user`."""
        ...

    async def host_keys(self, node: str, vmid: int) -> tuple[str, ...]:
        """Read the public keys of the guest's SSH server, as the guest tells them; bounded."""
        ...


class GuestShells(Protocol):
    """The ways into guests: each kind has its own."""

    def of(self, kind: Kind) -> GuestShell:
        """Return the way into guests of a kind."""
        ...


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command in a guest ended: its exit code and what it said, bounded and hostile."""

    code: int
    output: bytes
    error: bytes


class NodeShell(Protocol):
    """A whitelist of verbs on a Proxmox node. All but `pct_exec` may be repeated without harm."""

    async def version(self, node: str) -> str:
        """Ask the node's helper which one it is. Raises Permanent for one we don't speak to."""
        ...

    async def put_snippet(self, node: str, name: str, content: bytes) -> None:
        """Write a cloud-init snippet into the node's snippet folder, whole or not at all."""
        ...

    async def drop_snippet(self, node: str, name: str) -> None:
        """Remove a snippet; one that is not there is removed."""
        ...

    async def snippets(self, node: str) -> Sequence[str]:
        """List the snippets of our VMIDs."""
        ...

    async def pct_exec(
        self, node: str, vmid: int, words: Sequence[str], content: bytes = b"", limit: int = 30
    ) -> Finished:
        """Run a command in a running container, with `content` on its standard input.

        Raises AgentSilent when it does not run there, and UnknownOutcome when the end was not seen
        within `limit` seconds, or drowned in what the command said.
        """
        ...

    async def route(self, node: str, address: str, bridge: str) -> None:
        """Send what is for one IPv6 address to a bridge of the node."""
        ...

    async def routes(self, node: str) -> Mapping[str, str]:
        """Return the bridge of every address of ours that has a route of its own."""
        ...

    async def isolate(self, node: str, vmid: int) -> None:
        """Let a running guest's ports reach no other isolated port of their bridge.

        Raises AgentSilent when it has none there.
        """
        ...

    async def isolated(self, node: str) -> Mapping[int, bool]:
        """Say of every guest of ours that has ports whether all of them are isolated."""
        ...

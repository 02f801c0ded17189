"""The words this package thinks in: what a machine should be, and what was seen of it.

Everything here is frozen and knows no I/O, no clock and no chain. A `DesiredMachine` says how one
machine should look; an `Observed` says how it looked a moment ago; `provisioner.plan` compares the
two. A field that neither side can show does not belong here: it becomes a stamp.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from provisioner.isolation import Isolation
from provisioner.terms import ANY_TERMS, UNLIMITED, DiskLimits, Terms

#: Proxmox's lock on a clone that is being made; it carries neither name nor description yet.
CLONING: Final = "clone"
#: Locks of a guest that is being made: a clone, or a container out of an archive.
MAKING: Final = frozenset({CLONING, "create"})


class Kind(StrEnum):
    """What is sold: a QEMU virtual machine or an LXC container."""

    VM = "vm"
    CONTAINER = "container"


class PowerState(StrEnum):
    """Whether the guest runs, as Proxmox says (`status/current`); UNREAD if it was not asked.

    It need not be asked before a first start, for Proxmox refuses to start what runs.
    """

    RUNNING = "running"
    STOPPED = "stopped"
    PAUSED = "paused"
    UNKNOWN = "unknown"
    UNREAD = "unread"


class Presence(StrEnum):
    """How present a machine should be; destruction follows from `Retirement`, never from here.

    `AS_IS` takes nothing away and gives nothing: a hold, or a source that cannot be trusted now.
    """

    RUNNING = "running"
    SUSPENDED = "suspended"
    AS_IS = "as it is"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a machine is: our installation, whose it is, which one of them, and where it stands.

    `key` is opaque here (a CAIP-19 lease id, or `cli:NAME`); `nonce` is 32 hex digits.
    """

    installation: str
    key: str
    nonce: str
    vmid: int


class Verb(StrEnum):
    """What may be ordered of one machine, once."""

    START = "start"
    STOP = "stop"
    KILL = "kill"
    REBOOT = "reboot"
    SNAPSHOT = "snapshot"
    ROLLBACK = "rollback"
    REINSTALL = "reinstall"


@dataclass(frozen=True, slots=True)
class Order:
    """An order that is to be done once; a later one has a higher number, for ever.

    `name` is the snapshot's, where one is meant.
    """

    number: int
    verb: Verb
    name: str = ""


@dataclass(frozen=True, slots=True)
class Stamps:
    """What was done to a machine that Proxmox cannot show; kept, signed, in its description.

    `configured` and `access` are hashes of a step's inputs, `generation` is that of the owner who
    was let in (or locked out for) last; `started` says that a start that was
    owed has been observed running; `suspended_at` is the chain time (s) at which the machine was
    observed stopped, and `ended` says that it was for the lease's end and not by order alone.
    `ordered` is the number of the last order that was done to it, 0 when none was; `applied` a hash
    of the settings that were written last, where what others change is left to them; `gecos` a hash
    of what the account inside was made to say of its owner, None while that is not known. `begun`
    is when its making was asked for (wall seconds), which only one says that is not configured yet.
    """

    configured: str | None = None
    access: str | None = None
    generation: int | None = None
    started: bool = False
    suspended_at: int | None = None
    ended: bool = False
    ordered: int = 0
    applied: str | None = None
    gecos: str | None = None
    begun: int = 0


@dataclass(frozen=True, slots=True)
class BackupPolicy:
    """That machines are backed up before they are destroyed: where to, and how long it is kept.

    `mode` is Proxmox's word for how; `keep` is in seconds of chain time.
    """

    storage: str
    mode: str
    keep: int


@dataclass(frozen=True, slots=True)
class Archive:
    """A backup as its storage shows it, of the VMID `vmid`; size in bytes, `made_at` wall time.

    `kind` is what the guest was; what is not `protected`, any pruning may take.
    """

    volid: str
    vmid: int
    made_at: int
    size: int
    notes: str
    kind: Kind = Kind.VM
    protected: bool = True


@dataclass(frozen=True, slots=True)
class Backup:
    """An archive that proves whose it is: made at chain time `at` of a machine with these stamps.

    `nodes` are those that see it.
    """

    archive: Archive
    nodes: tuple[str, ...]
    identity: Identity
    stamps: Stamps
    at: int


@dataclass(frozen=True, slots=True)
class Card:
    """What is kept with a machine that no daemon knows of, signed, in its description.

    `owner` (a wallet) pays for it from `created_at` until `expires_at` (wall seconds, absolute),
    `nft` is the token that stands for it, `user` the account that is theirs; `throttled` says that
    the command line has limited it, `used` that it was finished once: whatever its stamps say in
    the middle of a later change, it is somebody's. `ssh_key` is what opens a container, where
    nobody could read it back; a virtual machine's settings show it.
    """

    owner: str
    created_at: int
    expires_at: int
    nft: int | None = None
    user: str = ""
    purpose: str = ""
    tags: tuple[str, ...] = ()
    throttled: bool = False
    used: bool = False
    ssh_key: str = ""


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """The hardware that was paid for; memory in MiB, disk in GiB."""

    kind: Kind
    cores: int
    memory_mib: int
    disk_gib: int


@dataclass(frozen=True, slots=True)
class Access:
    """Who may enter: the owner (for the record), and the one SSH key; empty lets nobody in.

    `generation` counts changes of owner, so that a key given back to a former owner is a new
    permission and not a remembered one. `settled` says that who owns it cannot be taken back.
    """

    generation: int
    owner: str
    ssh_key: str
    settled: bool = True


@dataclass(frozen=True, slots=True)
class Retirement:
    """Permission to destroy, as far as the finalized view goes.

    The machine may go once `max(suspended_at, ended_at) + grace <= final_time`; all in seconds of
    chain time.
    """

    ended_at: int
    grace: int
    final_time: int

    def due_at(self, suspended_at: int) -> int:
        """Return the chain time from which the machine may be destroyed."""
        return max(suspended_at, self.ended_at) + self.grace


@dataclass(frozen=True, slots=True)
class DesiredMachine:
    """How the machine (`key`, `nonce`) should look at chain time `at` (seconds).

    A machine that should run and is missing is owed. `spec` is None when what was sold is not
    known, and then only taking away is possible; `terms` are what its plan decides besides.
    `held` is mirrored as Proxmox's protection; `ended` says that nobody pays for the machine at
    `at`, which starts its grace. `card` goes with a machine that the command line made; `order` is
    the next one to be done to it, `gecos` what the owner's account inside says of him, if anything.
    `before` is what it was of, and stays while there is no room for the larger `spec`.
    """

    key: str
    nonce: str
    name: str
    presence: Presence
    spec: MachineSpec | None
    access: Access
    held: bool
    ended: bool
    at: int
    retirement: Retirement | None = None
    order: Order | None = None
    gecos: str = ""
    card: Card | None = None
    terms: Terms = ANY_TERMS
    before: MachineSpec | None = None


@dataclass(frozen=True, slots=True)
class Addresses:
    """What follows from a VMID's place in its range: MAC and CIDR addresses with gateways."""

    mac: str
    ipv4: str | None = None
    gateway4: str | None = None
    ipv6: str | None = None
    gateway6: str | None = None

    @property
    def own(self) -> tuple[str, ...]:
        """Return the addresses that the machine has."""
        return tuple(each for each in (self.ipv4, self.ipv6) if each)


@dataclass(frozen=True, slots=True)
class GuestSettings:
    """The settings of a guest that we own, wanted or read back, in one comparable form.

    A container has neither cloud-init nor firmware: its `user`, `ssh_keys` and `uuid` are empty,
    and it has no `agent`.

    `leftovers` names inherited keys that a machine of ours must not carry (always empty in a wanted
    value); `link_up` is false when the guest's cable is pulled; `cicustom`
    names the snippet that its cloud-init is read from, empty for the settings above. `vlan` is 0
    without one, `trunks` are the VLANs passed on as they are; `rate` (megabytes a second) and
    `cpu_limit` (busy cores) are 0 without a limit. `disk_limits` are the boot disk's; a container
    has none.
    """

    name: str
    cores: int
    memory_mib: int
    bridge: str
    mac: str
    ipconfig: str
    nameserver: str
    user: str
    ssh_keys: str
    uuid: str
    tags: frozenset[str]
    onboot: bool
    protection: bool
    link_up: bool
    agent: bool
    cicustom: str = ""
    vlan: int = 0
    trunks: str = ""
    rate: float = 0
    cpu_limit: float = 0
    disk_limits: DiskLimits = UNLIMITED
    leftovers: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class GuestConfig:
    """A guest's configuration as read: settings, description, disk (GiB), lock and digest.

    `disk` is the boot disk's key (`scsi0`, `rootfs`), `storage` where it lies, `more_gib` the size
    of all other disks together; `lock` is None or Proxmox's word for it.
    """

    settings: GuestSettings
    description: str
    disk: str | None
    disk_gib: int
    lock: str | None
    digest: str
    template: bool
    storage: str | None = None
    kind: Kind = Kind.VM
    more_gib: int = 0


@dataclass(frozen=True, slots=True)
class Power:
    """Whether a guest runs, for how many seconds already, and with what hardware (0: not told)."""

    state: PowerState
    uptime: int = 0
    cores: int = 0
    memory_mib: int = 0


@dataclass(frozen=True, slots=True)
class OpenOperation:
    """An intent that has not been seen to end; `upid` is None while its reply is missing.

    `started` is wall time in seconds, for the record and for searching task lists only.
    """

    id: int
    step: str
    vmid: int
    node: str
    nonce: str
    upid: str | None
    started: int


@dataclass(frozen=True, slots=True)
class Observed:
    """What was seen of the machine (key, nonce) a moment ago.

    `config` is None when no machine exists (`vmid` then is the one reserved for it, if any).
    `identity` and `stamps` are what the description proves, None and empty when it proves
    nothing. `answers` is None when the guest was not asked; where it is to be asked again, `ask_in`
    says in how many seconds. `ever_existed` tells a machine that vanished from one not made yet.
    `leftovers` are volumes that were still there right after a destroy. `kept` says that the last
    one was destroyed to be made anew at the same VMID. `snapshots` are those it has, by name, None
    where nobody asked; `obeyed` that the task of the order that is wanted has ended well.
    `backups` are those of the machine that may matter now, the newest first. `hardware` is what it
    runs with (cores, MiB), zeros where that was not told. `cloned_from` is the template of a clone
    that has only just ended; `isolation` is the firewall where it was read. `fallen` says why a
    machine that stands still is owed a start although it was seen running since the last one, and
    `rising` that its node has booted and may still start it by itself. `early` says that it runs as
    what it was before it was configured.
    """

    vmid: int | None
    node: str | None
    config: GuestConfig | None
    identity: Identity | None
    stamps: Stamps
    power: PowerState
    uptime: int = 0
    answers: bool | None = None
    ask_in: float = 0
    operation: OpenOperation | None = None
    ever_existed: bool = False
    leftovers: tuple[str, ...] = ()
    kept: bool = False
    snapshots: tuple[str, ...] | None = None
    obeyed: bool = False
    backups: tuple[Backup, ...] = ()
    hardware: tuple[int, int] = (0, 0)
    cloned_from: int | None = None
    isolation: Isolation | None = None
    fallen: str = ""
    rising: bool = False
    early: bool = False

    @property
    def kind(self) -> Kind:
        """What kind of guest was seen; a virtual machine where none was."""
        return self.config.kind if self.config is not None else Kind.VM

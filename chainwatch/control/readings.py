"""What an operator may read, as frozen facts that become JSON field by field.

These are promises: the socket shows them as they stand, so a field that is renamed breaks somebody.
Numbers that a contract chooses (token and plan ids, amounts, expiries) are decimal text, because
not every reader of JSON keeps 256 bits; times in seconds: `…_time` and `expires_at` are the
chain's, what ends in `_at` besides, and `since`, are wall time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from chainwatch.chain.evidence import Testimony
from chainwatch.chain.heads import FeedHealth
from chainwatch.chain.standing import Health
from chainwatch.control.survey import Orphan
from chainwatch.store.alarms import Alarm
from chainwatch.store.holds import HoldRow, Pause
from chainwatch.store.operations import Operation
from chainwatch.store.wishes import Wish
from chainwatch.store.workqueue import WorkRow


class SourceWord(StrEnum):
    """How a source does, in one word: the worst thing that is true of it."""

    HALTED = "halted"
    TROUBLE = "trouble"
    BEHIND = "behind"
    STALE = "stale"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class SourceReading:
    """A source: how far it was read, how it does, and which endpoints (by host) it asks.

    `cursor`, `confirmed`, `final` and `head` are block numbers; `why` is set unless it is live;
    `alone` is why no second endpoint confirms what one reads, so that nothing more becomes final;
    `websocket` is null where none is configured.
    """

    name: str
    chain_id: int
    contract: str
    word: SourceWord
    why: str | None
    chain_time: int
    final_time: int | None
    cursor: int | None
    confirmed: int
    final: int | None
    head: int
    caught_up: bool
    idle_for: int
    alone: str | None
    endpoints: tuple[Health, ...]
    websocket: FeedHealth | None


@dataclass(frozen=True, slots=True)
class BlockReading:
    """A block that is stored: `chain_time` is its timestamp."""

    number: int
    hash: str
    chain_time: int


@dataclass(frozen=True, slots=True)
class SourceStory:
    """Everything about the reading of one source, and what its endpoints say of our blocks now.

    `halted` is why it stopped; `reread_to` how far it has to be read, and `reread_final` how far it
    has to be final, before anything is done again.
    """

    source: SourceReading
    halted: str | None
    stored_final: BlockReading | None
    stored_cursor: BlockReading | None
    reread_to: int | None
    reread_final: int | None
    testimonies: tuple[Testimony, ...]
    alarms: tuple[Alarm, ...]


@dataclass(frozen=True, slots=True)
class HypervisorReading:
    """Whether the hypervisor can be believed now, and when its machines were last surveyed."""

    up: bool
    why: str | None
    surveyed_at: int | None


@dataclass(frozen=True, slots=True)
class Capacity:
    """VMIDs of the range: all, taken by us, taken by strangers, resting before reuse, free."""

    all: int
    ours: int
    strangers: int
    resting: int
    free: int


@dataclass(frozen=True, slots=True)
class NodeReading:
    """A node: `state` is ready, or why it takes no new machine; memory in MiB.

    `sold_mib` is what guests may use of it (suspended machines of ours too, of others' those that
    run), `left_mib` what may still be sold (below zero: more than the configuration allows).
    """

    name: str
    state: str
    memory_mib: int
    sold_mib: int
    left_mib: int
    machines: int


@dataclass(frozen=True, slots=True)
class StorageReading:
    """A storage for disks, `node` null where all share it; `left_gib` is beyond its reserve.

    `sold_gib` is what is sold of it, every disk at its full size, null where that is not known, and
    `limit_gib` what may be, null where there is no limit.
    """

    name: str
    node: str | None
    available: bool
    size_gib: int
    left_gib: int
    sold_gib: int | None
    limit_gib: int | None


@dataclass(frozen=True, slots=True)
class RoomReading:
    """How full the cluster was `age` seconds ago.

    `missing_templates` are VMIDs of templates that it does not show.
    """

    age: int
    nodes: tuple[NodeReading, ...]
    storages: tuple[StorageReading, ...]
    missing_templates: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Destroys:
    """The destroy budget of the last hour."""

    allowed: int
    spent: int
    left: int


@dataclass(frozen=True, slots=True)
class SendingReading:
    """A transaction of our own, wanted because of `cause`, and how far it is (`state`).

    `tx_hash` is what was signed last for its present `nonce`, `signed` how much was; `why` says
    what it waits for, or how it ended.
    """

    id: int
    source: str
    kind: str
    lease: str
    cause: str
    state: str
    nonce: int | None
    tx_hash: str | None
    offers_gwei: str | None
    signed: int
    block: int | None
    why: str | None
    wanted_at: int
    done_at: int | None


@dataclass(frozen=True, slots=True)
class SenderReading:
    """Our account on a chain as it was last seen, and what it has to do; `balance` in wei.

    `asks_gwei` is what a unit of gas costs now; `waits` says what keeps transactions from going on.
    """

    chain_id: int
    address: str
    balance: str | None
    nonce: int | None
    asks_gwei: str | None
    ceiling_gwei: str
    wanted: int
    under_way: int
    mined: int
    waits: tuple[str, ...]
    sendings: tuple[SendingReading, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """The daemon at a glance."""

    installation: str
    version: str
    now: int
    uptime: int
    ready: bool
    unready: tuple[str, ...]
    sources: tuple[SourceReading, ...]
    hypervisor: HypervisorReading
    capacity: Capacity
    room: RoomReading | None
    leases: Mapping[str, Mapping[str, int]]
    machines: int
    operations: Mapping[str, int]
    due: int
    parked: int
    destroys: Destroys
    senders: tuple[SenderReading, ...]
    pauses: tuple[Pause, ...]
    holds: tuple[HoldRow, ...]
    alarms: tuple[Alarm, ...]
    orphans: tuple[Orphan, ...]


@dataclass(frozen=True, slots=True)
class LeaseLine:
    """One line of a list: `phase` is active, expired, burnt or gone (taken back by a reorg)."""

    id: str
    source: str
    token: str
    phase: str
    owner: str | None
    plan: str | None
    expires_at: str | None
    chain_time: int
    vmid: int | None
    holds: tuple[str, ...]
    parked: bool


@dataclass(frozen=True, slots=True)
class View:
    """A lease at some block of its chain."""

    owner: str
    generation: int
    plan: str | None
    expires_at: str
    ssh_key: str
    burnt: bool
    nonce: str


@dataclass(frozen=True, slots=True)
class PlanReading:
    """What was sold: memory in MiB, disk in GiB, grace in seconds."""

    id: str
    name: str
    kind: int
    cores: str
    memory_mib: str
    disk_gib: str
    grace: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a machine should look.

    `ended`: nobody pays for it at the cursor. `grace` (s) is how long after its suspension it may
    be destroyed, None while the finalized view, or a hold, forbids that. Hardware is None where it
    is not known what was sold; `terms` are what its plan decides besides, by the configuration.
    """

    presence: str
    cores: str | None
    memory_mib: str | None
    disk_gib: str | None
    owner: str
    held: bool
    ended: bool
    grace: str | None
    terms: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Seen:
    """How a machine looked a moment ago."""

    vmid: int | None
    node: str | None
    exists: bool
    power: str
    uptime: int
    lock: str | None
    answers: bool | None
    suspended_at: int | None
    operation: str | None


@dataclass(frozen=True, slots=True)
class MachineStory:
    """One machine of a lease: wanted, seen, what comes next, and the sentence that says why.

    `current` tells the machine that is paid for from those of former mints of the same token.
    """

    nonce: str
    current: bool
    wanted: Wanted
    seen: Seen | None
    next: str | None
    refused: str | None
    settled: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class EventLine:
    """One line of the journal; `orphaned_at` says that a reorg took it back."""

    id: int
    source: str
    block: int
    block_hash: str
    log_index: int
    tx_hash: str
    kind: str
    token: str | None
    plan: str | None
    fields: Mapping[str, str | bool]
    seen_at: int
    orphaned_at: int | None


@dataclass(frozen=True, slots=True)
class LeaseStory:
    """Everything about one lease, from what the chain said to what it waits for.

    `confirmed` is at the cursor, `final` at the finalized block; None where that view knows no such
    lease. `delivery` says how far the delivery is, None where the contract knows none. `waits` says
    why nothing (more) happens now, None when its machine is as desired and what we have to say of
    it stands in a block. The wakes are chain times at which it is looked at again by itself.
    """

    line: LeaseLine
    confirmed: View | None
    final: View | None
    plan: PlanReading | None
    delivery: str | None
    source: SourceReading
    machines: tuple[MachineStory, ...]
    waits: str | None
    wake_time: int | None
    wake_final_time: int | None
    work: WorkRow | None
    holds: tuple[HoldRow, ...]
    alarms: tuple[Alarm, ...]
    operations: tuple[Operation, ...]
    orders: tuple[Wish, ...]
    sendings: tuple[SendingReading, ...]
    events: tuple[EventLine, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check looked at; `text` says what is wrong, or what was found right.

    A `warning` is something to look at that keeps nothing from working.
    """

    subject: str
    ok: bool
    text: str
    warning: bool = False

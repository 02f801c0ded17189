"""What a chain can say about a lease, as frozen facts.

Every fact is absolute: replaying it, or seeing it twice, changes nothing. A profile turns logs into
these and nothing else; whoever adds one gets a type error in `domain.lease` until the fold knows
it. Amounts are uint256 and stay Python integers here; times are seconds, UTC, from the chain.
What a long history makes by the million is a `Struct`, which is made in a tenth of the time that a
frozen dataclass takes.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

from msgspec import Struct

ZERO_ADDRESS = "0x" + "0" * 40


class PlanDefined(Struct, frozen=True, gc=False):
    """What a plan is, for ever: kind 0 is a VM, 1 a container; memory MiB, disk GiB, grace s."""

    plan: int
    name: str
    kind: int
    cores: int
    memory_mib: int
    disk_gib: int
    grace: int


class PlanTerms(Struct, frozen=True, gc=False):
    """On what terms a plan is sold now; the price is per second, in the token's smallest unit."""

    plan: int
    payment_token: str
    price_per_second: int
    cap: int
    on_sale: bool


class LeaseMinted(Struct, frozen=True, gc=False):
    """Which plan a new lease is of, and what was paid for it."""

    token: int
    plan: int
    payer: str
    seconds: int
    paid: int


class Transferred(Struct, frozen=True, gc=False):
    """The token has a new owner; from the zero address it was minted, to it it was burnt."""

    token: int
    sender: str
    recipient: str


class ExpiryUpdated(Struct, frozen=True, gc=False):
    """The lease now ends at `expires_at`, whatever was said before."""

    token: int
    expires_at: int


class Subscribed(Struct, frozen=True, gc=False):
    """A lease that is nobody's token yet: whose it is, of which plan, and when it ends."""

    token: int
    subscriber: str
    plan: int
    expires_at: int


class CredentialLinked(Struct, frozen=True, gc=False):
    """A credential was minted to `recipient`, and carries the words that it is the lease's."""

    token: int
    credential: int
    recipient: str


class CredentialMoved(Struct, frozen=True, gc=False):
    """A credential has a new owner; of which lease it is, another fact says."""

    credential: int
    sender: str
    recipient: str


class KeysChanged(Struct, frozen=True, gc=False):
    """The owner's public keys are now these; empty means none."""

    token: int
    ssh_key: str
    encryption_key: str


class Delivered(Struct, frozen=True, gc=False):
    """The lease's time runs since `delivered_at`; until then, its expiry was provisional."""

    token: int
    delivered_at: int


class ConnectionPublished(Struct, frozen=True, gc=False):
    """How to get into the machine was said, sealed to whoever owned the lease; `blob` is 0x hex."""

    token: int
    blob: str


class UpgradeUpdated(Struct, frozen=True, gc=False):
    """The owner asks for plan `plan` until `deadline`, and has paid for it; plan 0: no upgrade."""

    token: int
    plan: int
    deadline: int


class PlanChanged(Struct, frozen=True, gc=False):
    """The lease is now of another plan; nothing else about it changed."""

    token: int
    plan: int


class ActionRequested(Struct, frozen=True, gc=False):
    """The owner asks for something; `kind` is the contract's number, `data` is 0x hex or empty."""

    token: int
    kind: int
    data: str


PlanEvent: TypeAlias = PlanDefined | PlanTerms
LeaseEvent: TypeAlias = (
    LeaseMinted
    | Transferred
    | Subscribed
    | CredentialLinked
    | ExpiryUpdated
    | KeysChanged
    | Delivered
    | ConnectionPublished
    | UpgradeUpdated
    | PlanChanged
    | ActionRequested
)
Event: TypeAlias = PlanEvent | LeaseEvent | CredentialMoved


@dataclass(frozen=True, slots=True)
class Block:
    """A block of the chain, by number, hash, parent's hash and timestamp (seconds)."""

    number: int
    hash: str
    parent: str
    timestamp: int


END_OF_BLOCK: Final = 2**32
"""The first log index behind every log that a block can hold.

What is known of the state at a block's end has its place there, in the order of the logs that it
was asked for.
"""


class Logged(Struct, frozen=True, gc=False):
    """An event and where it was said: (block hash, log index) is its key."""

    event: Event
    block: int
    block_hash: str
    log_index: int
    tx_hash: str

    @property
    def by_log(self) -> bool:
        """Whether a log said it; else the contract's state at the end of the block does."""
        return self.log_index < END_OF_BLOCK

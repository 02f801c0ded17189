"""What a chain can say about a lease, as frozen facts.

Every fact is absolute: replaying it, or seeing it twice, changes nothing. A profile turns logs into
these and nothing else; whoever adds one gets a type error in `domain.lease` until the fold knows
it. Amounts are uint256 and stay Python integers here; times are seconds, UTC, from the chain.
"""

from dataclasses import dataclass
from typing import TypeAlias

ZERO_ADDRESS = "0x" + "0" * 40


@dataclass(frozen=True, slots=True)
class PlanDefined:
    """What a plan is, for ever: kind 0 is a VM, 1 a container; memory MiB, disk GiB, grace s."""

    plan: int
    name: str
    kind: int
    cores: int
    memory_mib: int
    disk_gib: int
    grace: int


@dataclass(frozen=True, slots=True)
class PlanTerms:
    """On what terms a plan is sold now; the price is per second, in the token's smallest unit."""

    plan: int
    payment_token: str
    price_per_second: int
    cap: int
    on_sale: bool


@dataclass(frozen=True, slots=True)
class LeaseMinted:
    """Which plan a new lease is of, and what was paid for it."""

    token: int
    plan: int
    payer: str
    seconds: int
    paid: int


@dataclass(frozen=True, slots=True)
class Transferred:
    """The token has a new owner; from the zero address it was minted, to it it was burnt."""

    token: int
    sender: str
    recipient: str


@dataclass(frozen=True, slots=True)
class ExpiryUpdated:
    """The lease now ends at `expires_at`, whatever was said before."""

    token: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class KeysChanged:
    """The owner's public keys are now these; empty means none."""

    token: int
    ssh_key: str
    encryption_key: str


PlanEvent: TypeAlias = PlanDefined | PlanTerms
LeaseEvent: TypeAlias = LeaseMinted | Transferred | ExpiryUpdated | KeysChanged
Event: TypeAlias = PlanEvent | LeaseEvent


@dataclass(frozen=True, slots=True)
class Block:
    """A block of the chain, by number, hash, parent's hash and timestamp (seconds)."""

    number: int
    hash: str
    parent: str
    timestamp: int


@dataclass(frozen=True, slots=True)
class Logged:
    """An event and where it was said: (block hash, log index) is its key."""

    event: Event
    block: int
    block_hash: str
    log_index: int
    tx_hash: str

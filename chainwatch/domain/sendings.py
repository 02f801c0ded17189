"""What the daemon wants done on a chain, and how far that is: intents, and what was signed.

Law: an intent is wanted once for each (source, kind, lease, cause), and has one effect. It binds at
most one nonce at a time, and every transaction that was signed for it and may still be mined has
that nonce: so a chain takes one of them. A nonce is let go only when what used it is final.
"""

from dataclasses import dataclass, replace
from enum import StrEnum


class Kind(StrEnum):
    """What is done: `fill` uses up a nonce that would hold up all behind it."""

    DELIVER = "deliver"
    CANCEL = "cancel"
    BURN = "burn"
    MINT = "mint"
    FILL = "fill"


#: What takes something away from who holds the lease: a hold stops it.
TAKING = frozenset({Kind.CANCEL, Kind.BURN})


class State(StrEnum):
    """How far an intent is; `final` and `failed` are its ends."""

    WANTED = "wanted"
    SIGNED = "signed"
    BROADCAST = "broadcast"
    MINED = "mined"
    FINAL = "final"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Call:
    """What is sent to a contract: its address, the data (0x hex), wei."""

    to: str
    data: str
    value: int = 0


@dataclass(frozen=True, slots=True)
class Intent:
    """What is wanted, of which lease (its CAIP-19 id), and because of what."""

    source: str
    kind: Kind
    lease: str
    cause: str
    call: Call


@dataclass(frozen=True, slots=True)
class Offer:
    """What a transaction pays for a unit of gas, in wei: `cap` at most, of which `tip` on top.

    `tip` is None on a chain that knows one price only.
    """

    cap: int
    tip: int | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A signed transaction: `void` does nothing but use its nonce up.

    `signed_block` was the chain's head then, the other times are wall seconds.
    """

    hash: str
    raw: str
    nonce: int
    gas: int
    offer: Offer
    void: bool
    signed_at: int
    signed_block: int
    broadcast_at: int | None = None

    def most(self, value: int) -> int:
        """Return the most wei that it can cost."""
        return self.gas * self.offer.cap + (0 if self.void else value)


@dataclass(frozen=True, slots=True)
class Sending:
    """An intent and how far it is.

    `attempts` are what was signed for its present nonce, the oldest first; `block` is where one of
    them was mined. `why` says what it waits for, or how it ended; `reverts` counts what was mined
    in vain. `not_before` is wall seconds.
    """

    id: int
    intent: Intent
    chain_id: int
    state: State
    wanted_at: int
    signer: str | None = None
    nonce: int | None = None
    attempts: tuple[Attempt, ...] = ()
    block: int | None = None
    block_hash: str | None = None
    reverts: int = 0
    why: str | None = None
    not_before: int = 0
    done_at: int | None = None

    @property
    def last(self) -> Attempt:
        """What was signed last."""
        return self.attempts[-1]

    @property
    def flies(self) -> bool:
        """Whether something was signed for it that is not seen in a block."""
        return self.state in (State.SIGNED, State.BROADCAST)

    def but(self, **changes: object) -> "Sending":
        """Return it with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type] # names are the fields'

"""What the daemon wants done on a chain, and how far that is: intents, and what was signed.

Law: an intent is wanted once for each (source, kind, lease, cause), and has one effect. It binds at
most one nonce at a time, and every transaction that was signed for it and may still be mined has
that nonce: so a chain takes one of them. A nonce is let go only when what used it is final.
"""

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What is done: `fill` uses up a nonce that would hold up all behind it.

    `publish` tells anew how to get into a machine that was delivered; `upgrade` says that a machine
    is the larger one that was asked for, and `refuse` that it will not be.
    """

    DELIVER = "deliver"
    PUBLISH = "publish"
    UPGRADE = "upgrade"
    REFUSE = "refuse"
    CANCEL = "cancel"
    BURN = "burn"
    MINT = "mint"
    FILL = "fill"


#: How often what was mined may revert before the intent is given up, or let alone for long.
MOST_REVERTS: Final = 3
#: What takes something away from who holds the lease: a hold stops it.
TAKING = frozenset({Kind.CANCEL, Kind.BURN})
#: What is about one purchase: its cause begins with that purchase's nonce, 32 hex digits.
_OF_PURCHASE = frozenset(Kind) - {Kind.FILL}
_NONCE: Final = re.compile(r"[0-9a-f]{32}\b")
#: What answers a request: its cause goes on with what was asked for, and until when.
_ANSWERS: Final = frozenset({Kind.UPGRADE, Kind.REFUSE})
_ASKED: Final = re.compile(r"[0-9a-f]{32} \d+ until (\d+) of ")


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

    @property
    def purchase(self) -> str | None:
        """The nonce of the purchase that it is about; None where it is about the token alone."""
        found = _NONCE.match(self.cause) if self.kind in _OF_PURCHASE else None
        return None if found is None else found[0]

    @property
    def asked_until(self) -> int | None:
        """The deadline (chain time) of the request that it answers; None where it answers none."""
        found = _ASKED.match(self.cause) if self.kind in _ANSWERS else None
        return None if found is None else int(found[1])


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
    in vain. `not_before` is wall seconds. `present` is the nonce of the purchase that the journal
    has of the token now, '' where a reorg took it back, None where there was none; `settled` says
    that it is final, `asked` that the request that it answers is. `overtaken` says that a later
    intent tells its lease's owner the way in.
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
    present: str | None = None
    settled: bool = False
    asked: bool = False
    overtaken: bool = False

    @property
    def displaced(self) -> str | None:
        """Say why the token is not now what was meant, if so: a reorg may give it to others."""
        meant = self.intent.purchase
        if meant is None or self.present in (None, meant):
            return None
        if self.present == "":
            return "a reorg took back the purchase that it is about"
        return "a reorg gave the token to another purchase than the one that it is about"

    def early(self, final_time: int) -> str | None:
        """Say why a final block of that chain time ends nothing yet, whatever it misses, if so.

        Before the purchase that is meant is final there is no such token in it, and before the
        request is, no such request: either may still come into a block, also for the second time.
        A request can't at its deadline, for a later block would give it a later one.
        """
        intent, until = self.intent, self.intent.asked_until
        if not (intent.purchase is None or self.present is None or self.settled):
            return "it ends when the purchase that it is about is final"
        if not (until is None or self.asked or final_time >= until):
            return "it ends when the request that it answers is final, or its time over"
        return None

    @property
    def given_up(self) -> bool:
        """Whether it reverted too often to be sent again before an operator says so.

        It has not ended by that: what it is about may. A delivery is never given up, or who makes
        it revert would have a machine for nothing.
        """
        vain = self.reverts >= MOST_REVERTS and self.intent.kind is not Kind.DELIVER
        return vain and self.state is State.WANTED

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

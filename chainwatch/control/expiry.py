"""When a lease will want a pass by itself: the expiry loop, as two chain times on its row.

Nothing here acts. A pass that ends leaves the times at which chain time alone will change what is
desired; the commit that moves a source's cursor (or its finalized block) past one makes the key
due, in the same transaction. So a deadline can be neither missed nor acted on twice, and the wall
clock has no say.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from chainwatch.domain.desired import Facts, deadline
from provisioner.plan import Decision

#: The largest time that a row can hold; a lease "until for ever" needs no wake-up.
NEVER = 2**62


@dataclass(frozen=True, slots=True)
class Wakes:
    """Chain times (s) at which a lease is due: at the cursor, and at the finalized block."""

    at: int | None
    final_at: int | None


def wakes(facts: Facts, decisions: Iterable[Decision]) -> Wakes:
    """Return when a lease is due again by chain time.

    A lease that ended by the confirmed view and not yet by the finalized one is due when its end
    is final; a handover is due when the finalized block reaches what the cursor has seen.
    """
    finals = [decision.final_time for decision in decisions if decision.final_time is not None]
    final_time = facts.source.final_time
    if facts.lease != facts.final or facts.unripe:
        finals.append(facts.source.chain_time)
    if facts.lease and final_time is not None and facts.lease.expires_at > final_time:
        finals.append(facts.lease.expires_at)
    if final_time is not None:  # blocks may share a timestamp: what is due now was just decided
        finals = [max(at, final_time + 1) for at in finals]
    at, final_at = deadline(facts), min(finals, default=None)
    return Wakes(_representable(at), _representable(final_at))


def _representable(at: int | None) -> int | None:
    return at if at is not None and at < NEVER else None

"""How one source is read: where, how far behind the head, and what counts as final."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from chainwatch.domain.batches import Source

#: A tag of the chain, or a number of blocks behind its head.
Finality: TypeAlias = Literal["finalized", "safe"] | int


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """One source's endpoints and limits.

    `confirmations` and `max_range` are numbers of blocks; `poll_interval`, `stale_after` and
    `timeout` are seconds. `http` holds at least one URL, the preferred one first.
    """

    source: Source
    http: tuple[str, ...]
    ws: tuple[str, ...]
    confirmations: int
    finality: Finality
    poll_interval: float
    stale_after: float
    max_range: int
    timeout: float

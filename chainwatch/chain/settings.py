"""What a source needs to be read: where to ask, how sure to be, how much to ask at once.

Numbers that depend on the chain (confirmations, finality) and on the provider (range, timeout) are
settings; nothing else about reading is. A depth that is too small for its chain makes irreversible
what a reorg can still take back: prefer the tag wherever the chain has one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from chainwatch.domain.batches import Source
from chainwatch.domain.lease import Plan

Verify: TypeAlias = Literal["off", "bloom", "receipts"]
"""How a block's logs are held against its header: not at all, by its bloom, by its receipts."""

FinalityTag: TypeAlias = Literal["finalized", "safe"]
Finality: TypeAlias = FinalityTag | int
"""The block tag that the node calls final, or how many blocks below its head we call so."""


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """One source and how to read it.

    `confirmations` is blocks below the head; `poll_interval`, `stale_after` and `timeout` are
    seconds; `max_range` is the most blocks asked for in one `eth_getLogs`; each endpoint is asked
    `requests_per_second` at most, every call of a batch counted, or as often as it takes. Endpoint
    addresses may hold API keys: they are never shown beyond their host. `verify` is off only for a
    chain whose blooms are broken. `plan` is what every lease is sold as where the contract knows no
    plans, `sells` what those of each plan are where it has numbers for them and no hardware;
    `ignore_events` are signatures of events without meaning.
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
    requests_per_second: float | None = None
    verify: Verify = "bloom"
    plan: Plan | None = None
    sells: Mapping[int, Plan] = field(default_factory=dict)
    ignore_events: tuple[str, ...] = ()

    def sold(self, number: int | None) -> Plan | None:
        """What the configuration says that a lease of the contract's plan `number` is sold as."""
        return self.plan if number is None else self.sells.get(number, self.plan)

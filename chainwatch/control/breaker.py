"""The hypervisor as a whole: one alarm and one probe, however many leases wait.

When a call says that nothing can be said about any machine (no quorum, a revoked token, no route),
passes stop until a probe, a trusted snapshot of the cluster, succeeds. No lease is blamed for it.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final

import structlog

from chainwatch.runtime.clock import Clock
from chainwatch.store.alarms import Alarms
from provisioner.errors import ProvisionError
from provisioner.ports import Snapshots

log = structlog.get_logger(__name__)

#: Seconds between two probes of a hypervisor that is down.
PROBE_EVERY: Final = 3.0
ALARM: Final = "hypervisor-down"


@dataclass(slots=True)
class Breaker:
    """Open while the hypervisor is down; `reason` is the last sentence that said so."""

    snapshots: Snapshots
    alarms: Alarms
    clock: Clock
    reason: str | None = None
    _tripped: asyncio.Event = field(default_factory=asyncio.Event)
    _closed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._closed.set()

    async def trip(self, error: ProvisionError) -> None:
        """Stop passes because of `error`."""
        if self.reason is None:
            log.error("hypervisor down", error=str(error))
        self.reason = str(error)
        await self.alarms.raise_(ALARM, "", "critical", self.reason, self.clock.now())
        self._closed.clear()
        self._tripped.set()

    async def closed(self) -> None:
        """Return once passes may go on."""
        await self._closed.wait()

    async def run(self) -> None:
        """Probe for ever, while open."""
        await self.alarms.clear(ALARM, "")
        while True:
            await self._tripped.wait()
            if await self.probe():
                continue
            await self.clock.sleep(PROBE_EVERY)

    async def probe(self) -> bool:
        """Ask for a fresh snapshot; close when it can be trusted."""
        try:
            await self.snapshots.get(newer_than=self.clock.monotonic())
        except ProvisionError as error:
            await self.trip(error)
            return False
        log.info("hypervisor is back", after=self.reason)
        self.reason = None
        await self.alarms.clear(ALARM, "")
        self._tripped.clear()
        self._closed.set()
        return True

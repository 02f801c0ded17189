"""Whoever was proven wrong about a chain is named to the operator, for as long as it is not asked.

One alarm for each source, with the host and the reason of every endpoint in quarantine; it is
cleared when there is none, also when it was raised before a restart, which forgets all quarantines.
"""

from collections.abc import Sequence
from typing import Final

import structlog

from chainwatch.chain.rpc import Endpoints
from chainwatch.runtime.clock import Clock
from chainwatch.store.alarms import Alarms

log = structlog.get_logger(__name__)

ALARM: Final = "endpoint-quarantined"


class Quarantines:
    """Tells of the endpoints of one source."""

    def __init__(self, source: str, endpoints: Endpoints, alarms: Alarms, clock: Clock) -> None:
        self._source = source
        self._endpoints = endpoints
        self._alarms = alarms
        self._clock = clock
        self._told: Sequence[str] | None = None

    async def tell(self) -> None:
        """Raise, change or clear the alarm if something has changed since the last time."""
        proven = [
            f"{each.host} ({each.quarantined})"
            for each in self._endpoints.health()
            if each.quarantined is not None
        ]
        if proven == self._told:
            return
        self._told = proven
        if not proven:
            await self._alarms.clear(ALARM, self._source)
            return
        text = (
            f"proven wrong, and not asked while another endpoint can be: {', '.join(proven)}; "
            "compare it with a node you trust, and replace it if it was wrong"
        )
        log.error("endpoint quarantined", source=self._source, endpoints=proven)
        await self._alarms.raise_(ALARM, self._source, "critical", text, self._clock.now())

"""What a watched contract said that nobody could read: one alarm for each kind of event.

An alarm for each log would bury what matters, silence would hide that the contract is not the one
that it was taken for. So a kind is told once, with how many logs there were and the last of them.
Failure mode: the counts begin anew with the daemon; the alarm and its age do not.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import structlog

from chainwatch.chain.profiles.signatures import parse_event
from chainwatch.chain.settings import SourceSettings
from chainwatch.chain.unread import Unread
from chainwatch.runtime.clock import Clock
from chainwatch.store.alarms import Alarms

log = structlog.get_logger(__name__)

ALARM: Final = "unreadable-log"


@dataclass(slots=True)
class UnreadLogs:
    """Tells of the unread logs of one source; the alarm's subject is the source and the kind."""

    settings: SourceSettings
    alarms: Alarms
    clock: Clock
    _counts: dict[str, int] = field(default_factory=dict)

    async def settle(self) -> None:
        """Clear the alarms about events that the configuration has named as known since."""
        for signature in self.settings.ignore_events:
            await self.alarms.clear(ALARM, self._subject(f"0x{parse_event(signature).hex()}"))

    async def tell(self, found: Iterable[Unread]) -> None:
        """Raise the alarm of each kind, or keep it raised with the new count."""
        for unread in found:
            count = self._counts.get(unread.kind, 0) + unread.count
            self._counts[unread.kind] = count
            subject, text = self._subject(unread.kind), _text(count, unread)
            if await self.alarms.raise_(ALARM, subject, "warning", text, self.clock.now()):
                log.warning("log not read", source=self.settings.source.name, said=text)

    def _subject(self, kind: str) -> str:
        return f"{self.settings.source.name} {kind}"


def _text(count: int, unread: Unread) -> str:
    last = unread.last
    many = "a log" if count == 1 else f"{count} logs since the start"
    return (
        f"{many} could not be read, and nothing was done about it; the last is log "
        f"{last.log_index} of block {last.block} (transaction {last.tx_hash}): {last.reason}"
    )

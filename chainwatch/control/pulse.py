"""Whether the loop is alive: it beats, and somebody else counts the seconds since.

The same beat that keeps systemd's watchdog quiet answers `/healthz`, so both mean the same thing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from chainwatch.runtime.clock import Clock

#: Seconds without a beat after which the loop counts as stuck; beats come every few seconds.
STUCK_AFTER: Final = 45.0


@dataclass(slots=True)
class Pulse:
    """Beats go on to `tell` (systemd). The start counts as the first one."""

    clock: Clock
    tell: Callable[[], object]
    last: float | None = None

    def beat(self) -> None:
        """Note that the loop has come round."""
        self.last = self.clock.monotonic()
        self.tell()

    @property
    def silent_for(self) -> float:
        """Seconds since the last beat; 0 before the first."""
        return 0.0 if self.last is None else self.clock.monotonic() - self.last

    @property
    def alive(self) -> bool:
        """Whether the loop has come round lately."""
        return self.silent_for < STUCK_AFTER

"""What each source is worth right now, besides what is stored of it.

The database says how far a source was read; this says whether the daemon has looked since it
started and how long ago the chain last moved. A source that was never looked at, or whose chain
stands still, may give but takes nothing away. All of it is lost at a restart, on purpose.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from chainwatch.chain.settings import SourceSettings
from chainwatch.domain.batches import SourceState
from chainwatch.domain.desired import SourceView
from chainwatch.domain.events import Block
from chainwatch.runtime.clock import Clock


@dataclass(slots=True)
class SourceStatus:
    """The daemon's own view of one source; `moved_at` is monotonic seconds.

    `looked` turns true when the confirmed head has been reached once since the start; `trouble`
    is the last error of reading, None when the last look succeeded; `alone` why no second endpoint
    confirms what one reads, None when one does or none is configured, and `alone_since` since when
    that has kept `final` where it is;
    `told_stale` and `told_alone` are what the alarms say now, None before anything was told.
    """

    settings: SourceSettings
    clock: Clock
    moved_at: float
    looked: bool = False
    trouble: str | None = None
    alone: str | None = None
    alone_since: float | None = None
    final: Block | None = None
    told_stale: bool | None = None
    told_alone: bool | None = None

    def moved(self) -> None:
        """Note that the chain went on."""
        self.moved_at = self.clock.monotonic()

    def confirmed(self, alone: str | None, final: Block | None) -> None:
        """Note why no second endpoint confirms what is read, if none does, and what is final."""
        self.alone = alone
        if alone is None or final != self.final:
            self.alone_since, self.final = None, final
        elif self.alone_since is None:
            self.alone_since = self.clock.monotonic()

    @property
    def alone_for(self) -> float:
        """Seconds for which nothing has become final because no second endpoint confirmed it."""
        return 0.0 if self.alone_since is None else self.clock.monotonic() - self.alone_since

    @property
    def idle_for(self) -> float:
        """Seconds since the chain last went on."""
        return self.clock.monotonic() - self.moved_at

    @property
    def stale(self) -> bool:
        """Whether the chain has stood still for too long."""
        return self.idle_for >= self.settings.stale_after

    def reached(self, state: SourceState) -> bool:
        """Say whether a stored state reaches the confirmed head that was last seen."""
        if state.cursor is None:
            return False
        return state.cursor.number >= state.head - self.settings.confirmations

    def view(self, state: SourceState) -> SourceView:
        """Join what is stored with what is known since the start."""
        rereading = state.reread_to is not None
        caught_up = self.looked and self.reached(state) and not rereading
        return SourceView(
            chain_time=state.cursor.timestamp if state.cursor else 0,
            final_time=state.final.timestamp if state.final else None,
            caught_up=caught_up,
            live=caught_up and not self.stale,
            halted=state.halted is not None,
            rereading=rereading,
        )


Sources = Mapping[str, SourceStatus]

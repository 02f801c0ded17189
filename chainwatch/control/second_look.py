"""Looking a second time at what is stored and not final yet, while it can still be put right.

Every minute, and whenever the cursor has moved far, the unfinalized blocks are asked for again
(`chain/second_look.py`). What was stored wrongly is taken back to the block before, so that the
normal reading reads it again; the alarm names it. What has become final meanwhile is not taken back
but halts the source. Failure mode: on a chain that is final within seconds a look sees little, and
where nothing becomes final for long (nobody confirms it) only the newest of what is not; what is
missed so is for the audit, and for whoever confirms it in the end.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final

import structlog

from chainwatch.chain.second_look import Difference, SecondLook
from chainwatch.control.sources import SourceStatus
from chainwatch.domain.batches import Rewind, SourceState
from chainwatch.errors import SourceHalted, Transient
from chainwatch.runtime.clock import Clock
from chainwatch.store.alarms import Alarms
from chainwatch.store.journal import Journal
from chainwatch.store.samples import Samples, Window

log = structlog.get_logger(__name__)

ALARM: Final = "second-look"
#: Seconds between two looks, and how many blocks the cursor moves before the next is due at once.
EVERY: Final = 60.0
FAR: Final = 100
#: Blocks of a look: however long the window is, what is held and asked for stays within them.
MOST: Final = 256
#: Seconds for which an alarm is left standing, however often all was in order since.
REMEMBERED: Final = 3600.0


@dataclass(slots=True)
class WindowWatch:
    """The second looks at one source; `news` is set whenever it was read on."""

    status: SourceStatus
    second: SecondLook
    samples: Samples
    journal: Journal
    alarms: Alarms
    clock: Clock
    news: asyncio.Event = field(default_factory=asyncio.Event)
    _looked_to: int = -1
    _next: float = 0.0
    _quiet_at: float | None = 0.0

    @property
    def name(self) -> str:
        """The source's name."""
        return self.status.settings.source.name

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self._pause()
            try:
                if await self._due():
                    await self.look()
            except Transient as silent:
                log.debug("no second look", source=self.name, why=str(silent))

    async def look(self) -> Difference | None:
        """Look once, and put right what was found wrong; Transient when nobody tells again."""
        window = await self.samples.window(self.name, MOST)
        cursor = window.state.cursor
        if cursor is None or window.state.halted is not None:
            return None
        self._next, self._looked_to = self.clock.monotonic() + EVERY, cursor.number
        found = await self.second.look(window.blocks, window.events)
        if found is None:
            await self._all_in_order()
            return None
        await self.alarms.raise_(ALARM, self.name, "warning", found.text, self.clock.now())
        self._quiet_at = self.clock.monotonic() + REMEMBERED
        log.warning("second look", source=self.name, found=found.text)
        if found.proven:
            await self._take_back(window, found)
        return found

    async def _take_back(self, window: Window, found: Difference) -> None:
        before = [each for each in window.blocks if each.number < found.block.number]
        ancestor = before[-1] if before else window.floor
        head = _beyond(window.state, self.status.settings.confirmations)
        try:
            await self.journal.commit_rewind(self.name, Rewind(ancestor, head), self.clock.now())
        except SourceHalted as final:
            if (await self.journal.state(self.name)).halted is not None:
                return  # somebody else halted it meanwhile, and said why
            why = f"{found.text}; but by now it is final: {final}"
            await self.journal.halt(self.name, why)
            await self.alarms.raise_(ALARM, self.name, "critical", why, self.clock.now())

    async def _all_in_order(self) -> None:
        if self._quiet_at is not None and self.clock.monotonic() >= self._quiet_at:
            await self.alarms.clear(ALARM, self.name)
            self._quiet_at = None

    async def _due(self) -> bool:
        if self.clock.monotonic() >= self._next:
            return True
        cursor = (await self.journal.state(self.name)).cursor
        return cursor is not None and cursor.number >= self._looked_to + FAR

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(EVERY):
                await self.news.wait()
        except TimeoutError:
            pass
        self.news.clear()


def _beyond(state: SourceState, confirmations: int) -> int:
    """Return a head that the source has not reached once something is taken back."""
    return max(state.head, (state.cursor.number if state.cursor else 0) + confirmations)

"""Reads one source into the store, one committed step after the other, for ever.

Each step asks the scanner what comes after the stored cursor and commits the answer whole. A new
head only wakes the loop early. Errors of a node are the node's: they are told and tried again, and
time stands still meanwhile. A source that contradicts what was final halts, alone.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from chainwatch.chain.heads import HeadFeed
from chainwatch.chain.scanner import Scanner
from chainwatch.control.ahead import ReadAhead
from chainwatch.control.quarantine import Quarantines
from chainwatch.control.sources import SourceStatus
from chainwatch.control.unread import UnreadLogs
from chainwatch.domain.batches import Batch, Rewind, SourceState
from chainwatch.errors import Fatal, NotAChain, SourceHalted, Transient
from chainwatch.runtime.clock import Clock
from chainwatch.store.alarms import Alarms
from chainwatch.store.journal import Journal
from chainwatch.store.leases import Leases
from chainwatch.store.workqueue import WorkQueue

log = structlog.get_logger(__name__)

#: Seconds after which a source whose node fails is tried again.
RETRY_AFTER: Final = 2.0


@dataclass(frozen=True, slots=True)
class Ingest:
    """The reading of one source. `wake` tells the reconciler that there is work.

    `hint`, which the feed sets, ends a pause between two looks early.
    """

    status: SourceStatus
    scanner: Scanner
    ahead: ReadAhead
    journal: Journal
    leases: Leases
    work: WorkQueue
    alarms: Alarms
    clock: Clock
    quarantines: Quarantines
    feed: HeadFeed
    unread: UnreadLogs
    wake: Callable[[], None]
    hint: asyncio.Event

    @property
    def name(self) -> str:
        """The source's name."""
        return self.status.settings.source.name

    async def run(self) -> None:
        """Check the source, then read it for ever. Raises Fatal when it never was as configured."""
        await self.unread.settle()
        while not await self.is_fit():
            await self._tell_staleness()
            await self.clock.sleep(RETRY_AFTER)
        while True:
            moved = await self.attempt()
            await self._tell_staleness()
            await self._tell_solitude()
            await self.quarantines.tell()
            if not moved:
                await self._pause()

    async def is_fit(self) -> bool:
        """Say whether the source is as configured, as far as it answers.

        Raises Fatal for a source that is not, and that was never read: somebody mistyped something.
        One that was read once has an endpoint that went wrong, which stops no other source.
        """
        try:
            await self.scanner.check()
        except Transient as error:
            await self._trouble(str(error))
            return False
        except Fatal as error:
            if (await self.journal.state(self.name)).cursor is None:
                raise
            await self._trouble(str(error))
            return False
        return True

    async def attempt(self) -> bool:
        """Do one step and account for its errors; true when there may be more to read at once."""
        try:
            moved = await self.step()
        except Transient as error:
            await self._trouble(str(error))
            return False
        except SourceHalted as error:
            await self._halt(str(error))
            return False
        self.status.trouble = None
        await self.unread.tell(self.scanner.take_unread())
        return moved

    async def step(self) -> bool:
        """Read and commit what comes after the cursor; false when there is nothing new.

        Raises what the scanner raises.
        """
        state = await self.journal.state(self.name)
        if state.halted:
            return False
        before = self.status.view(state).live
        found = await self.ahead.next(state)
        if found is not None:
            state = await self._commit(state, found)
        self.status.confirmed(self.scanner.alone, state.final)
        self.feed.saw(state.head, state.cursor)
        self.status.looked |= found is None or self.status.reached(state)
        if self.status.view(state).live and not before:
            await self._went_live(state)
        return found is not None

    async def _commit(self, state: SourceState, found: Batch | Rewind) -> SourceState:
        wall = self.clock.now()
        if isinstance(found, Rewind):
            await self.journal.commit_rewind(self.name, found, wall)
            log.warning(
                "reorg", source=self.name, ancestor=found.ancestor and found.ancestor.number
            )
        else:
            commit = self.journal.commit_batch(self.name, found, wall)
            try:
                await self.ahead.beside(commit, state, found)
            except NotAChain:
                if (now := await self.journal.state(self.name)).cursor != state.cursor:
                    return now  # somebody had it read again meanwhile: no fault of this step
                raise
            self.status.moved()
            log.debug(
                "read", source=self.name, cursor=found.cursor.number, events=len(found.events)
            )
        self.wake()
        return await self.journal.state(self.name)

    async def _went_live(self, state: SourceState) -> None:
        """Make every lease due: what was put off while the source was behind or stale goes on."""
        await self.work.enqueue(await self.leases.ids(self.name), "its source has caught up")
        log.info("caught up", source=self.name, cursor=state.cursor and state.cursor.number)
        self.wake()

    async def _trouble(self, error: str) -> None:
        if self.status.trouble != error:
            log.warning("source cannot be read", source=self.name, error=error)
        self.status.trouble = error

    async def _halt(self, why: str) -> None:
        await self.journal.halt(self.name, why)
        await self.alarms.raise_("source-halted", self.name, "critical", why, self.clock.now())
        log.error("source halted", source=self.name, why=why)

    async def _tell_staleness(self) -> None:
        """Say that the chain stands still; where a source halted, that is not its chain's doing."""
        stale = self.status.stale and (await self.journal.state(self.name)).halted is None
        if stale is self.status.told_stale:
            return
        self.status.told_stale = stale
        if not stale:
            await self.alarms.clear("source-stale", self.name)
            return
        trouble = f" ({self.status.trouble})" if self.status.trouble else ""
        text = (
            f"no new block for {int(self.status.idle_for)} s{trouble}: nothing is taken away from "
            "its leases until its chain goes on; check the node"
        )
        await self.alarms.raise_("source-stale", self.name, "critical", text, self.clock.now())

    async def _tell_solitude(self) -> None:
        """Say that nothing more becomes final: a buyer of a lease waits for that to be let in."""
        alone = self.status.alone_for >= self.status.settings.stale_after
        if alone is self.status.told_alone:
            return
        self.status.told_alone = alone
        if not alone:
            await self.alarms.clear("source-unconfirmed", self.name)
            return
        text = (
            f"no second endpoint has confirmed it for {int(self.status.alone_for)} s "
            f"({self.status.alone}): it is read on, but nothing more becomes final, so nothing is "
            "destroyed and no new owner let in; bring a second endpoint back, or replace it"
        )
        await self.alarms.raise_(
            "source-unconfirmed", self.name, "critical", text, self.clock.now()
        )

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self.status.settings.poll_interval):
                await self.hint.wait()
        except TimeoutError:
            pass
        self.hint.clear()

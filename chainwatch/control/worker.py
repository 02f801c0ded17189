"""Takes due keys and gives each a pass: serially for a lease, in parallel across leases.

A push (`wake`) only makes it look sooner; the queue is the truth. One boundary here catches what
nobody foresaw, so that one lease's bug never stops the others: it is logged with its trace, told as
an alarm and tried again with backoff.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Final

import structlog

from chainwatch.control.breaker import Breaker
from chainwatch.control.expiry import Wakes
from chainwatch.control.nodes import NodeWatch
from chainwatch.control.passes import Outcome, Pass
from chainwatch.control.promises import Later, Promises
from chainwatch.control.reconciler import Reconciler
from chainwatch.control.sights import Sights
from chainwatch.control.verdict import (
    ALARMS,
    FAILING,
    LONGEST_BACKOFF,
    Done,
    Failed,
    Notice,
    Parked,
    Verdict,
    notices,
    recovered,
    verdict,
)
from chainwatch.runtime.clock import Clock
from chainwatch.store.alarms import Alarms
from chainwatch.store.dealings import Owed
from chainwatch.store.leases import Leases
from chainwatch.store.workqueue import WorkItem, WorkQueue
from provisioner.errors import Crowded, HypervisorDown, NodeDown, NoRoom
from provisioner.steps.clone import CLONE
from provisioner.terms import LINKED, Cloning

log = structlog.get_logger(__name__)

#: The longest that the queue is left unread, in seconds, when nothing wakes the worker.
_IDLE: Final = 5.0
#: Seconds until a key whose pass found the hypervisor down has its turn again: what the probe does
#: not see (a single missing privilege) must not become a loop.
AFTER_DOWN: Final = 3
#: After so many seconds without getting on a lease is looked at seldom, and later told of.
RESTLESS: Final = 60
SELDOM: Final = 10
TOO_LONG: Final = 600
#: What is waited for without anything being wrong with the lease: it is not stuck.
WAITING: Final = (Crowded, NodeDown, NoRoom)


@dataclass(slots=True)
class Worker:
    """Runs passes, at most `width` at once; `bell` is rung when there is work.

    `begun` is called when a pass has begun a task. What comes again sooner than whole seconds can
    tell, the clock of the queue, is remembered here too: that is a hint, and may be lost. `cloning`
    is how machines are cloned whose plan does not say.
    """

    reconciler: Reconciler
    work: WorkQueue
    leases: Leases
    alarms: Alarms
    breaker: Breaker
    nodes: NodeWatch
    clock: Clock
    bell: asyncio.Event
    width: int
    begun: Callable[[], None]
    sights: Sights
    promises: Promises
    cloning: Cloning = LINKED
    _busy: set[str] = field(default_factory=set)
    _restless: dict[str, float] = field(default_factory=dict)
    _alarmed: set[tuple[str, str]] = field(default_factory=set)
    _soon: dict[str, float] = field(default_factory=dict)

    async def run(self) -> None:
        """Work for ever."""
        self._alarmed |= {(alarm.name, alarm.subject) for alarm in await self.alarms.all()}
        async with asyncio.TaskGroup() as passes:
            while True:
                await self.breaker.closed()
                self.bell.clear()
                items = await self._next()
                for item in items:
                    self._busy.add(item.key)
                    passes.create_task(self._one(item), name=f"pass {item.key}")
                if not items:
                    await self._rest()

    async def process(self, item: WorkItem) -> None:
        """Give one key a pass and settle what becomes of it."""
        self._soon.pop(item.key, None)
        try:
            outcome = await self.reconciler.reconcile(item.key)
            found = await self.promises.of(outcome)
        except Exception as error:
            # The one boundary: a bug in one lease's pass must not stop the others.
            log.exception("pass failed", lease=item.key)
            await self._unforeseen(item, error)
            return
        down = next(
            (each.error for each in outcome.passes if isinstance(each.error, HypervisorDown)), None
        )
        if down is not None:
            await self.breaker.trip(down)
            await self.work.done(item, self.clock.now() + AFTER_DOWN)
            return
        for each in outcome.passes:
            if isinstance(each.error, NodeDown):
                await self.nodes.tell(each.error)
        if any(each.waiting for each in outcome.passes):
            self.begun()
        owed = found if isinstance(found, Owed) else None
        if isinstance(found, Later):
            outcome = replace(outcome, wakes=_also(outcome, found.after))
        judged = verdict(outcome, item.attempts)
        if outcome.through:
            judged = Done(None)  # what it comes to is seen when its turn to be looked at has come
        if owed is not None and owed.refused is not None:
            judged = Done(0)  # what can't be done is not wanted any more
        self._note(item.key, outcome)
        await self._settle(item, outcome, judged, owed)
        if owed is not None:
            self.promises.ring(owed.intent.source)
        await self._call_the_next()

    def _note(self, lease: str, outcome: Outcome) -> None:
        """Remember what a lease looks like for which nothing is left to do, for the next sweep."""
        if outcome.through:
            seen = [each.seen for each in outcome.passes if each.seen is not None]
            self.sights.note(lease, seen, self.clock.monotonic())
        else:
            self.sights.forget(lease)

    async def _one(self, item: WorkItem) -> None:
        try:
            await self.process(item)
        finally:
            self._busy.discard(item.key)
            self.bell.set()

    async def _call_the_next(self) -> None:
        """Make due who waits for a clone's place, where a pass may have left one free."""
        waiting = await self.reconciler.executor.call_in(self.clock.now())
        if waiting:
            await self.work.enqueue(waiting, "there is a place for its clone")

    async def _rest(self) -> None:
        now = self.clock.now()
        due = await self.work.next_due(now)
        seconds = _IDLE if due is None else min(_IDLE, max(due - now, 0.05))
        if self._soon:
            seconds = min(seconds, max(0.0, min(self._soon.values()) - self.clock.monotonic()))
        try:
            async with asyncio.timeout(seconds):
                await self.bell.wait()
        except TimeoutError:
            pass

    async def _next(self) -> list[WorkItem]:
        """Return whose turn it is, as many as may have a pass now."""
        free = self.width - len(self._busy)
        if not free:
            return []
        at = self.clock.monotonic()
        early = [key for key, soon in self._soon.items() if soon <= at and key not in self._busy]
        early = early[:free]
        for key in early:
            del self._soon[key]
        return await self.work.due(self.clock.now(), free, self._busy, early)

    async def _settle(
        self, item: WorkItem, outcome: Outcome, judged: Verdict, owed: Owed | None
    ) -> None:
        _tell(item.key, outcome, judged)
        if outcome.facts is not None and outcome.passes:
            await self.leases.set_wakes(
                str(outcome.facts.id), outcome.wakes.at, outcome.wakes.final_at
            )
        await self._sound(item.key, outcome, judged)
        judged = await self._patiently(item.key, outcome, judged)
        now, also = self.clock.now(), owed.write if owed else None
        match judged:
            case Done(after):
                await self.work.done(item, None if after is None else now + ceil(after), also)
                if after:
                    self._soon[item.key] = self.clock.monotonic() + after
            case Failed(error, after):
                await self.work.failed(item, error, now + after, also)
            case Parked(reason):
                await self.work.park(item, reason, now, also)

    async def _patiently(self, lease: str, outcome: Outcome, judged: Verdict) -> Verdict:
        """Look less often at what does not get on, and tell of it after a while.

        Who waits for a node or for room has an alarm already, and who waits for his turn is called.
        """
        moves = any(
            (each.acted and each.error is None)
            or isinstance(each.error, WAITING)
            or each.cramped is not None
            for each in outcome.passes
        )
        if moves or not isinstance(judged, Done) or judged.after is None:
            self._restless.pop(lease, None)
            return judged
        waited = self.clock.monotonic() - self._restless.setdefault(lease, self.clock.monotonic())
        if waited >= TOO_LONG + max(map(self._copying, outcome.passes), default=0):
            text = f"for {int(waited) // 60} min: {outcome.sentence}; {_where_to_look(outcome)}"
            await self._raise(lease, Notice("stuck", "warning", text))
        return Done(max(judged.after, SELDOM)) if waited >= RESTLESS else judged

    def _copying(self, each: Pass) -> int:
        """Return the seconds that a machine's whole copy may take while nothing is wrong."""
        operation = each.seen and each.seen.operation
        if not operation or operation.step != CLONE.name or each.want.spec is None:
            return 0
        cloning = each.want.terms.cloning or self.cloning
        return cloning.allowance(each.want.spec.disk_gib)

    async def _unforeseen(self, item: WorkItem, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}; this is a bug, its trace is in the log"
        await self._raise(item.key, Notice(FAILING, "critical", text))
        after = min(2 ** min(item.attempts, 10), LONGEST_BACKOFF)
        await self.work.failed(item, text, self.clock.now() + after)

    async def _sound(self, lease: str, outcome: Outcome, judged: Verdict) -> None:
        sounding = set()
        for notice in notices(outcome, judged):
            await self._raise(lease, notice)
            sounding.add(notice.name)
        over = ALARMS if outcome.through else (FAILING,) if recovered(outcome) else ()
        for name in over:
            if name not in sounding and (name, lease) in self._alarmed:
                await self.alarms.clear(name, lease)
                self._alarmed.discard((name, lease))

    async def _raise(self, lease: str, notice: Notice) -> None:
        await self.alarms.raise_(notice.name, lease, notice.severity, notice.text, self.clock.now())
        self._alarmed.add((notice.name, lease))


def _also(outcome: Outcome, after: int) -> Wakes:
    """Return when a lease is due again that is due in `after` seconds besides."""
    wakes, facts = outcome.wakes, outcome.facts
    if facts is None:
        return wakes
    at = facts.source.chain_time + after
    return Wakes(at if wakes.at is None else min(at, wakes.at), wakes.final_at)


def _where_to_look(outcome: Outcome) -> str:
    """Return what somebody should look at who is told that a machine does not get on."""
    seen = [each.seen for each in outcome.passes if each.seen is not None]
    if any(each.operation is not None and not each.ask_in for each in seen):
        return "look at the task's log, and stop the task if nothing moves"
    if any(each.ask_in for each in seen):
        return "look at its console: does it boot, and does its guest agent start?"
    return "look at the machine and its node"


def _tell(lease: str, outcome: Outcome, judged: Verdict) -> None:
    level = log.warning if isinstance(judged, Failed | Parked) else log.info
    acted = any(each.acted for each in outcome.passes)
    if isinstance(judged, Done) and not acted:
        level = log.debug
    level("pass", lease=lease, decided=outcome.sentence, then=type(judged).__name__.lower())

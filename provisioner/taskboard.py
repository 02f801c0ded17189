"""How tasks ended, asked for once: what the poller saw is what the passes read.

A task of which nothing is known counts as running: the poller looks at the open ones, and wakes
whoever waits when one has ended. So no pass asks for a task itself, and one look serves every
machine on a node, however often its lease is passed meanwhile. When the next look is worth its
call follows from how long tasks of the kind took last; many that may end soon share a look. Whole
copies take minutes and more, and are clones like the others: what is long is learnt apart, and
looked for on its way seldom, at ages that grow fourfold. What was learnt is lost at a restart, and
costs a few calls to learn again.
"""

import math
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from provisioner.foresight import Foresight
from provisioner.ports import Hypervisor, TaskState
from provisioner.tasklists import TaskLists
from provisioner.upids import kind_of, node_of

_KEPT: Final = 4096
#: The least and the greatest time between two looks at one task, in seconds.
LEAST: Final = 0.05
LONGEST: Final = 2.0
#: The share of a task's age after which one that has not ended as expected is looked at again.
LATE: Final = 0.02
#: The same for one of a kind that is not known.
UNKNOWN: Final = 0.1
#: From this age on a task is a long one, and that share of its age is what a look may come late.
LONG: Final = 120.0
LENIENT: Final = 0.05
#: How much older a task is at each look on its way to an end that is far.
STRIDE: Final = 4.0
#: After so many times its usual age one that should have been short is taken for a long one.
OVERDUE: Final = 2.0
#: So many tasks that may end soon wait for a whole tick, so that one look serves them all.
COMPANY: Final = 2


@dataclass(slots=True)
class _Watched:
    """A running task: since when it is watched, its age when last looked at, the next look.

    `inherited` ones ran before anybody looked. Monotonic seconds.
    """

    since: float
    next_at: float
    inherited: bool
    running: float = 0.0
    looks: int = 0


@dataclass(frozen=True, slots=True)
class _Ended:
    """A task that was seen to have ended at `at`; `exact` ones were watched from their begin."""

    state: TaskState
    at: float
    exact: bool


class TaskBoard:
    """The tasks that this process has seen run and end, the last few thousand of them.

    `monotonic` tells seconds; `tick` is how long at most a look waits for company.
    """

    def __init__(
        self, hypervisor: Hypervisor, monotonic: Callable[[], float], tick: float = 1.0
    ) -> None:
        self._hypervisor, self._monotonic, self._tick = hypervisor, monotonic, tick
        #: What the passes ask for where the end of a task alone does not do.
        self.lists: Final = TaskLists(hypervisor, monotonic)
        self._ended: OrderedDict[str, _Ended] = OrderedDict()
        self._watched: dict[str, _Watched] = {}
        self._looked: dict[str, float] = {}
        self._lasts: defaultdict[tuple[str, str, bool], Foresight] = defaultdict(Foresight)

    def state(self, upid: str) -> TaskState:
        """Return where a task stood at the last look; asks nobody."""
        known = self._ended.get(upid)
        return known.state if known else TaskState(running=True)

    def ended_for(self, upid: str) -> float | None:
        """Return for how many seconds a task has ended, as far as this process saw it run."""
        known = self._ended.get(upid)
        return self._monotonic() - known.at if known and known.exact else None

    def seen_for(self, upid: str) -> float | None:
        """Return for how many seconds a task has been seen to have ended."""
        known = self._ended.get(upid)
        return self._monotonic() - known.at if known else None

    def inherit(self, upids: Iterable[str]) -> None:
        """Watch tasks that ran before: how long they take is nothing to learn from."""
        for upid in upids:
            self._watch(upid, inherited=True)

    def due_in(self, upids: Iterable[str]) -> float:
        """Return the seconds until tasks of one node are worth a look; at most a tick."""
        now, open_ones = self._monotonic(), [upid for upid in upids if upid not in self._ended]
        for upid in open_ones:
            self._watch(upid)
        if not open_ones:
            return self._tick
        first = min(self._watched[upid].next_at for upid in open_ones)
        looked = self._looked.get(node_of(open_ones[0]), -self._tick)
        soon = sum(self._watched[upid].next_at <= looked + self._tick for upid in open_ones)
        company = self._tick * min(1.0, (soon - 1) / (COMPANY - 1))
        return min(self._tick, max(0.0, first - now, looked + company - now))

    async def look(self, upids: Iterable[str]) -> frozenset[str]:
        """Look at tasks of one node in one call; returns those that have ended since."""
        open_ones = [upid for upid in upids if upid not in self._ended]
        if not open_ones:
            return frozenset()
        asked_at = self._looked[node_of(open_ones[0])] = self._monotonic()
        for upid in open_ones:
            self._watch(upid)
            self._put_off(upid, asked_at)
        states = await self._hypervisor.task_states(open_ones)
        ended = {upid: state for upid, state in states.items() if not state.running}
        for upid in states.keys() - ended.keys():
            watched = self._watched.get(upid)
            if watched is not None:
                watched.running = max(watched.running, asked_at - watched.since)
        for upid, state in ended.items():
            self._learn(upid, state)
        while len(self._ended) > _KEPT:
            self._ended.popitem(last=False)
        while len(self._watched) > _KEPT:  # operations that were closed without their tasks
            del self._watched[next(iter(self._watched))]
        return frozenset(ended)

    def _watch(self, upid: str, *, inherited: bool = False) -> None:
        if upid in self._watched or upid in self._ended:
            return
        now, last = self._monotonic(), self._last(upid)
        expected = last.expected
        if expected is None:
            wait = UNKNOWN if self._end(upid) is None else STRIDE
        else:
            wait = last.scouted(max(LEAST, LATE * expected)) or expected
        self._watched[upid] = _Watched(now, now + (0 if inherited else wait), inherited)

    def _put_off(self, upid: str, now: float) -> None:
        """Say when to look again at a task that is being looked at now, should it still run."""
        watched, expected, end = self._watched[upid], self._last(upid).expected, self._end(upid)
        known = expected is not None or end is not None
        if known and watched.next_at > now:
            return  # others had it looked at; its own time has not come
        age = now - watched.since
        far = end is not None and age < end - LEAST
        if far and (expected is None or age > OVERDUE * expected):
            watched.looks = 0
            watched.next_at = watched.since + min(end or age, _stride(age))
            return
        pause = age * LATE * 2**watched.looks if known else age * UNKNOWN
        longest = LONGEST if age < LONG else max(LONGEST, age * LENIENT)
        watched.looks = min(watched.looks + 1, 10)
        watched.next_at = now + min(max(pause, LEAST if known else UNKNOWN), longest)

    def _learn(self, upid: str, state: TaskState) -> None:
        watched, now = self._watched.pop(upid, None), self._monotonic()
        if watched is None or watched.inherited:
            self._ended[upid] = _Ended(state, now, exact=False)
            return
        self._ended[upid] = _Ended(state, now, exact=True)
        if state.error is None:
            age = now - watched.since
            self._last(upid, long=age >= LONG).learn(watched.running, age)

    def _last(self, upid: str, *, long: bool = False) -> Foresight:
        return self._lasts[kind_of(upid), node_of(upid), long]

    def _end(self, upid: str) -> float | None:
        """Return the age at which a long task of the kind should end; None if none was seen."""
        last = self._last(upid, long=True)
        expected = last.expected
        return expected and (last.scouted(LATE * expected) or expected)


def _stride(age: float) -> float:
    """Return the next age at which to look at a task that may be a long one."""
    return STRIDE ** (math.floor(math.log(max(age, 1.0) + 1, STRIDE)) + 1)

"""Virtual time: what is due, the scripts that wait for it, and the locks they wait on.

Whatever takes time (a task, a request that waits for a lock) is a script: a generator that yields
`Sleep` or `Hold` and is resumed when that is over. Everything due runs in order of time and then of
arrival, so the same calls give the same history. Time only moves through `advance_to`; a script
that would read a wall clock or roll real dice breaks the one promise this module makes.
"""

import heapq
import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeAlias, TypeVar

from provisioner.simulator.wire import Refused

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait for so many seconds; infinity is for ever (until interrupted)."""

    seconds: float


@dataclass(eq=False, slots=True)
class Hold:
    """Wait for a named lock, at most `patience` seconds; `refusal` is what is raised then.

    Shared holds go together, as `flock` has it; whoever got the lock must `release` it.
    """

    name: str
    refusal: str
    patience: float = 10.0
    shared: bool = False


Script: TypeAlias = Generator[Sleep | Hold, None, T]


class Locks:
    """Who holds which lock, and who queues for it; first come, first served."""

    def __init__(self) -> None:
        self._held: dict[str, list[Hold]] = {}
        self._queue: dict[str, list[tuple[Hold, Callable[[], None]]]] = {}

    def free(self, name: str, *, shared: bool = False) -> bool:
        """Say whether a hold on `name` would be granted at once."""
        if self._queue.get(name):
            return False
        held = self._held.get(name)
        return not held or (shared and all(hold.shared for hold in held))

    def take(self, hold: Hold, granted: Callable[[], None]) -> bool:
        """Grant `hold` now, or queue it; `granted` is called when its turn comes."""
        if self.free(hold.name, shared=hold.shared):
            self._held.setdefault(hold.name, []).append(hold)
            return True
        self._queue.setdefault(hold.name, []).append((hold, granted))
        return False

    def release(self, hold: Hold) -> None:
        """Let go of `hold`, granted or still queued, and grant whoever is next."""
        held = self._held.get(hold.name, [])
        if hold in held:
            held.remove(hold)
        waiting = [entry for entry in self._queue.get(hold.name, []) if entry[0] is not hold]
        while waiting and (not held or (waiting[0][0].shared and all(h.shared for h in held))):
            following, granted = waiting.pop(0)
            held.append(following)
            granted()
        self._keep(self._held, hold.name, held)
        self._keep(self._queue, hold.name, waiting)

    @staticmethod
    def _keep(table: dict[str, list[T]], name: str, entries: list[T]) -> None:
        if entries:
            table[name] = entries
        else:
            table.pop(name, None)


class Timeline:
    """The virtual clock (`now`, seconds since the epoch) and everything that is due on it."""

    def __init__(self, start: float) -> None:
        self.now = start
        self.locks = Locks()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._arrivals = 0

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Have `action` called in `seconds` from now."""
        self._arrivals += 1
        heapq.heappush(self._due, (self.now + seconds, self._arrivals, action))

    def next_due(self) -> float | None:
        """Return when the next thing is due, or None when nothing is."""
        return self._due[0][0] if self._due else None

    def advance_to(self, moment: float) -> None:
        """Move time forward to `moment`, running what is due on the way; never backwards."""
        while self._due and self._due[0][0] <= moment:
            due, _, action = heapq.heappop(self._due)
            self.now = max(self.now, due)
            action()
        self.now = max(self.now, moment)

    def spawn(
        self, script: Script[T], ended: Callable[[T | None, Refused | None], None]
    ) -> "Process[T]":
        """Run `script`; `ended` gets its value, or the refusal that ended it."""
        process = Process(self, script, ended)
        process.resume()
        return process


class Process(Generic[T]):
    """One running script."""

    def __init__(
        self,
        timeline: Timeline,
        script: Script[T],
        ended: Callable[[T | None, Refused | None], None],
    ) -> None:
        self.running = True
        self._timeline = timeline
        self._script = script
        self._ended = ended
        self._turn = 0
        self._hold: Hold | None = None

    def interrupt(self, refusal: Refused) -> None:
        """Raise `refusal` inside the script, wherever it waits."""
        if self.running:
            self.resume(refusal)

    def abandon(self) -> None:
        """Drop the script where it is: its locks are freed, nothing else is cleaned up."""
        self.running = False
        if self._hold is not None:
            self._timeline.locks.release(self._hold)
        self._script.close()

    def resume(self, refusal: Refused | None = None) -> None:
        """Go on until the script waits again or ends."""
        self._turn += 1
        if refusal is not None and self._hold is not None:
            self._timeline.locks.release(self._hold)
        self._hold = None
        try:
            while not self._wait_for(self._next(refusal)):
                refusal = None
        except StopIteration as stop:
            self.running = False
            self._ended(stop.value, None)
        except Refused as refused:
            self.running = False
            self._ended(None, refused)

    def _next(self, refusal: Refused | None) -> Sleep | Hold:
        return next(self._script) if refusal is None else self._script.throw(refusal)

    def _wait_for(self, wait: Sleep | Hold) -> bool:
        """Arrange to be resumed after `wait`; False when it is over at once."""
        turn = self._turn
        if isinstance(wait, Sleep):
            if wait.seconds < math.inf:
                self._timeline.after(wait.seconds, partial(self._wake, turn, None))
            return True
        granted = partial(self._timeline.after, 0.0, partial(self._wake, turn, None))
        if self._timeline.locks.take(wait, granted):
            return False
        self._hold = wait
        late = Refused(wait.refusal)
        self._timeline.after(wait.patience, partial(self._wake, turn, late))
        return True

    def _wake(self, turn: int, refusal: Refused | None) -> None:
        if self.running and turn == self._turn:
            self.resume(refusal)

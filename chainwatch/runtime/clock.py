"""The one home of time: what a clock is, the real one, and one that a test turns by hand.

Wall time only schedules wake-ups and dates records; whether a lease has expired is asked of the
chain. Durations are measured on the monotonic clock, which no administrator moves. How it fails: a
host whose wall clock jumps dates its records wrongly and takes nothing from anybody.
"""

import asyncio
import heapq
import time
from itertools import count
from typing import Final, Protocol


class Clock(Protocol):
    """Time as the daemon may ask for it."""

    def now(self) -> int:
        """Return the wall time in whole seconds since 1970, UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds since some fixed moment; only differences mean anything."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of this clock's time; at once, but not before others had a turn,
        for zero and less.
        """
        ...


class SystemClock:
    """The clock of this host."""

    def now(self) -> int:
        return int(time.time())

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


#: Turns of the event loop that a woken sleeper gets before the next one wakes.
_TURNS: Final = 64


class VirtualClock:
    """A clock that stands still until `advance`, and then wakes its sleepers in order.

    Those who wake at the same moment wake in the order in which they went to sleep, and each has
    run until it waits again before the next one wakes, as long as it only waits for what the event
    loop itself provides (not for threads or sockets).
    """

    def __init__(self, start: int = 1_800_000_000) -> None:
        self._start = start
        self._elapsed = 0.0
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> int:
        return self._start + int(self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    @property
    def sleepers(self) -> int:
        """How many sleep at this moment."""
        return sum(not waiter.done() for _, _, waiter in self._sleepers)

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (self._elapsed + seconds, next(self._order), waiter)
        heapq.heappush(self._sleepers, entry)
        await waiter

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass, waking everybody who is due on the way, late sleepers included."""
        if seconds < 0:
            raise ValueError("time does not run backwards")
        until = self._elapsed + seconds
        await _settle()
        while self._sleepers and self._sleepers[0][0] <= until:
            due, _, waiter = heapq.heappop(self._sleepers)
            if waiter.done():  # its sleeper was cancelled
                continue
            self._elapsed = due
            waiter.set_result(None)
            await _settle()
        self._elapsed = until


async def _settle() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)

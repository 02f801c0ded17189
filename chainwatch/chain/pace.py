"""Our own ceiling on how often an endpoint is asked: whoever wants to ask waits for their turn.

Turns are given in the order in which they were asked for, and at most so many in any stretch of
time, however it is laid: a provider that counts by the clock's seconds sees no more than one that
counts by its own. Who gives up while waiting takes no turn and holds up nobody. Clock and sleep are
handed in. How it fails: a ceiling that is too low makes a source slow, which its chain time says.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final

_GRAIN_S: Final = 1e-6
"""What rounding may take from a wait."""


class Pace:
    """Turns for at most `per_second` calls a second; `now` and `sleep` are in seconds."""

    def __init__(
        self,
        per_second: float,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self.most = max(1, int(per_second))
        """The most calls that one turn can have."""
        self._stretch = self.most / per_second
        self._now = now
        self._sleep = sleep
        self._queue = asyncio.Lock()
        self._taken: deque[tuple[float, int]] = deque()
        self._spent = 0

    async def turn(self, calls: int) -> None:
        """Return when `calls`, at most `most`, may be made."""
        async with self._queue:
            while (wait := self._wait(calls)) > 0:
                await self._sleep(wait)
            self._taken.append((self._now(), calls))
            self._spent += calls

    def _wait(self, calls: int) -> float:
        """Seconds until enough of the last stretch's turns are over; 0 when they are."""
        now = self._now()
        while self._taken and self._taken[0][0] + self._stretch <= now + _GRAIN_S:
            self._spent -= self._taken.popleft()[1]
        wait, left = 0.0, self._spent
        for at, made in self._taken:
            if left + calls <= self.most:
                break
            wait, left = at + self._stretch - now, left - made
        return wait


class Paces:
    """The turns of all addresses that have a ceiling (calls a second), on the loop's time.

    Whoever asks at one address takes turns with all others who do, whatever source they read.
    """

    def __init__(self, ceilings: Mapping[str, float] = MappingProxyType({})) -> None:
        self._paces = {url: Pace(most, _now, asyncio.sleep) for url, most in ceilings.items()}

    def of(self, url: str) -> Pace | None:
        """The turns at an address, None where we may ask as often as it takes."""
        return self._paces.get(url)


def _now() -> float:
    return asyncio.get_running_loop().time()

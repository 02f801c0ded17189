"""An event loop in which work takes the time that it takes, and waiting takes none.

Its clock is the machine's, and jumps to the next timer whenever nothing else is left to do: ten
minutes of an idle daemon pass in the time that its own work needs, and everything that it computes,
reads and commits still counts. A statement of the database runs in a thread and is work, so the
clock does not jump while one is under way. How it fails: whoever waits for a socket waits for
something that the loop cannot see coming, so nothing here may use one.
"""

import asyncio
import selectors
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, ParamSpec, TypeVar
from unittest.mock import patch

import aiosqlite

from chainwatch.store.database import _Writer
from provisioner.backends.proxmox.api import JsonValue, ParamValue
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.direct import DirectApi

P = ParamSpec("P")
T = TypeVar("T")

Events = list[tuple[selectors.SelectorKey, int]]


class _Selector(selectors.DefaultSelector):
    """Waits for nothing but what a thread is doing, and says how long it did not wait."""

    skipped = 0.0
    threads = 0

    def select(self, timeout: float | None = None) -> Events:
        if timeout is None or timeout <= 0 or self.threads:
            return super().select(timeout)
        if found := super().select(0):
            return found
        self.skipped += timeout
        return []


class SkippingLoop(asyncio.SelectorEventLoop):
    """See above; `threads` are counted by `counted`."""

    def __init__(self) -> None:
        self.selector: Final = _Selector()
        super().__init__(self.selector)

    def time(self) -> float:
        return super().time() + self.selector.skipped


class LoopClock:
    """The daemon's clock on such a loop; wall time begins at `start`."""

    def __init__(self, start: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._zero = self._loop.time() - start

    def now(self) -> int:
        return int(self.wall())

    def wall(self) -> float:
        """Return the wall time in seconds, with its fraction."""
        return self._loop.time() - self._zero

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class LiveApi:
    """A simulated cluster that has always come as far as `clock` says.

    What it works itself is nobody's time: the loop's clock stands still meanwhile.
    """

    def __init__(self, cluster: Cluster, clock: LoopClock) -> None:
        self._cluster, self._clock = cluster, clock
        self._direct = DirectApi(cluster, sleep=asyncio.sleep)
        cluster.submit = _unpaid(cluster.submit)  # type: ignore[method-assign] # its own work is timed
        cluster.advance_to = _unpaid(cluster.advance_to)  # type: ignore[method-assign] # its own work is timed

    async def call(
        self,
        method: str,
        path: str,
        params: Mapping[str, ParamValue] | None = None,
        *,
        slow: bool = False,
    ) -> JsonValue:
        """Pass the call on."""
        self._cluster.advance_to(self._clock.wall())
        return await self._direct.call(method, path, params, slow=slow)


def _unpaid(work: Callable[P, T]) -> Callable[P, T]:
    """Have the loop's clock stand still while `work` works."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SkippingLoop)
    selector = loop.selector

    def unpaid(*args: P.args, **named: P.kwargs) -> T:
        began = time.monotonic()
        try:
            return work(*args, **named)
        finally:
            selector.skipped -= time.monotonic() - began

    return unpaid


def run(work: Coroutine[object, object, T]) -> T:
    """Run `work` on such a loop."""
    with asyncio.Runner(loop_factory=SkippingLoop) as runner, _counted(runner.get_loop()):
        return runner.run(work)


@contextmanager
def _counted(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Have the loop know of everything that a database's thread has in hand."""
    assert isinstance(loop, SkippingLoop)
    selector = loop.selector
    execute: Callable[..., Awaitable[object]] = aiosqlite.Connection._execute
    start: Callable[..., asyncio.Future[None]] = _Writer.start

    def done(_: object) -> None:
        selector.threads -= 1

    async def executed(*args: object, **named: object) -> object:
        selector.threads += 1
        try:
            return await execute(*args, **named)
        finally:
            done(None)

    def started(*args: object) -> asyncio.Future[None]:
        selector.threads += 1
        ended = start(*args)
        ended.add_done_callback(done)
        return ended

    with (
        patch.object(aiosqlite.Connection, "_execute", executed),
        patch.object(_Writer, "start", started),
    ):
        yield

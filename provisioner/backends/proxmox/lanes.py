"""Blocking calls on threads that a process may leave behind.

A call to Proxmox can hang for half a minute, and an exit must not wait for it: the threads are
daemons, and `close` only tells them to stop after what they are doing. That is why this is not
`concurrent.futures`, whose threads are joined at exit. Each thread owns one session for life. A
job that was given up before a thread took it is never run.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import Generic, Protocol, TypeVar

S = TypeVar("S")
T_contra = TypeVar("T_contra", contravariant=True)
R = TypeVar("R")


class Closed(Exception):
    """The lane was closed before a thread took up the job, so nothing happened."""


class Lane(Generic[S]):
    """At most `size` daemon threads, begun when needed, each with a session from `open_session`.

    `open_session` must not fail: whatever can, fails in the first job instead.
    """

    def __init__(
        self,
        name: str,
        size: int,
        open_session: Callable[[], S],
        close_session: Callable[[S], None],
    ) -> None:
        self._name = name
        self._size = size
        self._open_session = open_session
        self._close_session = close_session
        self._jobs: SimpleQueue[_Runnable[S] | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads = 0
        self._closed = False

    async def run(self, work: Callable[[S], R]) -> R:
        """Do `work` with a session on one of the threads. Raises Closed, or what `work` raises."""
        if self._closed:
            raise Closed(f"{self._name} is closed")
        job = _Job(work)
        self._jobs.put(job)
        if not self._idle.acquire(blocking=False) and self._threads < self._size:
            self._begin_thread()
        return await job.future

    def close(self) -> None:
        """Refuse what no thread has taken up, let the threads end, wait for none. Idempotent."""
        self._closed = True
        with contextlib.suppress(Empty):
            while (job := self._jobs.get_nowait()) is not None:
                job.refuse(f"{self._name} is closed")
        for _ in range(self._threads):
            self._jobs.put(None)

    def _begin_thread(self) -> None:
        name = f"{self._name}-{self._threads}"
        self._threads += 1
        threading.Thread(target=self._serve, name=name, daemon=True).start()

    def _serve(self) -> None:
        session = self._open_session()
        while (job := self._jobs.get()) is not None:
            tell = job.run(session)
            self._idle.release()  # before the caller knows, who may have the next job at hand
            tell()
        self._close_session(session)


class _Runnable(Protocol[T_contra]):
    """A job, whatever its result."""

    def run(self, session: T_contra) -> Callable[[], None]: ...

    def refuse(self, why: str) -> None: ...


class _Job(Generic[S, R]):
    """Work, and the future on the caller's loop that its outcome goes to."""

    __slots__ = ("_loop", "_work", "future")

    def __init__(self, work: Callable[[S], R]) -> None:
        self._work = work
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[R] = self._loop.create_future()

    def run(self, session: S) -> Callable[[], None]:
        """Do the work on this thread, unless nobody waits for it; returns how to tell."""
        if self.future.cancelled():
            return lambda: None
        return partial(self._hand_over, _attempt(self._work, session))

    def refuse(self, why: str) -> None:
        """Say that the work was never begun."""
        self._hand_over(partial(_fail, Closed(why)))

    def _hand_over(self, settle: Callable[[asyncio.Future[R]], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits
            self._loop.call_soon_threadsafe(settle, self.future)


def _attempt(work: Callable[[S], R], session: S) -> Callable[[asyncio.Future[R]], None]:
    """Do the work; returns how to settle a future with its outcome."""
    try:
        return partial(_succeed, work(session))
    except Exception as error:  # noqa: BLE001 - whoever awaits gets it, whatever it is
        return partial(_fail, error)


def _succeed(result: R, future: asyncio.Future[R]) -> None:
    if not future.done():
        future.set_result(result)


def _fail(error: Exception, future: asyncio.Future[R]) -> None:
    if not future.done():
        future.set_exception(error)

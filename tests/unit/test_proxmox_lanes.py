"""Threads for blocking calls: as many as allowed, no more than needed, in nobody's way."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from provisioner.backends.proxmox.lanes import Closed, Lane


@dataclass(slots=True)
class Traffic:
    """A lane, and what was seen on it."""

    opened: int = 0
    closed: int = 0
    lanes: list[Lane[int]] = field(default_factory=list)

    def lane(self, size: int) -> Lane[int]:
        """Return a lane whose sessions are numbers."""

        def close(_: int) -> None:
            self.closed += 1

        lane = Lane("lane of a test", size, self._open, close)
        self.lanes.append(lane)
        return lane

    def _open(self) -> int:
        self.opened += 1
        return self.opened

    def end(self) -> None:
        """Close every lane and see its threads end."""
        for lane in self.lanes:
            lane.close()
        for thread in threading.enumerate():
            if thread.name.startswith("lane of a test"):
                thread.join(10)
                assert not thread.is_alive()
        assert self.closed == self.opened


@pytest.fixture
def traffic() -> Iterator[Traffic]:
    traffic = Traffic()
    yield traffic
    traffic.end()


async def test_one_after_another_needs_one_thread_and_one_session(traffic: Traffic) -> None:
    lane = traffic.lane(4)
    assert [await lane.run(lambda session: session) for _ in range(50)] == [1] * 50
    assert traffic.opened == 1


async def test_at_once_there_are_as_many_threads_as_allowed_and_no_more(traffic: Traffic) -> None:
    lane, together = traffic.lane(3), threading.Barrier(3)
    meet: Callable[[int], int] = lambda _: together.wait(10)  # noqa: E731 - typed on the way
    met = await asyncio.gather(*(lane.run(meet) for _ in range(6)))
    assert sorted(met) == [0, 0, 1, 1, 2, 2]
    assert traffic.opened == 3


async def test_an_error_goes_to_the_one_who_asked_and_the_thread_lives_on(
    traffic: Traffic,
) -> None:
    lane = traffic.lane(1)

    def fail(_: int) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await lane.run(fail)
    assert await lane.run(lambda session: session) == 1


async def test_a_job_that_was_given_up_before_its_turn_is_never_run(traffic: Traffic) -> None:
    lane, go, ran = traffic.lane(1), threading.Event(), list[int]()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(lane.run(lambda _: go.wait(10)))
        second = group.create_task(lane.run(ran.append))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.sleep(0)
        go.set()
    assert first.result()
    assert ran == []


async def test_closing_refuses_what_waits_and_waits_for_nothing(traffic: Traffic) -> None:
    lane, begun, go = traffic.lane(1), asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def work(_: int) -> str:
        loop.call_soon_threadsafe(begun.set)
        go.wait(10)
        return "done"

    running = loop.create_task(lane.run(work))
    waiting = loop.create_task(lane.run(work))
    await begun.wait()
    lane.close()
    with pytest.raises(Closed):
        await waiting
    with pytest.raises(Closed):
        await lane.run(work)
    go.set()
    assert await running == "done"


def test_a_process_exits_at_once_while_a_call_hangs() -> None:
    program = """
import asyncio, threading
from provisioner.backends.proxmox.lanes import Lane
async def main():
    loop, begun = asyncio.get_running_loop(), asyncio.Event()
    lane = Lane("hanging", 1, lambda: 0, print)
    def hang(_):
        loop.call_soon_threadsafe(begun.set)
        threading.Event().wait()
    call = loop.create_task(lane.run(hang))
    await begun.wait()
    lane.close()
    call.cancel()
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], timeout=20, check=True)
    assert done.returncode == 0

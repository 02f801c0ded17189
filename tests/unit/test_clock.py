import asyncio
import time

import pytest

from chainwatch.runtime.clock import Clock, SystemClock, VirtualClock


async def test_the_system_clock_agrees_with_the_host() -> None:
    clock: Clock = SystemClock()
    wall, monotonic = time.time(), time.monotonic()  # noqa: TID251 (what it is compared with)

    assert int(wall) <= clock.now() <= int(wall) + 1
    assert monotonic <= clock.monotonic()
    before = clock.monotonic()
    await clock.sleep(0.01)
    assert clock.monotonic() - before >= 0.009


async def test_virtual_time_stands_still_until_it_is_advanced() -> None:
    clock: Clock = VirtualClock(start=1000)
    assert (clock.now(), clock.monotonic()) == (1000, 0.0)

    await clock.sleep(0)

    assert (clock.now(), clock.monotonic()) == (1000, 0.0)


async def test_sleepers_wake_when_they_are_due_and_in_that_order() -> None:
    clock = VirtualClock(start=1000)
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic()))

    async with asyncio.TaskGroup() as tasks:
        for name, seconds in (("c", 3), ("a", 1.5), ("b", 3), ("late", 10)):
            tasks.create_task(sleeper(name, seconds))
        await clock.advance(3)
        assert woken == [("a", 1.5), ("c", 3.0), ("b", 3.0)]
        assert clock.sleepers == 1
        assert clock.now() == 1003
        await clock.advance(7)

    assert woken[-1] == ("late", 10.0)


async def test_who_sleeps_again_on_the_way_is_woken_again() -> None:
    clock = VirtualClock()
    ticks: list[float] = []

    async def ticker() -> None:
        while len(ticks) < 5:
            await clock.sleep(2)
            ticks.append(clock.monotonic())

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(ticker())
        await clock.advance(100)

    assert ticks == [2.0, 4.0, 6.0, 8.0, 10.0]
    assert clock.monotonic() == 100.0


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = VirtualClock()

    async with asyncio.TaskGroup() as tasks:
        sleeper = tasks.create_task(clock.sleep(5))
        await clock.advance(1)
        sleeper.cancel()
        await clock.advance(1)
        assert clock.sleepers == 0
        await clock.advance(10)

    assert clock.monotonic() == 12.0


async def test_virtual_time_does_not_run_backwards() -> None:
    with pytest.raises(ValueError, match="backwards"):
        await VirtualClock().advance(-1)

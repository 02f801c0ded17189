"""Turns on a virtual clock: never more than the ceiling, in order, and nobody's turn is lost."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.chain.pace import Pace
from chainwatch.runtime.clock import VirtualClock


class Provider:
    """Counts what is asked of it by when it is asked; it is asked at the given pace."""

    def __init__(self, per_second: float) -> None:
        self.clock = VirtualClock()
        self.pace = Pace(per_second, self.clock.monotonic, self.clock.sleep)
        self.asked: list[tuple[float, str, int]] = []

    async def ask(self, who: str, calls: int) -> None:
        await self.pace.turn(calls)
        self.asked.append((self.clock.monotonic(), who, calls))

    def within(self, begin: float, seconds: float) -> int:
        """How many calls came from `begin` on, the end not included."""
        end = begin + seconds - 1e-6
        return sum(calls for at, _, calls in self.asked if begin <= at < end)


async def test_what_is_below_the_ceiling_waits_for_nothing() -> None:
    provider = Provider(10)
    await provider.ask("a", 4)
    await provider.ask("b", 6)
    assert [at for at, _, _ in provider.asked] == [0.0, 0.0]


async def test_what_is_beyond_the_ceiling_waits_until_there_is_room_and_in_order() -> None:
    provider = Provider(10)
    async with asyncio.TaskGroup() as group:
        for who, calls in (("a", 8), ("b", 9), ("c", 1), ("d", 1)):
            group.create_task(provider.ask(who, calls))
        await provider.clock.advance(1.5)
        assert [who for _, who, _ in provider.asked] == ["a", "b", "c"]
        await provider.clock.advance(1)
    assert [(at, who) for at, who, _ in provider.asked] == [(0, "a"), (1, "b"), (1, "c"), (2, "d")]


async def test_a_ceiling_below_one_a_second_is_kept_too() -> None:
    provider = Provider(0.25)
    async with asyncio.TaskGroup() as group:
        for who in "abc":
            group.create_task(provider.ask(who, 1))
        await provider.clock.advance(10)
    assert [at for at, _, _ in provider.asked] == [0, 4, 8]


async def test_who_gives_up_takes_no_turn_and_holds_up_nobody() -> None:
    provider = Provider(1)
    await provider.ask("first", 1)
    async with asyncio.TaskGroup() as group:
        gone = [group.create_task(provider.ask("gone", 1)) for _ in range(50)]
        group.create_task(provider.ask("last", 1))
        await provider.clock.advance(0.5)
        for each in gone:
            each.cancel()
        await provider.clock.advance(0.5)
    assert [(at, who) for at, who, _ in provider.asked] == [(0, "first"), (1, "last")]
    assert provider.clock.sleepers == 0


@pytest.mark.timeout(30)
@given(
    per_second=st.sampled_from([0.3, 1, 2.5, 7, 100]),
    asked=st.lists(st.tuples(st.floats(0, 3), st.integers(1, 100)), max_size=15),
)
async def test_no_stretch_of_time_sees_more_than_the_ceiling_allows(
    per_second: float, asked: list[tuple[float, int]]
) -> None:
    provider = Provider(per_second)
    most = provider.pace.most

    async def later(pause: float, calls: int) -> None:
        await provider.clock.sleep(pause)
        await provider.ask("someone", min(calls, most))

    async with asyncio.TaskGroup() as group:
        for pause, calls in asked:
            group.create_task(later(pause, calls))
        while len(provider.asked) < len(asked):
            await provider.clock.advance(1)
    for begin, _, _ in provider.asked:
        assert provider.within(begin, most / per_second) <= most

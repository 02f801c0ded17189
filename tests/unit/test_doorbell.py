"""Guests are asked seldom, and few at once."""

import asyncio

import pytest

from provisioner.doorbell import (
    CROWDED,
    HOPELESS,
    LONGEST_BOOT,
    LONGEST_PAUSE,
    SHORTEST_PAUSE,
    SILENCE,
    UNKNOWN,
    UNKNOWN_PAUSE,
    Doorbell,
    Ring,
)
from provisioner.shells import Shells

NODE = "pve"


class Guests:
    """Guests of which those in `up` answer, after `takes` seconds; `gate` holds answers back."""

    def __init__(self) -> None:
        self.up: set[int] = set()
        self.asked: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.takes = 0.0
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    async def answers(self, node: str, vmid: int) -> bool:
        self.asked.append(vmid)
        await self.gate.wait()
        self.now += self.takes if vmid in self.up else SILENCE
        return vmid in self.up

    async def set_authorized_keys(self, node: str, vmid: int, user: str, keys: str) -> None:
        raise NotImplementedError

    async def set_gecos(self, node: str, vmid: int, user: str, gecos: str) -> None:
        raise NotImplementedError

    async def end_sessions(self, node: str, vmid: int, user: str) -> None:
        raise NotImplementedError

    async def host_keys(self, node: str, vmid: int) -> tuple[str, ...]:
        raise NotImplementedError


def bell_at(guests: Guests, at_once: int = 4) -> Doorbell:
    return Doorbell(Shells(guests, guests), at_once, guests.monotonic)


async def booted(guests: Guests, bell: Doorbell, vmid: int, after: float) -> None:
    """Have a guest answer for the first time when it has run for so many seconds."""
    guests.up.add(vmid)
    assert await bell.ring(NODE, vmid, after) == Ring(answers=True)


async def test_a_guest_is_not_asked_before_a_boot_could_be_over() -> None:
    guests = Guests()
    bell = bell_at(guests)
    await booted(guests, bell, 1, 16)
    guests.asked.clear()
    assert await bell.ring(NODE, 2, 5) == Ring(None, 16 - 2 - 5)
    assert guests.asked == []
    await booted(guests, bell, 2, 14)


async def test_a_quicker_boot_is_found_out_step_by_step() -> None:
    guests = Guests()
    bell = bell_at(guests)
    await booted(guests, bell, 1, 16)
    for vmid, after in ((2, 14.0), (3, 12.25)):
        early = await bell.ring(NODE, vmid, after - 1)
        assert early.answers is None
        assert early.again_in == pytest.approx(1)
        await booted(guests, bell, vmid, after)


async def test_an_answer_that_was_waited_for_is_no_boot_that_was_over_when_it_was_asked() -> None:
    guests = Guests()
    bell = bell_at(guests)
    guests.takes = SILENCE
    await booted(guests, bell, 1, 6)
    guests.takes = 0.0
    ring = await bell.ring(NODE, 2, 6)
    assert ring.answers is None
    assert 6 < 6 + ring.again_in <= 6 + SILENCE


async def test_one_quick_boot_is_forgotten_when_others_are_found_slower() -> None:
    guests = Guests()
    bell = bell_at(guests)
    await booted(guests, bell, 1, 5)
    for vmid in range(2, 12):
        assert not (await bell.ring(NODE, vmid, 30)).answers
        await booted(guests, bell, vmid, 33.5)
    again_in = (await bell.ring(NODE, 99, 5)).again_in
    assert again_in == pytest.approx(33.5 - 1.75 - 5)


async def test_a_boot_whose_begin_was_not_seen_teaches_nothing() -> None:
    guests = Guests()
    bell = bell_at(guests)
    guests.up.add(1)
    assert (await bell.ring(NODE, 1, 20, exact=False)).answers
    assert await bell.ring(NODE, 2, 0) == Ring(False, SHORTEST_PAUSE)


async def test_an_answer_long_after_the_start_teaches_nothing_about_boots() -> None:
    guests = Guests()
    bell = bell_at(guests)
    await booted(guests, bell, 1, LONGEST_BOOT + 1)
    assert await bell.ring(NODE, 2, 0) == Ring(False, SHORTEST_PAUSE)


async def test_each_silence_makes_the_next_pause_longer_up_to_a_limit() -> None:
    guests = Guests()
    bell = bell_at(guests)
    up_for, pauses = 0.0, []
    for _ in range(LONGEST_PAUSE + 3):
        ring = await bell.ring(NODE, 1, up_for)
        pauses.append(ring.again_in)
        early = await bell.ring(NODE, 1, up_for + SILENCE)
        assert early.answers is False
        assert early.again_in == pytest.approx(ring.again_in), "asked before the pause is over"
        up_for += SILENCE + ring.again_in
    assert pauses == [SHORTEST_PAUSE, *range(1, LONGEST_PAUSE + 1), *[LONGEST_PAUSE] * 2]
    assert len(guests.asked) == len(pauses)


async def test_a_guest_that_was_started_again_is_asked_anew() -> None:
    guests = Guests()
    bell = bell_at(guests)
    assert (await bell.ring(NODE, 1, 300)).answers is False
    guests.up.add(1)
    assert (await bell.ring(NODE, 1, 2)).answers


async def test_however_many_guests_are_silent_only_so_many_are_asked_at_once() -> None:
    guests = Guests()
    bell = bell_at(guests, 2)
    guests.gate.clear()
    async with asyncio.TaskGroup() as group:
        for vmid in (1, 2):
            group.create_task(bell.ring(NODE, vmid, UNKNOWN))
        await asyncio.sleep(0)
        assert await bell.ring(NODE, 3, UNKNOWN) == Ring(None, CROWDED)
        guests.gate.set()
    assert guests.asked == [1, 2]
    assert (await bell.ring(NODE, 3, UNKNOWN)).answers is False


async def test_while_no_boot_is_known_one_guest_finds_out_and_the_others_wait() -> None:
    guests = Guests()
    bell = bell_at(guests)
    assert (await bell.ring(NODE, 1, 0)).answers is False
    assert await bell.ring(NODE, 2, 0) == Ring(None, UNKNOWN_PAUSE)
    await booted(guests, bell, 1, SILENCE + SHORTEST_PAUSE)
    ring = await bell.ring(NODE, 2, 1)
    assert ring.answers is None
    assert 1 + ring.again_in < SILENCE + SHORTEST_PAUSE


async def test_a_guest_that_never_answers_does_not_keep_the_others_waiting_for_ever() -> None:
    guests = Guests()
    bell = bell_at(guests)
    up_for = 0.0
    for _ in range(HOPELESS):
        ring = await bell.ring(NODE, 1, up_for)
        up_for += SILENCE + ring.again_in
    await booted(guests, bell, 2, 3)


async def test_only_one_guest_at_a_time_is_asked_sooner_than_is_known_to_do() -> None:
    guests = Guests()
    bell = bell_at(guests)
    await booted(guests, bell, 1, 16)
    guests.gate.clear()
    async with asyncio.TaskGroup() as group:
        group.create_task(bell.ring(NODE, 2, 14))
        await asyncio.sleep(0)
        assert await bell.ring(NODE, 3, 14) == Ring(None, 2)
        guests.gate.set()
    await booted(guests, bell, 3, 16)

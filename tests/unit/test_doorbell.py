"""Guests are asked seldom, and few at once."""

import asyncio

from provisioner.doorbell import (
    LONGEST_PAUSE,
    REMEMBERED,
    SILENCE,
    SOONER,
    UNKNOWN,
    UNKNOWN_PAUSE,
    Doorbell,
    Ring,
)
from provisioner.shells import Shells

NODE = "pve"


class Guests:
    """Guests of which those in `up` answer; `gate` holds every answer back while it is closed."""

    def __init__(self) -> None:
        self.up: set[int] = set()
        self.asked: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def answers(self, node: str, vmid: int) -> bool:
        self.asked.append(vmid)
        await self.gate.wait()
        return vmid in self.up

    async def set_authorized_keys(self, node: str, vmid: int, user: str, keys: str) -> None:
        raise NotImplementedError

    async def set_gecos(self, node: str, vmid: int, user: str, gecos: str) -> None:
        raise NotImplementedError

    async def end_sessions(self, node: str, vmid: int, user: str) -> None:
        raise NotImplementedError


async def booted(guests: Guests, bell: Doorbell, vmid: int, after: int) -> None:
    """Have a guest answer for the first time when it has run for so many seconds."""
    guests.up.add(vmid)
    assert await bell.ring(NODE, vmid, after) == Ring(answers=True)


async def test_a_guest_is_not_asked_before_a_boot_could_be_over() -> None:
    guests = Guests()
    bell = Doorbell(Shells(guests, guests), 4)
    await booted(guests, bell, 1, 20)
    guests.asked.clear()
    assert await bell.ring(NODE, 2, 5) == Ring(None, 20 - SOONER - 5)
    assert guests.asked == []
    guests.up.add(2)
    assert (await bell.ring(NODE, 2, 20 - SOONER)).answers


async def test_a_quicker_boot_is_found_out_a_second_at_a_time() -> None:
    guests = Guests()
    bell = Doorbell(Shells(guests, guests), 4)
    await booted(guests, bell, 1, 20)
    for vmid, after in ((2, 19), (3, 18), (4, 17)):
        assert (await bell.ring(NODE, vmid, after - SOONER)).answers is None
        await booted(guests, bell, vmid, after)


async def test_one_quick_boot_is_forgotten_when_others_are_found_slower() -> None:
    guests = Guests()
    bell = Doorbell(Shells(guests, guests), 4)
    await booted(guests, bell, 1, 5)
    for vmid in range(2, 2 + REMEMBERED):
        assert (await bell.ring(NODE, vmid, 5)).answers is False
        await booted(guests, bell, vmid, 30)
    assert await bell.ring(NODE, 99, 5) == Ring(None, 30 - SOONER - 5)


async def test_an_answer_to_a_late_question_says_nothing_of_the_boot() -> None:
    guests = Guests()
    bell = Doorbell(Shells(guests, guests), 4)
    await booted(guests, bell, 1, 10)
    for vmid in range(2, 2 + REMEMBERED):
        await booted(guests, bell, vmid, 15)
    assert await bell.ring(NODE, 99, 2) == Ring(None, 10 - SOONER - 2)


async def test_an_answer_long_after_the_start_teaches_nothing_about_boots() -> None:
    guests = Guests()
    bell = Doorbell(Shells(guests, guests), 4)
    await booted(guests, bell, 1, 86_400)
    assert await bell.ring(NODE, 2, 0) == Ring(False, 1)


async def test_each_silence_makes_the_next_pause_longer_up_to_a_limit() -> None:
    guests = Guests()
    bell = Doorbell(Shells(guests, guests), 4)
    up_for, pauses = 0, []
    for _ in range(LONGEST_PAUSE + 3):
        ring = await bell.ring(NODE, 1, up_for)
        pauses.append(ring.again_in)
        assert await bell.ring(NODE, 1, up_for + SILENCE) == ring, "asked before the pause is over"
        up_for += SILENCE + ring.again_in
    assert pauses == [*range(1, LONGEST_PAUSE + 1), *[LONGEST_PAUSE] * 3]
    assert len(guests.asked) == len(pauses)


async def test_a_guest_that_was_started_again_is_asked_anew() -> None:
    guests = Guests()
    bell = Doorbell(Shells(guests, guests), 4)
    assert (await bell.ring(NODE, 1, 300)).answers is False
    guests.up.add(1)
    assert (await bell.ring(NODE, 1, 2)).answers


async def test_however_many_guests_are_silent_only_so_many_are_asked_at_once() -> None:
    guests = Guests()
    bell = Doorbell(Shells(guests, guests), 2)
    guests.gate.clear()
    async with asyncio.TaskGroup() as group:
        for vmid in (1, 2):
            group.create_task(bell.ring(NODE, vmid, UNKNOWN))
        await asyncio.sleep(0)
        assert await bell.ring(NODE, 3, UNKNOWN) == Ring(None, 1)
        guests.gate.set()
    assert guests.asked == [1, 2]
    assert (await bell.ring(NODE, 3, UNKNOWN)).answers is False


async def test_while_no_boot_is_known_one_guest_finds_out_and_the_others_wait() -> None:
    guests = Guests()
    bell = Doorbell(Shells(guests, guests), 4)
    assert (await bell.ring(NODE, 1, 0)).answers is False
    assert await bell.ring(NODE, 2, 0) == Ring(None, UNKNOWN_PAUSE)
    await booted(guests, bell, 1, SILENCE + 1)
    assert await bell.ring(NODE, 2, 1) == Ring(None, SILENCE + 1 - SOONER - 1)


async def test_a_guest_that_never_answers_does_not_keep_the_others_waiting_for_ever() -> None:
    guests = Guests()
    bell = Doorbell(Shells(guests, guests), 4)
    assert (await bell.ring(NODE, 1, 0)).answers is False
    await booted(guests, bell, 2, UNKNOWN)
    await booted(guests, bell, 3, UNKNOWN - SOONER)


async def test_a_second_too_soon_is_tried_by_one_guest_and_then_by_none_for_a_while() -> None:
    guests = Guests()
    bell = Doorbell(Shells(guests, guests), 4)
    await booted(guests, bell, 1, 20)
    guests.gate.clear()
    async with asyncio.TaskGroup() as group:
        group.create_task(bell.ring(NODE, 2, 20 - SOONER))
        await asyncio.sleep(0)
        assert await bell.ring(NODE, 3, 20 - SOONER) == Ring(None, SOONER)
        guests.gate.set()
    for vmid in range(4, 4 + REMEMBERED):
        assert await bell.ring(NODE, vmid, 20 - SOONER) == Ring(None, SOONER)
        await booted(guests, bell, vmid, 20)
    assert (await bell.ring(NODE, 99, 20 - SOONER)).answers is False

"""When a feed has stalled: what is owed, by when, and what is owed by nobody."""

import pytest

from chainwatch.chain.stalls import BlockTime, Owed
from chainwatch.domain.events import Block


def block(number: int, timestamp: int) -> Block:
    return Block(number, "0x", "0x", timestamp)


def chain_of(seconds: int, poll: float, *, up_to: int = 20) -> Owed:
    """What a connection owes that was subscribed before block 0, all of whose heads came."""
    owed = Owed(poll)
    owed.subscribed()
    for number in range(up_to + 1):
        owed.announced(number)
        owed.shown(number, block(number, number * seconds), float(number * seconds))
    assert owed.deadline is None
    return owed


def test_the_block_time_is_the_median_of_the_last_distances() -> None:
    learnt = BlockTime()
    assert learnt.seconds == 15
    for number, timestamp in ((1, 100), (2, 112), (3, 124), (4, 1000), (5, 1012)):
        learnt.saw(block(number, timestamp))
    assert learnt.seconds == 12


def test_several_blocks_a_second_and_steps_of_many_blocks_are_understood() -> None:
    learnt = BlockTime()
    for number in range(0, 400, 20):
        learnt.saw(block(number, 1000 + number // 4))
    assert learnt.seconds == 0.25


def test_a_block_that_is_seen_again_or_taken_back_teaches_nothing() -> None:
    learnt = BlockTime()
    for number, timestamp in ((10, 100), (10, 100), (5, 40), (6, 52)):
        learnt.saw(block(number, timestamp))
    assert learnt.seconds == 12


@pytest.mark.parametrize(
    ("block_time", "poll"), [(12, 2.0), (12, 12.0), (5, 2.0), (3, 2.0), (2, 2.0), (2, 0.5)]
)
def test_a_stall_is_noticed_within_two_block_times_of_the_block(
    block_time: int, poll: float
) -> None:
    owed = chain_of(block_time, poll)
    mined = 21.0 * block_time
    owed.shown(21, block(21, 21 * block_time), mined + poll)
    assert owed.number == 21
    assert owed.deadline is not None
    assert owed.deadline - mined <= 2 * block_time


def test_nothing_is_owed_within_less_than_a_second() -> None:
    owed = chain_of(1, 4.0)
    owed.shown(21, None, 100.0)
    assert owed.deadline == 101.0


def test_looking_again_at_the_same_head_or_a_higher_one_puts_nothing_off() -> None:
    owed = chain_of(12, 2.0)
    owed.shown(21, None, 252.0)
    due = owed.deadline
    owed.shown(21, None, 254.0)
    owed.shown(22, None, 264.0)
    assert (owed.number, owed.deadline) == (21, due)
    owed.announced(21)
    assert owed.deadline is None
    owed.shown(22, None, 266.0)
    assert owed.number == 22


def test_a_new_connection_owes_only_what_comes_after_it() -> None:
    owed = chain_of(12, 2.0)
    owed.shown(21, None, 252.0)
    owed.subscribed()
    assert owed.deadline is None
    owed.shown(30, None, 400.0)
    owed.shown(30, None, 402.0)
    assert owed.deadline is None
    owed.shown(31, None, 412.0)
    assert owed.number == 31


def test_a_chain_that_stands_still_owes_nothing_however_long() -> None:
    owed = chain_of(12, 2.0)
    for now in range(240, 100_000, 2):
        owed.shown(20, None, float(now))
    assert owed.deadline is None


def test_announcements_that_come_late_or_twice_are_no_stall() -> None:
    owed = chain_of(12, 2.0)
    for number in (22, 21, 20, 21, 22):
        owed.announced(number)
    owed.shown(22, None, 264.0)
    assert owed.deadline is None


def test_after_a_chain_went_back_its_new_heads_are_owed_again() -> None:
    owed = chain_of(12, 2.0, up_to=1000)
    for number in range(500, 510):
        owed.announced(number)
        owed.shown(number, None, float(20_000 + number))
    owed.shown(510, None, 21_000.0)
    assert owed.number == 510


def test_an_announcement_that_nobody_could_have_reached_counts_for_none() -> None:
    owed = chain_of(12, 2.0)
    owed.announced(2**62)
    owed.shown(21, None, 252.0)
    assert owed.number == 21

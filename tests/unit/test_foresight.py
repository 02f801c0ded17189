"""When work will have ended is learnt from the last few times it did."""

import pytest

from provisioner.foresight import REMEMBERED, REMEMBERED_LONGER, Foresight

SURE = 0.1


def times(*seen: tuple[float, float]) -> Foresight:
    known = Foresight()
    for running, ended in seen:
        known.learn(running, ended)
    return known


def test_of_work_that_never_ended_nothing_is_expected() -> None:
    known = Foresight()
    assert (known.least, known.expected, known.scouted(SURE)) == (None, None, None)


def test_the_end_is_expected_where_it_was_found_and_not_where_it_was_found_missing() -> None:
    assert times((0, 9), (0, 8), (7, 11), (0, 6)).expected == 8


def test_the_end_is_narrowed_down_until_it_is_known_closely_enough() -> None:
    takes, known, asked = 8.03, times((0, 12)), 0
    while (at := known.scouted(SURE)) is not None:
        known.learn(*((0, at) if at >= takes else (at, at + 3)))
        asked += 1
    assert known.expected == pytest.approx(takes, abs=SURE)
    assert asked < 3 * REMEMBERED


def test_no_scout_goes_far_ahead_of_what_is_known() -> None:
    assert times((0, 8)).scouted(SURE) == 7
    assert times((0, 80)).scouted(SURE) == 70


def test_one_that_was_quicker_is_forgotten_when_the_last_few_were_slower() -> None:
    known = times((0, 5), *[(20, 30)] * REMEMBERED)
    assert known.expected == 30


def test_a_time_found_too_soon_is_not_tried_again_for_a_while_and_then_is() -> None:
    known = times((29.95, 30), *[(0, 30)] * (REMEMBERED_LONGER - 1))
    assert known.scouted(SURE) is None
    known.learn(0, 30)
    assert known.scouted(SURE) == 26.25


def test_work_that_takes_a_different_time_each_time_is_expected_when_the_slowest_was_over() -> None:
    known = times((7, 8), (9, 10), (8, 9))
    assert known.expected == 10
    assert known.scouted(2) is None

"""Every mode of failure at what is done by hand to a lease's machine: an answer, or what to do.

The tables of docs/reference/failure-modes.md say what comes of each; here each mode is played at
one of those that it strikes, so that each of them has some. With CHAINWATCH_SOAK set, each form of
each mode strikes each call of all. A case that fails is named: CHAINWATCH_CASE=name plays it alone.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest
from structlog.testing import capture_logs

from provisioner.simulator.modes.catalogue import MODES
from provisioner.simulator.modes.mode import Mode
from tests.support.advice import ADVICE, BY_HAND
from tests.support.at_once import at_once
from tests.support.by_hand_playing import Ended, trouble
from tests.support.hands_playing import HANDS, Hand, calls_of, meetings, play
from tests.support.mode_table import DOCUMENT, told_outcome

TOLD: Final = DOCUMENT.read_text()
SOAK: Final = bool(os.environ.get("CHAINWATCH_SOAK"))
ONLY: Final = os.environ.get("CHAINWATCH_CASE")


def struck_by(mode: Mode) -> Sequence[Hand]:
    return [each for each in HANDS if told_outcome(TOLD, mode, each) != Ended.UNTOUCHED.value]


def _cells(mode: Mode) -> Sequence[tuple[Mode, Hand]]:
    struck = struck_by(mode)
    if struck and not (SOAK or ONLY):
        struck = [struck[mode.number % len(struck)]]
    return [(mode, hand) for hand in struck]


CELLS: Final = [cell for mode in MODES.values() for cell in _cells(mode)]
EVERYWHERE: Final = [pytest.param(*cell, id=f"{cell[0].number}-{cell[1].id}") for cell in CELLS]


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with at_once(), capture_logs():
        yield


@pytest.mark.timeout(600 if SOAK else 60)
@pytest.mark.parametrize(("mode", "hand"), EVERYWHERE)
async def test_it_is_answered_rightly_or_says_what_to_do_and_harms_nobody(
    mode: Mode, hand: Hand, tmp_path: Path
) -> None:
    (tmp_path / "calls").mkdir()
    there = await meetings(hand, mode, tmp_path / "calls")
    at = [each for each in there if ONLY in {None, each.id}] if SOAK or ONLY else there[:1]
    if ONLY and not at:
        pytest.skip(f"no case of this cell is named {ONLY}")
    wrong = []
    for position, meeting in enumerate(at):
        folder = tmp_path / str(position)
        folder.mkdir()
        told = told_outcome(TOLD, mode, hand) if meeting == there[0] else None
        wrong.append(await trouble(meeting, play(meeting, folder), told))
    assert [each for each in wrong if each] == []


@pytest.mark.parametrize("hand", HANDS, ids=lambda hand: hand.id)
async def test_the_tables_say_which_modes_cannot_strike_it(hand: Hand, tmp_path: Path) -> None:
    assert await calls_of(hand, tmp_path)
    for mode in MODES.values():
        told = told_outcome(TOLD, mode, hand)
        untouched = not await meetings(hand, mode, tmp_path)
        assert (told == Ended.UNTOUCHED.value) == untouched, mode.number
        assert told in {ended.value for ended in Ended}


def test_each_is_played_each_time_and_each_mode_that_strikes_any() -> None:
    assert {hand for _, hand in CELLS} == set(HANDS) or ONLY
    assert {mode.number for mode, _ in CELLS} == {n for n, mode in MODES.items() if struck_by(mode)}


def test_every_mode_that_they_do_not_get_over_has_advice_of_its_own() -> None:
    needy = {
        number
        for number, mode in MODES.items()
        if Ended.MENDED.value in {told_outcome(TOLD, mode, each) for each in HANDS}
    }
    assert needy <= ADVICE.keys() | BY_HAND.keys()

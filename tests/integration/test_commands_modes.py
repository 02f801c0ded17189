"""Every mode of failure at every command: it ends well, or a sentence says what to do about it.

The tables of docs/reference/failure-modes.md say what comes of each; here a share of their cells is
played, some of each mode and of each command. With CHAINWATCH_SOAK set, each form of each mode
strikes each call of each command. A case that fails is named: CHAINWATCH_CASE=name plays it alone.
"""

import os
from typing import Final

import pytest

from provisioner.simulator.modes.catalogue import MODES
from provisioner.simulator.modes.mode import Mode
from tests.support.advice import ADVICE, BY_HAND
from tests.support.by_hand import COMMANDS, Command
from tests.support.by_hand_playing import Ended, calls_of, meetings, play, trouble
from tests.support.mode_table import DOCUMENT, told_outcome

TOLD: Final = DOCUMENT.read_text()
SOAK: Final = bool(os.environ.get("CHAINWATCH_SOAK"))
ONLY: Final = os.environ.get("CHAINWATCH_CASE")
#: Of how many cells one is played.
SHARE: Final = 13


def _chosen(mode: Mode, command: Command) -> bool:
    return SOAK or bool(ONLY) or (mode.number + COMMANDS.index(command)) % SHARE == 0


@pytest.mark.timeout(3600 if SOAK else 120)
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.id)
async def test_a_command_ends_well_or_says_what_to_do_and_harms_nobody(command: Command) -> None:
    wrong = []
    for mode in MODES.values():
        if not _chosen(mode, command):
            continue
        there = await meetings(command, mode)
        at = [each for each in there if ONLY in {None, each.id}] if SOAK or ONLY else there[:1]
        for meeting in at:  # the tables tell of the first
            told = told_outcome(TOLD, mode, command) if meeting == there[0] else None
            wrong.append(await trouble(meeting, play(meeting), told))
    if ONLY and not wrong:
        pytest.skip(f"no case of this command is named {ONLY}")
    assert [each for each in wrong if each] == []


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.id)
async def test_the_tables_say_of_each_command_which_modes_cannot_strike_it(
    command: Command,
) -> None:
    assert await calls_of(command)
    for mode in MODES.values():
        told = told_outcome(TOLD, mode, command)
        untouched = not await meetings(command, mode)
        assert (told == Ended.UNTOUCHED.value) == untouched, mode.number
        assert told in {ended.value for ended in Ended}


def test_there_are_as_many_commands_on_containers_as_on_virtual_machines() -> None:
    names = [command.name for command in COMMANDS]
    assert names[: len(names) // 2] == names[len(names) // 2 :]


def test_every_mode_that_a_command_does_not_get_over_has_advice_of_its_own() -> None:
    needy = {
        number
        for number, mode in MODES.items()
        if Ended.MENDED.value in {told_outcome(TOLD, mode, each) for each in COMMANDS}
    }
    assert needy <= ADVICE.keys() | BY_HAND.keys()
    assert not ADVICE.keys() & BY_HAND.keys()

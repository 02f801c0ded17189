"""Every mode of failure at every verb: it passes, or a sentence says what to do and doing it helps.

The tables of docs/reference/failure-modes.md say what comes of each; here each cell of the verbs of
a lease is played, and a share of the others. With CHAINWATCH_SOAK set, each form of each mode
strikes each call of each verb, cell by cell, in as many processes as there are. A case that fails
is named: CHAINWATCH_CASE=name plays it alone.
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from structlog.testing import capture_logs

from provisioner.model import Kind
from provisioner.model import Verb as Word
from provisioner.simulator.modes.catalogue import MODES
from provisioner.simulator.modes.mode import Mode
from tests.support.advice import ADVICE, says_what_to_do
from tests.support.at_once import at_once
from tests.support.matrix import Case, calls_of, cases, cell_of, usual
from tests.support.mode_table import (
    DOCUMENT,
    HELD_BY,
    MODES_TABLE,
    block,
    modes_table,
    told_outcome,
)
from tests.support.playing import Outcome, play
from tests.support.verbs import VERBS, Verb

ROOT: Final = Path(__file__).parents[2]
TOLD: Final = DOCUMENT.read_text()
SOAK: Final = bool(os.environ.get("CHAINWATCH_SOAK"))
ONLY: Final = os.environ.get("CHAINWATCH_CASE")
#: Verbs whose every cell is played each time, and of how many cells of the others one is.
LEASES: Final = VERBS[:7]
ALWAYS: Final = frozenset(verb.id for verb in LEASES)
SHARE: Final = 5
#: Lists come back empty: in its second form, and its third, changes are allowed all the same.
BLINDED: Final = MODES[29]
#: A storage is taken from every node: it goes in its last form, between a destroy and a clone.
AWAY: Final = MODES[38]


def _chosen(mode: Mode, verb: Verb) -> bool:
    """Say whether a cell is played: each mode and each verb have some of them at any time."""
    return SOAK or verb.id in ALWAYS or (mode.number + VERBS.index(verb)) % SHARE == 0


CELLS: Final = (
    [cell_of(ONLY)]
    if ONLY
    else [(mode, verb) for mode in MODES.values() for verb in VERBS if _chosen(mode, verb)]
)
EVERYWHERE: Final = [pytest.param(*cell, id=f"{cell[0].number}-{cell[1].id}") for cell in CELLS]


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with at_once():
        yield


@pytest.mark.timeout(3600 if SOAK else 60)
@pytest.mark.parametrize(("mode", "verb"), EVERYWHERE)
async def test_a_mode_passes_or_says_what_to_do_and_harms_nobody(
    mode: Mode, verb: Verb, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    (tmp_path / "calls").mkdir()
    first = await usual(verb, mode, tmp_path / "calls")
    at = [first] if first else []
    if SOAK or ONLY:
        at += [case for case in await cases(verb, mode, tmp_path / "calls") if case != first]
    played = [case for case in at if ONLY in {None, case.id}]
    record_property("cases", len(played))
    assert played or not ONLY, f"no case of this cell is named {ONLY}"
    wrong = []
    for position, case in enumerate(played):
        folder = tmp_path / str(position)
        folder.mkdir()
        wrong.append(await _trouble(case, first, folder))
    assert [each for each in wrong if each] == []


async def _trouble(case: Case, first: Case | None, folder: Path) -> str | None:
    """Play a case; returns what is wrong with what came of it."""
    again = f"CHAINWATCH_CASE={case.id} plays it again"
    with capture_logs():
        try:
            played = await play(case, folder)
        except Exception as error:  # noqa: BLE001 - whatever it is, the others are played too
            return f"{again}: {error!r}"
    if played.silent:
        return f"{again}: nothing in {played.sentences} says what to do"
    told = told_outcome(TOLD, case.mode, case.verb)
    if case == first and played.outcome.value != told:
        return f"{again}: it {played.outcome.value}, not {told}: {played.sentences}"
    return None


@pytest.mark.parametrize("form", [1, 2])
@pytest.mark.parametrize("verb", LEASES, ids=lambda verb: verb.id)
async def test_a_token_that_lost_its_sight_alone_harms_nobody_though_it_could(
    verb: Verb, form: int, tmp_path: Path
) -> None:
    (tmp_path / "calls").mkdir()
    blind = [each for each in await cases(verb, BLINDED, tmp_path / "calls") if each.form == form]
    assert await _trouble(blind[-1], None, tmp_path) is None


@pytest.mark.parametrize(
    "verb", [each for each in VERBS if each.order is Word.REINSTALL], ids=lambda verb: verb.id
)
async def test_a_storage_that_is_seen_to_be_away_before_anything_fails_on_it_is_told(
    verb: Verb, tmp_path: Path
) -> None:
    (tmp_path / "calls").mkdir()
    gone = [case for case in await cases(verb, AWAY, tmp_path / "calls") if case.at[0] == "DELETE"]
    assert gone[-1].form == len(AWAY.forms) - 1
    assert await _trouble(gone[-1], None, tmp_path) is None


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.id)
async def test_the_tables_say_of_each_verb_which_modes_cannot_strike_it(
    verb: Verb, tmp_path: Path
) -> None:
    assert await calls_of(verb, tmp_path)
    for mode in MODES.values():
        folder = tmp_path / str(mode.number)
        folder.mkdir()
        untouched = await usual(verb, mode, folder) is None
        told = told_outcome(TOLD, mode, verb)
        assert (told == Outcome.UNTOUCHED.value) == untouched, mode.number
        assert told in {outcome.value for outcome in Outcome}


def test_every_mode_strikes_some_verb() -> None:
    for mode in MODES.values():
        told = {told_outcome(TOLD, mode, verb) for verb in VERBS}
        assert told != {Outcome.UNTOUCHED.value}, mode.name


def test_every_mode_that_needs_somebody_has_advice_of_its_own() -> None:
    needing = {Outcome.MENDED.value, Outcome.PARKED.value, Outcome.ENDED.value}
    needy = {
        number
        for number, mode in MODES.items()
        if needing & {told_outcome(TOLD, mode, verb) for verb in VERBS}
    }
    assert needy == set(ADVICE)


def test_advice_that_mends_something_else_is_none() -> None:
    said = ("pve cluster filesystem not online. (is pve-cluster running on the node?)",)
    assert says_what_to_do(15, said)
    assert not says_what_to_do(13, said)
    assert not says_what_to_do(15, ("look at the machine and its node, then retry",))


def test_the_table_of_modes_is_true() -> None:
    assert block(TOLD, MODES_TABLE) == modes_table()


@pytest.mark.parametrize("mode", [m for m in MODES.values() if m.elsewhere], ids=lambda m: m.name)
def test_what_no_call_to_the_cluster_shows_is_held_elsewhere_too(mode: Mode) -> None:
    for where in HELD_BY[mode.number]:
        file, _, name = where.partition("::")
        texts = [found.read_text() for found in (ROOT / "tests").rglob(f"{file}.py")]
        assert any(re.search(rf"def {name}\(", text) for text in texts), where


def test_there_are_as_many_verbs_for_containers_as_for_virtual_machines() -> None:
    names = [[verb.name for verb in VERBS if verb.kind is kind] for kind in Kind]
    assert names[0] == names[1]

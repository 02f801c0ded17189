"""The modes of failure that strike a clone, where machines are whole copies on thick storage.

What comes of each is what the tables of docs/reference/failure-modes.md say of linked clones: a
copy takes longer and lies elsewhere, and but for OTHERWISE nothing else is different. With
CHAINWATCH_SOAK set, each form of each mode strikes each call.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from structlog.testing import capture_logs

from provisioner.simulator.modes.catalogue import MODES
from provisioner.simulator.modes.mode import Mode
from tests.support.at_once import at_once
from tests.support.matrix import cases, usual
from tests.support.mode_table import DOCUMENT, told_outcome
from tests.support.playing import Outcome, play
from tests.support.verbs import COPIED, Verb

TOLD: Final = DOCUMENT.read_text()
SOAK: Final = bool(os.environ.get("CHAINWATCH_SOAK"))
#: Modes of clones, of their storages and of their tasks.
OF_CLONES: Final = (*range(1, 12), *range(17, 18), *range(20, 23), *range(32, 43), 47)
PROVISION: Final = COPIED[0]
#: A storage goes away below a copy, in this form: what is there already can't be freed.
AWAY: Final = MODES[38]
BELOW: Final = 2
#: Where it is another: thick storage has to have what a disk grows by, which thin storage lends.
OTHERWISE: Final = {(39, "vm-resize-copied"): Outcome.MENDED.value}


def _chosen(number: int, verb: Verb) -> bool:
    """Say whether a cell is played: every mode for a provision, and a share of the others."""
    return SOAK or verb is PROVISION or (number + COPIED.index(verb)) % 4 == 0


CELLS: Final = [
    pytest.param(MODES[number], verb, id=f"{number}-{verb.id}")
    for number in OF_CLONES
    for verb in COPIED
    if _chosen(number, verb)
]


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with at_once():
        yield


@pytest.mark.timeout(3600 if SOAK else 60)
@pytest.mark.parametrize(("mode", "verb"), CELLS)
async def test_what_comes_of_a_mode_is_what_comes_of_it_for_linked_clones(
    mode: Mode, verb: Verb, tmp_path: Path
) -> None:
    (tmp_path / "calls").mkdir()
    first = await usual(verb, mode, tmp_path / "calls")
    played = await cases(verb, mode, tmp_path / "calls") if SOAK else [first] if first else []
    same = told_outcome(TOLD, mode, replace(verb, copied=False))
    told = OTHERWISE.get((mode.number, verb.id), same)
    for position, case in enumerate(played):
        folder = tmp_path / str(position)
        folder.mkdir()
        with capture_logs():
            found = await play(case, folder)
        assert not found.silent, (case.id, found.sentences)
        assert case != first or found.outcome.value == told, (case.id, found)


async def test_what_a_copy_left_on_a_storage_that_went_away_is_found_by_who_looks_as_he_is_told(
    tmp_path: Path,
) -> None:
    (tmp_path / "calls").mkdir()
    at_clone, *_ = [
        case for case in await cases(PROVISION, AWAY, tmp_path / "calls") if case.form == BELOW
    ]
    with capture_logs():
        found = await play(at_clone, tmp_path)
    assert (found.outcome, found.silent) == (Outcome.MENDED, False)
    assert any("could not be looked at" in each for each in found.sentences)

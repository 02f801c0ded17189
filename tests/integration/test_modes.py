"""Every mode of failure at every verb: it passes, or a sentence says what to do and doing it helps.

The table of docs/reference/failure-modes.md says what comes of each; here each cell is played. With
CHAINWATCH_SOAK set, each form of each mode strikes each call of each verb (an hour and more).
"""

import os
import re
from pathlib import Path
from typing import Final

import pytest
from structlog.testing import capture_logs

from provisioner.simulator.modes.catalogue import MODES
from provisioner.simulator.modes.mode import Mode
from tests.support.matrix import VERBS, Case, Outcome, Verb, calls_of, cases, hints, play
from tests.support.mode_table import (
    HELD_BY,
    MODES_TABLE,
    block,
    modes_table,
    outcome,
    told_outcome,
)

ROOT: Final = Path(__file__).parents[2]
DOCUMENT: Final = (ROOT / "docs" / "reference" / "failure-modes.md").read_text()
SOAK: Final = bool(os.environ.get("CHAINWATCH_SOAK"))


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
@pytest.mark.parametrize("mode", MODES.values(), ids=lambda mode: str(mode.number))
async def test_a_mode_passes_or_says_what_to_do_and_harms_nobody(
    mode: Mode, verb: Verb, tmp_path: Path
) -> None:
    with capture_logs():
        came, said = await outcome(verb, mode, tmp_path)
    assert came.value == told_outcome(DOCUMENT, mode, verb), said
    assert not said or list(hints(said)), f"nothing in {said} says what to do"


def test_the_table_of_modes_is_true() -> None:
    assert block(DOCUMENT, MODES_TABLE) == modes_table()


@pytest.mark.parametrize("mode", [m for m in MODES.values() if m.elsewhere], ids=lambda m: m.name)
def test_what_no_api_call_shows_is_held_elsewhere(mode: Mode) -> None:
    for where in HELD_BY[mode.number]:
        file, _, name = where.partition("::")
        texts = [found.read_text() for found in (ROOT / "tests").rglob(f"{file}.py")]
        assert any(re.search(rf"def {name}\(", text) for text in texts), where


async def test_a_verb_without_trouble_makes_calls_of_every_kind(tmp_path: Path) -> None:
    for verb in VERBS:
        (tmp_path / verb.name).mkdir()
        assert await calls_of(verb, tmp_path / verb.name), verb.name


@pytest.mark.skipif(not SOAK, reason="an hour and more: make soak")
@pytest.mark.timeout(4 * 3600)
async def test_every_form_of_every_mode_at_every_call_of_every_verb(tmp_path: Path) -> None:
    for verb in VERBS:
        (tmp_path / verb.name).mkdir()
    wrong: list[str] = []
    for position, case in enumerate(await cases(tmp_path, thorough=True)):
        folder = tmp_path / str(position)
        folder.mkdir()
        wrong += await _trouble(case, folder)
    assert wrong == []


async def _trouble(case: Case, folder: Path) -> list[str]:
    with capture_logs():
        try:
            played = await play(case, folder)
        except AssertionError as error:
            return [f"{case.id}: {error}"]
    silent = played.outcome in {Outcome.MENDED, Outcome.PARKED} and not list(
        hints(played.sentences)
    )
    return [f"{case.id}: no hint in {played.sentences}"] if silent else []

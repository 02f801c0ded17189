"""Wherever the daemon dies on the way of a dealing, it is done once, and ends the same.

Each dealing is lived once without a crash; then again, and the daemon dies before and after the
commits at which it is written down: what is owed, what was sent, what became of it. An ordinary run
has those that first write something down or end a wish, and one of the others; a soak has every
commit on the way.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final

import pytest

from tests.support.at_once import at_once
from tests.support.dealt import DEALINGS, Commits, lived
from tests.support.estate import estate

SOAK: Final = bool(os.environ.get("CHAINWATCH_SOAK"))
EDGES: Final = ("before", "after")
#: What writes a dealing down first. A cancel by hand is wanted by the command itself.
OWED: Final = {name: "sending_want" if name == "cancelled" else "work" for name in DEALINGS}


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with at_once():
        yield


pytestmark = pytest.mark.timeout(1800 if SOAK else 120)


@pytest.mark.parametrize("name", DEALINGS)
async def test_a_crash_at_the_commits_of_a_dealing_ends_in_the_same(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "unfallen").mkdir()
    async with estate(tmp_path / "unfallen") as it:
        unfallen = Commits(it)
        expected = await lived(it, DEALINGS[name], unfallen)
    assert OWED[name] in {commit for _, commit, first in unfallen.marks if first}
    for at, edge in _falls(name, unfallen):
        folder = tmp_path / f"{at}-{edge}"
        folder.mkdir()
        async with estate(folder) as it:
            came = await lived(it, DEALINGS[name], Commits(it, at, edge))
            assert (it.crashes, came) == (1, expected), f"{name}: died {edge} commit {at}"


def _falls(name: str, unfallen: Commits) -> list[tuple[int, str]]:
    """Where to die: the how manieth commit, and on which side of it."""
    if SOAK:
        return [(at, edge) for at in range(1, unfallen.passed + 1) for edge in EDGES]
    first = [at for at, _, writes in unfallen.marks if writes]
    others = [at for at, _, writes in unfallen.marks if not writes]
    drawn = Random(name)
    chosen = [(drawn.choice(others), drawn.choice(EDGES))] if others else []
    return [(at, edge) for at in first for edge in EDGES] + chosen

"""A hundred schedules of verbs and modes of failure, each from its seed; in a soak two thousand.

The hundred are the same every time, the two thousand new at every soak (tests/support/seeds.py).
A schedule that fails names its seed: CHAINWATCH_SEED=n plays that one alone.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.support.at_once import at_once
from tests.support.schedules import play
from tests.support.seeds import seeds


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with at_once():
        yield


@pytest.mark.parametrize("seed", seeds(100, 2_000))
async def test_whatever_happens_everybody_has_what_is_paid_for_in_the_end(
    seed: int, tmp_path: Path
) -> None:
    with capture_logs():
        await play(seed, tmp_path)

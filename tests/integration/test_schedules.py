"""A hundred schedules of verbs and modes of failure, each from its seed; two thousand in a soak.

A schedule that fails names its seed: CHAINWATCH_SEED=n plays that one alone.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from structlog.testing import capture_logs

from tests.support.at_once import at_once
from tests.support.schedules import play

SOAK: Final = bool(os.environ.get("CHAINWATCH_SOAK"))
SEED: Final = os.environ.get("CHAINWATCH_SEED")
SEEDS: Final = [int(SEED)] if SEED else range(2_000 if SOAK else 100)


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with at_once():
        yield


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_happens_everybody_has_what_is_paid_for_in_the_end(
    seed: int, tmp_path: Path
) -> None:
    with capture_logs():
        await play(seed, tmp_path)

"""A hundred schedules of verbs and modes of failure, each from its seed; in a soak two thousand.

In every second one machines are backed up, and in every fourth they are whole copies. The hundred
are the same every time, the two thousand new at every soak (tests/support/seeds.py).
A schedule that fails names its seed: CHAINWATCH_SEED=n plays that one alone.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from structlog.testing import capture_logs

from provisioner.simulator.modes.catalogue import MODES, arm
from tests.support.at_once import at_once
from tests.support.realm import ALICE, FIRST
from tests.support.schedules import play, staged
from tests.support.seeds import seeds

#: What becomes of backups, in so many words of the judge.
HAPPENINGS: Final = frozenset({"backed up", "destroyed", "restored", "dropped"})


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


async def test_in_some_of_them_machines_are_backed_up_come_back_and_are_forgotten(
    tmp_path: Path,
) -> None:
    seen: Counter[str] = Counter()
    for seed in range(95, 195, 2):
        folder = tmp_path / str(seed)
        folder.mkdir()
        with capture_logs():
            seen += await play(seed, folder)
        if seen.keys() >= HAPPENINGS:
            return
    raise AssertionError(f"nothing is judged by it: {seen}")


async def test_only_what_is_mended_takes_strangers_away_and_ours_may_have_their_vmids(
    tmp_path: Path,
) -> None:
    async with staged(0, tmp_path) as schedule:
        world, full = schedule.world, MODES[4]
        arm(world.cluster, full, full.strikes[0], 1, 0)
        world.buy(1, ALICE)
        await schedule.turns(1)
        assert FIRST in schedule.judge.strangers
        schedule.mended(full)
        await schedule.turns(3)
        assert FIRST in world.guests()
        world.cluster.add_guest(FIRST + 1)
        schedule.look()
        world.cluster.remove_guest(FIRST + 1)
        with pytest.raises(AssertionError, match="was taken away"):
            schedule.look()

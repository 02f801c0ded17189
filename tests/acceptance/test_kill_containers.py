"""Killed with SIGKILL in every act of a container's life, and one container all the same.

As in test_kill.py, which says the rest: the other half of the same cases, so that both halves can
be played at once.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from tests.support.deaths import Case, Stages, cases, named

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

CASES: Final = cases("lxc")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stages(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stages]:
    """A chain, and a cluster whose nodes are reached over SSH too, for one act after the other."""
    found = Stages(lambda: tmp_path_factory.mktemp("grounds"))
    yield found
    await found.clear()


@pytest.mark.parametrize(("act", "case"), CASES, ids=[named(case) for _, case in CASES])
async def test_killed_wherever_it_passes_a_lease_has_exactly_one_container(
    stages: Stages, folder: Path, act: str, case: Case
) -> None:
    await stages.play(act, folder, case)

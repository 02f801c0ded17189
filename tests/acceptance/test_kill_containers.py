"""Killed with SIGKILL in every act of a container's life, and one container all the same.

As in test_kill.py, which says the rest: the other half of the same cases, so that both halves can
be played at once.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from tests.support.daemon import Grounds
from tests.support.deaths import Case, cases, named, played, stage

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

CASES: Final = cases("lxc")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nodes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Grounds]:
    """A chain, and a cluster whose nodes are reached over SSH too."""
    async with stage(tmp_path_factory.mktemp("grounds")) as found:
        yield found


@pytest.mark.parametrize(
    ("nodes", "case"), CASES, indirect=["nodes"], ids=[named(case) for _, case in CASES]
)
async def test_killed_wherever_it_passes_a_lease_has_exactly_one_container(
    nodes: Grounds, folder: Path, case: Case
) -> None:
    await played(nodes, folder, case)

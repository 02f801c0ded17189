"""Killed with SIGKILL in every act of a container's life, and one container all the same.

As in test_kill.py, which says the rest: the other half of the same cases, so that both halves can
be played at once.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.daemon import Grounds, grounds
from tests.support.deaths import Case, cases, named, played

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nodes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Grounds]:
    """A chain, and a cluster whose nodes are reached over SSH too."""
    async with grounds(tmp_path_factory.mktemp("grounds"), ssh=True) as found:
        yield found


@pytest.mark.parametrize("case", cases("lxc"), ids=named)
async def test_killed_wherever_it_passes_a_lease_has_exactly_one_container(
    nodes: Grounds, folder: Path, case: Case
) -> None:
    await played(nodes, folder, case)

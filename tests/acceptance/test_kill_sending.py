"""Killed with SIGKILL anywhere in the sending of its own transactions, and each is there once.

A delivery, a cancellation of what was not delivered and a burn after the grace, by the real daemon
on a real chain: it dies at a fault point (its exit says so), the next one starts without the fault,
or dies at the next point. What became of it is counted on the chain. A run of the tests kills a
daemon at every point of the sender; a soak (`CHAINWATCH_SOAK`) plays every act once for every point
of it. One that failed is played alone by its name:
`CHAINWATCH_KILL_SENDER="burn sender.broadcast.after"`.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.daemon import Grounds
from tests.support.deaths import stage
from tests.support.postings import ACTS, COVERING, SENDERS, Case, cases, named, played


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nodes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Grounds]:
    """A chain and a cluster, with a nursery for the daemons."""
    async with stage(tmp_path_factory.mktemp("grounds")) as found:
        yield found


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.timeout(240)
@pytest.mark.parametrize("case", cases(), ids=named)
async def test_killed_wherever_it_passes_what_is_owed_on_the_chain_is_done_once(
    nodes: Grounds, folder: Path, case: Case
) -> None:
    await played(nodes, folder, case)


def test_a_daemon_dies_at_every_fault_point_of_the_sender() -> None:
    died_at = {point for _, points in COVERING for point in points}
    assert died_at >= SENDERS
    for name, points in COVERING:
        assert set(points) <= set(ACTS[name].points), name
    assert {name for name, _ in COVERING} == set(ACTS)

"""Killed with SIGKILL in every act of a virtual machine's life, and one machine all the same.

Each case is an installation of its own on one chain and one cluster: something happens to a lease,
the daemon dies at a fault point (its exit says so), and the next one starts without the fault, or
dies at the next point. What became of it is judged by the simulator's inventory, never by the
daemon's records. A run of the tests kills a daemon in every act, and over all of them at every
fault point; a soak (`CHAINWATCH_SOAK`) plays every act once for every point of it. One that failed
is played alone by its name: `CHAINWATCH_KILL="transfer lxc node.pct_exec.after"`.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from provisioner import faultpoints
from tests.support.acts import ACTS, KINDS, edges
from tests.support.deaths import COVERING, Case, Stages, cases, named

#: What no act here passes: a reorg's, where test_kill_reading.py kills; a halt's, a boot's and a
#: bare backup's, at which test_crashes.py crashes; the sender's and a delivery's, at which
#: test_kill_sending.py kills; and what is done by hand, at which test_hands_unseen.py and
#: test_commands_crashes.py crash.
ELSEWHERE: Final = edges(
    *("commit.rewind", "commit.source", "hypervisor.clock", "archive.protect"),
    *faultpoints.BY_HAND,
    *(*faultpoints.SENDING, *faultpoints.SENDING_COMMITS, *faultpoints.TELLING),
)
CASES: Final = cases("qemu")
#: The acts in which a machine changes because of its lease or by order, for both kinds.
LIFE: Final = (
    *("provision", "extend", "suspend", "resume", "transfer", "resize", "reinstall", "destroy"),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stages(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stages]:
    """A chain, and a cluster whose nodes are reached over SSH too, for one act after the other."""
    found = Stages(lambda: tmp_path_factory.mktemp("grounds"))
    yield found
    await found.clear()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("act", "case"), CASES, ids=[named(case) for _, case in CASES])
async def test_killed_wherever_it_passes_a_lease_has_exactly_one_machine(
    stages: Stages, folder: Path, act: str, case: Case
) -> None:
    await stages.play(act, folder, case)


def test_a_daemon_dies_at_every_fault_point_and_in_every_act() -> None:
    died_at = {point for _, _, points in COVERING for point in points}
    assert died_at.union(ELSEWHERE) == faultpoints.POINTS
    for name, kind, points in COVERING:
        assert set(points) <= set(ACTS[name, kind].points), (name, kind)
    acts = {(name, kind) for name, kind, _ in COVERING}
    assert {(name, kind) for name in LIFE for kind in KINDS} <= acts
    assert {name for name, _ in ACTS} == {name for name, _ in acts}
    assert min(len(points) for _, _, points in COVERING) >= 2

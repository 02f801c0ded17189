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
from tests.support.daemon import Grounds, grounds
from tests.support.deaths import ACTS, COVERING, KINDS, Case, cases, edges, named, played

#: What no act here passes: a reorg's, where test_kill_reading.py kills; a halt's, a lost reply's
#: a look at isolation's, an order's and a backup's, at which test_crashes.py crashes; the sender's,
#: at which test_sender_crashes.py does; and what no daemon does.
ELSEWHERE: Final = edges(
    *("commit.rewind", "commit.source", "hypervisor.tasks"),
    *("hypervisor.isolation", "guest.inside", "guest.run"),
    *("commit.wish", "guest.set_gecos", "hypervisor.roll_back", "hypervisor.snapshots"),
    *("hypervisor.stop", "hypervisor.take_snapshot"),
    *("archive.archives", "archive.back_up", "archive.drop", "archive.restore"),
    *sorted({point.rpartition(".")[0] for point in faultpoints.POINTS if "controls." in point}),
    *(*faultpoints.SENDING, *faultpoints.SENDING_COMMITS),
)
#: The acts in which a machine changes; the others are orders.
LIFE: Final = ("provision", "extend", "suspend", "resume", "transfer", "resize", "destroy")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nodes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Grounds]:
    """A chain, and a cluster whose nodes are reached over SSH too."""
    async with grounds(tmp_path_factory.mktemp("grounds"), ssh=True) as found:
        yield found


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.timeout(180)
@pytest.mark.parametrize("case", cases("qemu"), ids=named)
async def test_killed_wherever_it_passes_a_lease_has_exactly_one_machine(
    nodes: Grounds, folder: Path, case: Case
) -> None:
    await played(nodes, folder, case)


def test_a_daemon_dies_at_every_fault_point_and_in_every_act() -> None:
    assert set().union(*COVERING.values(), ELSEWHERE) == faultpoints.POINTS
    for act, points in COVERING.items():
        assert set(points) <= set(ACTS[act].points), act
    assert {(name, kind) for name in LIFE for kind in KINDS} <= COVERING.keys()
    assert min(map(len, COVERING.values())) >= len(KINDS)

"""What the nodes' task lists must show before a guest without its uuid is taken for our clone."""

from dataclasses import dataclass, field, replace
from typing import Final

import pytest

from provisioner.births import Bare, Births
from provisioner.errors import Locked, NodeDown
from provisioner.model import Identity, Kind, Stamps
from provisioner.oplog import Birth
from provisioner.ports import ClusterSnapshot, NodeRow, Place, TaskRow
from provisioner.tasklists import TaskLists
from provisioner.taskwords import LONGEST_LIST
from tests.support.pve import World, direct_world

NOW: Final = 1_800_000_000
VMID: Final = 20000
OURS: Final = "svc@pve!ours"
OTHER: Final = "mallory@pve!other"


def row(
    kind: str,
    began: int,
    vmid: int = VMID,
    *,
    user: str = OURS,
    status: str | None = "OK",
    node: str = "a",
    took: int = 2,
) -> TaskRow:
    """Return a task that began so many seconds after `NOW`."""
    at = NOW + began
    upid = f"UPID:{node}:00000001:00000002:{at:08X}:{kind}:{vmid}:{user}:"
    return TaskRow(upid, kind, vmid, user, at, None if status is None else at + took, status)


CLONE: Final = row("qmclone", 0, 9000)


@dataclass
class Lists:
    """Births over task lists that are given; everything else of the cluster is simulated."""

    world: World
    rows: list[TaskRow] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    away: tuple[str, ...] = ()

    async def tasks(self, node: str, since: int) -> list[TaskRow]:
        return [r for r in self.rows if r.upid.split(":")[1] == node and r.started >= since]

    async def knows(self, upid: str) -> bool:
        return upid in self.known

    async def doubt(
        self,
        birth: Birth | None = None,
        *,
        begun: int = NOW,
        kind: Kind = Kind.VM,
        token: str | None = OURS,
    ) -> str | None:
        members = {name: NodeRow(name, name not in self.away, False, 0) for name in ("a", "b")}
        online = tuple(name for name in members if name not in self.away)
        bare = Bare(Place(VMID, "a"), kind, Identity("i", "k", "n", VMID), Stamps(begun=begun))
        lists = TaskLists(self.world.hypervisor, lambda: 0.0)
        births = Births(lists, token, self.knows)
        return await births.doubt(bare, ClusterSnapshot(0, {}, online, members), birth)


@pytest.fixture
def lists(monkeypatch: pytest.MonkeyPatch) -> Lists:
    made = Lists(direct_world())
    monkeypatch.setattr(made.world.hypervisor, "tasks", made.tasks)
    return made


def made_by(clone: TaskRow = CLONE) -> Birth:
    return Birth("clone", "a", clone.upid, None, configured=False, begun=NOW, started=False)


async def test_a_clone_whose_task_ended_well_is_ours(lists: Lists) -> None:
    lists.rows = [CLONE]
    assert await lists.doubt(made_by()) is None
    assert await lists.doubt() is None


@pytest.mark.parametrize("status", ["got signal", "clone failed: interrupted by signal"])
async def test_a_clone_whose_task_did_not_end_well_made_nothing(lists: Lists, status: str) -> None:
    lists.rows = [broken := replace(CLONE, status=status)]
    assert "ended with" in str(await lists.doubt(made_by(broken)))
    lists.rows.append(row("qmclone", 40, 9000))
    assert "ended with" in str(await lists.doubt()), "nobody knows which of them it was"
    lists.known = {broken.upid}
    assert await lists.doubt() is None, "that one was to make another machine"


async def test_a_task_that_no_list_shows_proves_nothing(lists: Lists) -> None:
    assert "no task that made it" in str(await lists.doubt())
    lists.rows = [CLONE]
    assert "does not say when" in str(await lists.doubt(begun=0))
    assert "no task that made it" in str(await lists.doubt(begun=NOW + 3_600)), "it was before"


async def test_a_clone_is_found_however_far_ahead_the_clock_of_its_node_is(lists: Lists) -> None:
    lists.rows = [CLONE]
    assert await lists.doubt(begun=NOW - 90_000) is None
    lists.rows.append(row("qmclone", -40_000, 9000, status="got signal"))
    assert "ended with" in str(await lists.doubt(begun=NOW - 90_000)), "it may have been that one"


@pytest.mark.parametrize("rows", [[], [replace(CLONE, status="unexpected status")]])
async def test_a_clone_whose_end_nobody_knows_is_ours_while_nobody_else_makes_guests(
    lists: Lists, rows: list[TaskRow]
) -> None:
    lists.rows = [*rows, row("qmclone", -900, 9000, user=OTHER), row("qmclone", 5, 9000)]
    assert await lists.doubt(made_by()) is None
    lists.rows.append(row("qmclone", 5, 9001, user=OTHER, node="b"))
    assert "others have made guests since" in str(await lists.doubt(made_by()))


async def test_a_clone_of_somebody_else_s_is_not_what_made_it(lists: Lists) -> None:
    lists.rows = [row("qmclone", 40, 9000, user=OTHER)]
    assert "no task that made it" in str(await lists.doubt())
    assert await lists.doubt(token=None) is None, "where nobody knows who we are"
    lists.rows = [CLONE, row("qmclone", 40, 9000, user=OTHER, status="got signal")]
    assert await lists.doubt() is None, "what became of theirs is no matter"


async def test_words_of_before_our_last_asking_are_those_of_a_former_machine(lists: Lists) -> None:
    lists.rows = [CLONE]
    asked = replace(made_by(), upid=None)
    assert await lists.doubt(asked) is None
    assert await lists.doubt(replace(asked, begun=NOW + 40)) is None, "done late, and asked again"
    assert "words of a former one" in str(await lists.doubt(replace(asked, begun=NOW + 3_600)))


async def test_a_list_that_is_cut_proves_nothing(lists: Lists) -> None:
    lists.rows = [CLONE] * LONGEST_LIST
    assert "too many tasks" in str(await lists.doubt(made_by()))


@pytest.mark.parametrize("kind", ["qmdestroy", "vzdestroy", "qmrestore", "vzcreate"])
@pytest.mark.parametrize("node", ["a", "b"])
async def test_whatever_was_replaced_there_since_is_not_ours(
    lists: Lists, kind: str, node: str
) -> None:
    lists.rows = [CLONE, row(kind, 10, user=OTHER, node=node)]
    for birth in (made_by(), None):
        assert "was replaced there since" in str(await lists.doubt(birth))
    lists.rows[1] = row(kind, 10, 20001, user=OTHER, node=node)
    for birth in (made_by(), None):
        assert await lists.doubt(birth) is None, "that was another VMID"


async def test_what_was_destroyed_before_the_clone_began_is_no_matter(lists: Lists) -> None:
    lists.rows = [CLONE, row("qmdestroy", -2)]
    for birth in (made_by(), None):
        assert await lists.doubt(birth) is None
    lists.rows = [CLONE, row("qmdestroy", 0, took=0)]
    assert await lists.doubt(made_by()) is not None, "within a second nobody knows"
    lists.known = {lists.rows[1].upid}
    assert await lists.doubt(made_by()) is None, "it was ours, of the machine before"


async def test_a_guest_that_we_started_was_configured(lists: Lists) -> None:
    lists.rows = [CLONE, row("qmstart", 10)]
    assert "it was used since" in str(await lists.doubt())
    lists.rows = [CLONE, row("qmstart", 10, user="root@pam")]
    assert await lists.doubt() is None, "a node may start a bare clone whose template had onboot"


async def test_what_our_log_knows_to_have_been_started_there_was_a_former_machine(
    lists: Lists,
) -> None:
    lists.rows = [row("qmclone", -200, 9000), start := row("qmstart", -100), CLONE]
    assert "it was used since" in str(await lists.doubt()), "either clone may have made it"
    lists.known = {start.upid}
    assert await lists.doubt() is None


async def test_our_own_records_are_enough_to_refuse(lists: Lists) -> None:
    lists.rows = [CLONE]
    assert "configured since" in str(await lists.doubt(replace(made_by(), configured=True)))
    assert "that clone failed" in str(await lists.doubt(replace(made_by(), outcome="failed")))


async def test_where_it_is_not_known_which_task_made_it_every_node_is_asked(lists: Lists) -> None:
    lists.rows, lists.away = [CLONE], ("b",)
    assert await lists.doubt(made_by()) is None
    with pytest.raises(NodeDown):
        await lists.doubt()


async def test_a_task_that_runs_is_waited_for(lists: Lists) -> None:
    lists.rows = [running := replace(CLONE, ended=None, status=None)]
    with pytest.raises(Locked):
        await lists.doubt(made_by(running))


async def test_a_restore_is_the_maker_only_where_one_was_recorded(lists: Lists) -> None:
    lists.rows = [row("vzrestore", 0)]
    restored = Birth("restore", "a", None, None, configured=False, begun=NOW, started=False)
    assert await lists.doubt(restored, kind=Kind.CONTAINER) is None
    assert await lists.doubt(kind=Kind.CONTAINER) is not None
    lists.rows.append(row("vzrestore", -20, status="interrupted by signal"))
    assert "ended with" in str(await lists.doubt(restored, kind=Kind.CONTAINER))

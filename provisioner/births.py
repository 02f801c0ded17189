"""Whether a guest with the words of a bare clone can be the one that we made.

A clone says whose it is before it has the uuid that follows from it, so for a while its words alone
have to do; and whoever may look at it can copy them onto a guest of his own at the same VMID. What
tells the two apart is how a guest came to be: by a task that ended well, after which nothing was
destroyed, made or begun at its VMID. The log says which task that was. Where it does not, the words
say when it was asked for, which is not before our last asking, and every task of ours since then
must have made what it was to make. What this cannot exclude is told, and nothing is done to the
guest. Of an end that was only just seen, in a list without a destroy, nobody is asked: there was no
time for one and a clone. So a list may be a moment old. How it fails: a guest that came to be
without a task, as only root on a node can have it, is believed.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from provisioner.errors import Locked, NodeDown
from provisioner.model import Identity, Kind, Stamps
from provisioner.oplog import STILL_DONE, Birth
from provisioner.ports import ClusterSnapshot, Place, TaskRow
from provisioner.taskboard import TaskBoard
from provisioner.tasklists import MOMENT, TaskLists
from provisioner.taskwords import LATER, REPLACING, makes, over_before, succeeded
from provisioner.upids import kind_of, node_of, started_at, user_of

#: How far two clocks may be apart, in seconds.
CLOCK_SKEW: Final = 300
#: The status of a task whose end nobody wrote down.
UNKNOWN: Final = "unexpected status"
_RESTORES: Final = ("qmrestore", "vzrestore")


@dataclass(frozen=True, slots=True)
class Bare:
    """A guest that proves `identity`, and by its stamps was never configured."""

    at: Place
    kind: Kind
    identity: Identity
    stamps: Stamps


async def _nothing(_: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Births:
    """Looks how guests came to be, in the nodes' task `lists`.

    `token` is the id of the token that our tasks are begun with, None where that is not known;
    `knows` says whether a log speaks of a task, and `tasks` how those ended that were watched.
    """

    lists: TaskLists
    token: str | None = None
    knows: Callable[[str], Awaitable[bool]] = _nothing
    tasks: TaskBoard | None = None

    async def doubt(
        self, bare: Bare, snapshot: ClusterSnapshot, birth: Birth | None = None
    ) -> str | None:
        """Say why `bare` may not be what we made, by the log as `birth` says; None if it is.

        Raises NodeDown while a node is away that has to be asked, and Locked before the task that
        made it has ended.
        """
        if birth is not None and birth.configured:
            return "by our own records it was configured since, which it does not show"
        if birth is not None and birth.outcome == "failed" and birth.step != "adopt":
            return f"by our own records that {birth.step} failed"
        if birth is None or birth.upid is None:
            return await self._by_its_words(bare, snapshot, birth)
        others = {birth.node, bare.at.node} - {node_of(birth.upid)}
        just_ended = self._just_ended(birth.upid, bare.at.vmid)
        asked = others if just_ended else {*others, node_of(birth.upid), *snapshot.nodes}
        rows = await self._list(asked, started_at(birth.upid))
        if rows is None:
            return "there were too many tasks since to list them all"
        if just_ended:
            return await self._since(bare, rows, [_ended(birth.upid)])
        made = [row for row in rows if row.upid == birth.upid and row.status != UNKNOWN]
        if made:
            return await self._judged(bare, rows, made)
        maker = _ended(birth.upid)
        for row in rows:
            if _made_by_another(row, maker):
                told = "no node knows how the task that made it ended"
                return f"{told}, and others have made guests since ({row.kind} by {row.user})"
        return await self._since(bare, rows, [maker])

    def _just_ended(self, upid: str, vmid: int) -> bool:
        """Say whether a task was seen to end well just now, with nothing destroyed meanwhile."""
        seen = None if self.tasks is None else self.tasks.seen_for(upid)
        if self.tasks is None or seen is None or seen > MOMENT:
            return False
        state = self.tasks.state(upid)
        return state.error is None and state.freed is not None and vmid not in state.freed

    async def _by_its_words(
        self, bare: Bare, snapshot: ClusterSnapshot, birth: Birth | None
    ) -> str | None:
        begun, vmid = bare.stamps.begun, bare.at.vmid
        if not begun:
            return "it does not say when it was made, and nobody recorded by which task"
        if birth is not None and birth.step == "clone" and begun + STILL_DONE < birth.begun:
            return "it says the words of a former one, and by our own records another was asked for"
        for name in sorted(snapshot.members.keys() - set(snapshot.nodes)):
            raise NodeDown(name, "its tasks have to be known")
        rows = await self._list(snapshot.nodes, begun)
        if rows is None:
            return "there were too many tasks since to list them all"
        ours = [row for row in rows if self.token in (None, user_of(row.upid))]
        if birth is not None and birth.step == "restore":
            made = [row for row in ours if row.kind in _RESTORES and row.vmid == vmid]
        else:
            made = [row for row in ours if row.kind == "qmclone" and not await self.knows(row.upid)]
        return await self._judged(bare, rows, made)

    async def _list(self, nodes: Iterable[str], since: int) -> list[TaskRow] | None:
        """List the tasks of nodes by any clock; None if that is more than they show."""
        rows: list[TaskRow] = []
        for node in sorted(set(nodes)):
            listed = await self.lists.since(node, since - CLOCK_SKEW)
            if listed is None:
                return None
            rows += listed
        return rows

    async def _judged(
        self, bare: Bare, rows: Sequence[TaskRow], made: Sequence[TaskRow]
    ) -> str | None:
        """Judge by the tasks that made it, or one of which did; every one must have ended well."""
        if not made:
            return "no task that made it is to be found on the nodes"
        for row in made:
            if row.ended is None:
                raise Locked(f"VM {bare.at.vmid} may still be being made ({row.kind})")
            if not succeeded(row.status):
                return f"a {row.kind} that may have been to make it ended with {row.status!r}"
        return await self._since(bare, rows, made)

    async def _since(
        self, bare: Bare, rows: Sequence[TaskRow], made: Sequence[TaskRow]
    ) -> str | None:
        """Look what was done at its VMID since; what a log speaks of was done to a former machine.

        For of this one it speaks of nothing but how it was made.
        """
        at_it = [row for row in rows if row.vmid == bare.at.vmid and row not in made]
        for row in at_it:
            if await self.knows(row.upid):
                continue
            earlier = row.kind not in _RESTORES and all(_before(row, each) for each in made)
            if row.kind in REPLACING and not earlier:
                return f"something was replaced there since ({row.kind} by {row.user})"
            if any(_used_since(row, each) for each in made):
                return f"it was used since ({row.kind}), so it was configured, which it is not"
        return None


def _ended(upid: str) -> TaskRow:
    """Return what its id alone tells of a task that was seen to end well."""
    return TaskRow(upid, kind_of(upid), None, user_of(upid), started_at(upid), None, "OK")


def _before(row: TaskRow, made: TaskRow) -> bool:
    """Say whether a task was over before another one began, whatever their nodes' clocks say."""
    if node_of(row.upid) == node_of(made.upid):
        return over_before(row, made)
    return row.ended is not None and row.ended + CLOCK_SKEW < made.started


def _made_by_another(row: TaskRow, made: TaskRow) -> bool:
    """Say whether somebody else has made a guest, of whatever VMID, since a task of ours began."""
    skew = 0 if node_of(row.upid) == node_of(made.upid) else CLOCK_SKEW
    theirs = user_of(row.upid) != user_of(made.upid)
    return theirs and makes(row.kind) and row.started + skew >= made.started


def _used_since(row: TaskRow, made: TaskRow) -> bool:
    """Say whether who made a guest did to it since what is done to configured machines alone."""
    by_the_same = user_of(row.upid) == user_of(made.upid)
    return row.kind in LATER and by_the_same and row.started >= made.started

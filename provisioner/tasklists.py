"""The nodes' lists of tasks, which serve everybody who asks for one within the same moment.

Where a hundred clones end in one look, a hundred passes want to know what was done on the nodes
meanwhile, and one list of each node tells them all. How it fails: what begins within `MOMENT` of
the asking is not in the list; whoever relies on one says why that does not matter.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from provisioner.ports import Hypervisor, TaskRow
from provisioner.taskwords import LONGEST_LIST

#: How old a list may be, in seconds.
MOMENT: Final = 0.5
#: A list goes back to a multiple of so many seconds, so that it serves who asks for a bit more too.
SPAN: Final = 300


@dataclass(frozen=True, slots=True)
class _Kept:
    """The tasks of a node since `since` (wall seconds), asked for at `asked_at` (monotonic)."""

    since: int
    asked_at: float
    rows: Sequence[TaskRow]


class TaskLists:
    """The last list of each node; `monotonic` tells seconds."""

    def __init__(self, hypervisor: Hypervisor, monotonic: Callable[[], float]) -> None:
        self._hypervisor, self._monotonic = hypervisor, monotonic
        self._kept: dict[str, _Kept] = {}
        self._asking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def since(self, node: str, since: int) -> Sequence[TaskRow] | None:
        """List a node's tasks started at or after `since` (wall seconds), newest first.

        None if they are more than a node shows. Raises what `Hypervisor.tasks` raises.
        """
        oldest = self._monotonic() - MOMENT  # from when it was wanted, however long one waits
        async with self._asking[node]:
            kept = self._kept.get(node)
            if kept is None or kept.since > since or kept.asked_at < oldest:
                kept = self._kept[node] = await self._ask(node, since)
        rows = [row for row in kept.rows if row.started >= since]
        return None if len(rows) >= LONGEST_LIST else rows

    async def _ask(self, node: str, since: int) -> _Kept:
        """Ask for a bit more than is wanted, unless that is more than a node shows."""
        kept = await self._read(node, since - since % SPAN)
        return kept if len(kept.rows) < LONGEST_LIST else await self._read(node, since)

    async def _read(self, node: str, since: int) -> _Kept:
        asked_at = self._monotonic()
        return _Kept(since, asked_at, await self._hypervisor.tasks(node, since))

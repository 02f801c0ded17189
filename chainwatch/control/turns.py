"""Whose turn it is to be looked at, node by node, so that a round ends in a time that can be said.

Each node has a round of its own: its machines by VMID, so many in each look, and from the front
again. A look takes as many as a round of an hour needs, while that costs half a call a second; more
machines make the round longer, up to six hours. Only what six hours cannot hold makes it dearer,
up to a call a second and node, and beyond that the round is longer still. How it fails: a machine
that is moved to another node may have its turn twice, or a round late.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

#: Seconds between two looks; in which every machine should have had its turn; and at most.
LOOK_EVERY: Final = 60.0
ROUND: Final = 3600.0
LONGEST: Final = 6 * ROUND
#: How many machines of a node a look takes gladly, and at most: four calls each.
GLADLY: Final = 7
MOST: Final = 15


def share(machines: int) -> int:
    """Return how many of a node's machines a look takes."""
    hourly = math.ceil(machines * LOOK_EVERY / ROUND)
    at_last = math.ceil(machines * LOOK_EVERY / LONGEST)
    return min(max(min(hourly, GLADLY), at_last), MOST)


@dataclass(slots=True)
class Turns:
    """The rounds of all nodes; each goes on after the VMID that had its turn last."""

    _last: dict[str, int] = field(default_factory=dict)

    def next(self, standing: Mapping[int, str]) -> Mapping[str, Sequence[int]]:
        """Return whose turn it is on each node, of the VMIDs that stand on one."""
        by_node: dict[str, list[int]] = {}
        for vmid, node in sorted(standing.items()):
            by_node.setdefault(node, []).append(vmid)
        return {node: self._of(node, vmids)[: share(len(vmids))] for node, vmids in by_node.items()}

    def had(self, node: str, vmid: int) -> None:
        """Note that a machine has had its turn."""
        self._last[node] = vmid

    def _of(self, node: str, vmids: Iterable[int]) -> Sequence[int]:
        last = self._last.get(node, -1)
        return sorted(vmids, key=lambda vmid: (vmid <= last, vmid))

"""Machines whose configuration has more memory than the list of the cluster shows yet.

The list shows what a machine runs with, so it shows what one was given only after its next boot.
Memory only: after a restart each counts from the first look at it on.
"""

from collections.abc import Mapping
from dataclasses import replace

from provisioner.model import Observed
from provisioner.placement import MIB, Demand, Promise
from provisioner.ports import ClusterSnapshot


class Growths:
    """What machines have that the list does not show, as promises."""

    def __init__(self) -> None:
        self._grown: dict[int, Promise] = {}

    def promise(self, vmid: int, node: str, memory_mib: int) -> None:
        """Count a machine with so much memory from now on."""
        self._grown[vmid] = Promise(node, None, Demand(memory_mib, 0), copying=False)

    def count(self, have: Observed, snapshot: ClusterSnapshot | None) -> None:
        """Count a machine as its configuration has it."""
        if have.vmid is None:
            return
        self._grown.pop(have.vmid, None)
        if snapshot is None or have.config is None or have.node is None:
            return
        row, mib = snapshot.guests.get(have.vmid), have.config.settings.memory_mib
        if row is not None and mib > row.memory // MIB:
            self.promise(have.vmid, have.node, mib)

    def over(
        self, promises: Mapping[int, Promise], snapshot: ClusterSnapshot
    ) -> Mapping[int, Promise]:
        """Return what counts beyond what the list shows: `promises`, and what has grown."""
        grown = {
            vmid: _at_least(promises.get(vmid), each)
            for vmid, each in self._grown.items()
            if vmid in snapshot.guests
        }
        return {**promises, **grown}


def _at_least(promise: Promise | None, grown: Promise) -> Promise:
    """Return what counts of a machine of which both its clone and its growth are promised."""
    if promise is None:
        return grown
    memory = max(promise.demand.memory_mib, grown.demand.memory_mib)
    return replace(promise, demand=replace(promise.demand, memory_mib=memory))

"""What the last settled look at each lease saw, so that a resync need not look at all of them.

A row of the cluster's list that still agrees with what was seen makes no pass due; whatever the
list shows as changed (moved, renamed, started, stopped, resized, gone) does, and so do a machine
that was left off and whose node has booted since, and whoever was not looked at for longest. The
list only selects: what a machine is, the pass reads itself. How it fails: a change that the list
does not show is found when the lease's turn has come. All of this is memory only; after a start
every lease is looked at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from provisioner.model import Observed, PowerState
from provisioner.ports import ClusterSnapshot, GuestRow
from provisioner.snippets import name_in

#: For how many seconds after a look the list may still show what was before.
LAG: Final = 15.0
#: For how many seconds after a node's boot a look may not have known of it yet.
BOOTING: Final = 60.0


@dataclass(frozen=True, slots=True)
class _Machine:
    """A machine as it was seen: where it stood, what it was called, whether it ran.

    `firewall` is the stamp of the one that it was given, `snippet` the name of the one it reads;
    `left_off` says that it did not run though no start was owed.
    """

    vmid: int
    node: str
    name: str
    running: bool
    firewall: str | None
    snippet: str
    left_off: bool = False

    def agrees(self, row: GuestRow | None) -> bool:
        """Whether the list shows the same; it may not have heard of the name yet."""
        if row is None:
            return False
        named = row.name in (None, self.name)
        return named and (row.node, row.running) == (self.node, self.running)

    def booted(self, snapshot: ClusterSnapshot, at: float) -> bool:
        """Whether it is off and its node has booted since `at`, or only just before."""
        node = snapshot.members.get(self.node)
        if not self.left_off or node is None or not node.uptime:
            return False
        return node.uptime < snapshot.taken_at - at + BOOTING


@dataclass(slots=True)
class _Sight:
    """A look at a lease: when (monotonic s), the machines seen, and how the list then had them."""

    at: float
    machines: tuple[_Machine, ...]
    rows: tuple[GuestRow | None, ...] | None = None


class Sights:
    """The last settled look at every lease, by the lease's id."""

    def __init__(self) -> None:
        self._seen: dict[str, _Sight] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def note(self, lease: str, seen: Iterable[Observed], at: float) -> None:
        """Remember a look at `at` that found nothing left to do."""
        self._seen[lease] = _Sight(at, tuple(filter(None, map(_machine, seen))))

    def forget(self, lease: str) -> None:
        """Know nothing of a lease that is not settled."""
        self._seen.pop(lease, None)

    def doubtful(self, leases: Iterable[str], snapshot: ClusterSnapshot) -> list[str]:
        """Return the leases that were not looked at, or whose machines the list shows changed."""
        return [lease for lease in leases if not self._stands(lease, snapshot)]

    def oldest(self, leases: Iterable[str], count: int) -> Sequence[str]:
        """Return those of `leases` that were looked at longest ago."""
        known = [(self._seen[lease].at, lease) for lease in leases if lease in self._seen]
        return [lease for _, lease in sorted(known)[:count]]

    def firewall(self, lease: str, vmid: int) -> str | None:
        """Return the stamp of the firewall that a machine was seen with; None where none was."""
        sight = self._seen.get(lease)
        machines = () if sight is None else sight.machines
        return next((each.firewall for each in machines if each.vmid == vmid), None)

    def snippets(self) -> Mapping[int, str]:
        """Return which snippet machines were seen to name, by VMID; empty where none."""
        sights = self._seen.values()
        return {each.vmid: each.snippet for sight in sights for each in sight.machines}

    def _stands(self, lease: str, snapshot: ClusterSnapshot) -> bool:
        sight = self._seen.get(lease)
        if sight is None:
            return False
        if snapshot.taken_at - sight.at < LAG:
            return True
        if any(each.booted(snapshot, sight.at) for each in sight.machines):
            return False
        rows = tuple(snapshot.guests.get(each.vmid) for each in sight.machines)
        if sight.rows is not None:
            return rows == sight.rows
        sight.rows = rows
        return all(map(_Machine.agrees, sight.machines, rows))


def _machine(seen: Observed) -> _Machine | None:
    if seen.vmid is None or seen.node is None or seen.config is None:
        return None
    running = seen.power is PowerState.RUNNING
    name, firewall = seen.config.settings.name, seen.stamps.configured
    snippet, left_off = name_in(seen.config.settings.cicustom), not running and seen.stamps.started
    return _Machine(seen.vmid, seen.node, name, running, firewall, snippet, left_off)

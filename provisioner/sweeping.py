"""Which snippets on a node no machine needs any more. Looks, and drops nothing.

A snippet is put after its machine exists, so one whose VMID the cluster would give to a new guest
is nobody's; a list that lacks a machine proves nothing. Where a guest has the VMID, its own
configuration says which one it needs, on the node where it stands and no other, whether the guest
is ours or somebody else's; unless it is locked, or somebody may be about to have it name another.
That a node's folder is its own is only believed when the cluster's list shows it: in a shared one
it is the same snippet on every node. How it fails: a snippet stays that nobody needs, and a later
look finds it.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Final, TypeAlias

from provisioner.allocate import Pool
from provisioner.errors import ProvisionError
from provisioner.model import GuestConfig, Kind
from provisioner.ports import ClusterSnapshot, GuestRow, Hypervisor, NodeShell, Snapshots
from provisioner.snippets import name_in, vmid_of

#: For how many seconds a guest that needs all that it has is not read again.
REMEMBERED: Final = 3600.0


#: What tells that a VMID has somebody else by now: a guest's kind and name, and its snippets.
_Shown: TypeAlias = tuple[Kind, str | None, Sequence[str]]


@dataclass(slots=True)
class _Look:
    """One look at a node: at most `left` guests are still read.

    `known` are VMIDs and what their machines are known to read; `own` says that the node's folder
    is seen to be no other's.
    """

    node: str
    snapshot: ClusterSnapshot
    known: Callable[[int, str], bool]
    own: bool
    left: float

    def stands(self, row: GuestRow) -> bool:
        """Say whether a guest reads its snippet from here."""
        return row.node == self.node or not self.own


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Looks at the snippets of the VMIDs in `pool`; `monotonic` tells the age of snapshots.

    `storage` is what Proxmox calls their folder. `changing` says of the guest at a VMID whether its
    configuration may soon name another; `remakes` that whoever sweeps can put a snippet where it is
    missing: else the last one stays. At most `most` guests are read in one look.
    """

    shell: NodeShell
    hypervisor: Hypervisor
    snapshots: Snapshots
    pool: Pool
    storage: str
    monotonic: Callable[[], float]
    changing: Callable[[int, GuestConfig], Awaitable[bool]]
    remakes: bool = False
    most: float = inf
    _read: dict[str, dict[int, tuple[_Shown, float]]] = field(default_factory=dict)

    async def needless(
        self, node: str, names: Sequence[str], known: Callable[[int, str], bool]
    ) -> AsyncIterator[str]:
        """Yield those of `names`, the snippets on `node`, that no machine needs.

        A machine that is `known` to read the only one that it has, by its VMID and that name, is
        not read. What cannot be looked at keeps nothing else waiting, and is raised in the end.
        """
        of: dict[int, list[str]] = defaultdict(list)
        for name in sorted(names):
            if vmid_of(name) in self.pool:
                of[vmid_of(name)].append(name)
        if not of:
            return
        snapshot = await self.snapshots.get(newer_than=self.monotonic())
        own = (self.storage, node) in snapshot.folders
        look = _Look(node, snapshot, known, own, self.most)
        self._forget(look, of)
        failed: list[ProvisionError] = []
        for vmid, there in sorted(of.items()):
            try:
                needed = await self._needed(look, vmid, there)
            except ProvisionError as error:
                failed.append(error)
                continue
            for name in there:
                if name not in needed:
                    yield name
        if failed:
            raise failed[0]

    def _forget(self, look: _Look, of: Mapping[int, Sequence[str]]) -> None:
        """Forget who was read long ago, has other snippets than it had, or is another guest."""
        now, guests = self.monotonic(), look.snapshot.guests
        self._read[look.node] = {
            vmid: (shown, at)
            for vmid, (shown, at) in self._read.get(look.node, {}).items()
            if vmid in guests
            and _shown(guests[vmid], of.get(vmid, ())) == shown
            and now - at < REMEMBERED
        }

    async def _needed(self, look: _Look, vmid: int, there: Sequence[str]) -> Collection[str]:
        row = look.snapshot.guests.get(vmid)
        if row is None:
            return () if await self.hypervisor.vmid_is_free(vmid) else there
        sure = look.stands(row) and len(there) == 1 and look.known(vmid, there[0])
        away = row.node not in look.snapshot.nodes
        if sure or away or vmid in self._read[look.node] or not look.left:
            return there
        look.left -= 1
        config = await self.hypervisor.config(row.node, vmid, kind=row.kind)
        if config is None or config.lock is not None or await self.changing(vmid, config):
            return there  # one of them may be the next
        name = name_in(config.settings.cicustom)
        needed = [name] if name in there and await self._is_read_here(look, row, name) else []
        if len(needed) == len(there):
            self._read[look.node][vmid] = (_shown(row, there), self.monotonic())
        return needed

    async def _is_read_here(self, look: _Look, row: GuestRow, name: str) -> bool:
        """Say whether what a guest names has to stay here; the last one of its kind has to."""
        if look.stands(row) or self.remakes:
            return look.stands(row)
        try:
            return name not in await self.shell.snippets(row.node)
        except ProvisionError:
            return True


def _shown(row: GuestRow, there: Sequence[str]) -> _Shown:
    return row.kind, row.name, there

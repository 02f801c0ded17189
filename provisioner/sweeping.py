"""Which snippets on a node no machine needs any more. Looks, and drops nothing.

A snippet is put after its machine exists, so one whose VMID the cluster would give to a new guest
is nobody's; a list that lacks a machine proves nothing. Of several for one machine only that is
needed which its configuration names, unless somebody may be about to name another. How it fails:
a snippet stays that nobody needs, and the next look finds it.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from provisioner.allocate import Pool
from provisioner.ports import ClusterSnapshot, Hypervisor, NodeShell, Snapshots
from provisioner.snippets import name_in, vmid_of


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Looks at the snippets of the VMIDs in `pool`; `monotonic` tells the age of snapshots.

    `changing` says of the machine at (node, VMID) whether its configuration may soon name another.
    """

    shell: NodeShell
    hypervisor: Hypervisor
    snapshots: Snapshots
    pool: Pool
    monotonic: Callable[[], float]
    changing: Callable[[str, int], Awaitable[bool]]

    async def needless(self, node: str) -> Sequence[str]:
        """Return the names of the snippets on `node` that no machine needs."""
        names: dict[int, list[str]] = defaultdict(list)
        for name in await self.shell.snippets(node):
            if vmid_of(name) in self.pool:
                names[vmid_of(name)].append(name)
        if not names:
            return ()
        snapshot = await self.snapshots.get(newer_than=self.monotonic())
        found: list[str] = []
        for vmid, there in sorted(names.items()):
            found += await self._needless(vmid, there, snapshot)
        return found

    async def _needless(
        self, vmid: int, names: Sequence[str], snapshot: ClusterSnapshot
    ) -> Sequence[str]:
        row = snapshot.guests.get(vmid)
        if row is None:
            return names if await self.hypervisor.vmid_is_free(vmid) else ()
        if len(names) == 1 or row.node not in snapshot.nodes:
            return ()
        if await self.changing(row.node, vmid):
            return ()  # one of them may be the next
        config = await self.hypervisor.config(row.node, vmid)
        kept = "" if config is None else name_in(config.settings.cicustom)
        return [name for name in names if name != kept] if kept in names else ()

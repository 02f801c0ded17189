"""The backups of an installation's machines that prove whose they are.

A backup is an archive on a storage, with a note that we signed: which machine it was, at which
VMID, when (chain time), and with which stamps. An archive without such a note is none of ours: it
is neither restored nor deleted. What lies on a storage is asked of each node that is online; a
look serves everybody until the next one, except where something is about to be decided by it.

How it fails: a node that is away may hold a backup that is not seen. Who knows that there is one
(`expected`) is told so, and waits; nobody else does. Where no node has the storage nothing is seen
at all: whoever looks waits, and what was seen last holds.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from provisioner.errors import NodeDown, Transient
from provisioner.model import Archive, Backup, Kind
from provisioner.ports import Snapshots
from provisioner.site import Site


class ArchiveStore(Protocol):
    """The backups on a cluster's storages. Writes return a task's UPID, or None when done."""

    async def archives(self, node: str, storage: str) -> Sequence[Archive] | None:
        """List the backups on a storage that a node sees; None where it has no such storage."""
        ...

    async def back_up(self, node: str, vmid: int, storage: str, mode: str, note: str) -> str:
        """Make a backup of a guest with `note` on it, protected. Returns the UPID."""
        ...

    async def restore(
        self,
        node: str,
        vmid: int,
        volid: str,
        name: str,
        description: str,
        *,
        storage: str,
        kind: Kind = Kind.VM,
    ) -> str:
        """Restore a backup to `vmid`, which reserves it, its disks to `storage`.

        The guest has `name` and `description` from the start. Returns the UPID.
        """
        ...

    async def protect(self, node: str, storage: str, volid: str) -> None:
        """Protect a backup from pruning, and from a deletion by hand."""
        ...

    async def drop(self, node: str, storage: str, volid: str) -> str | None:
        """Delete a backup, protected or not."""
        ...


@dataclass(slots=True)
class Archives:
    """Looks for backups; `known` are those of the last look, the newest first."""

    store: ArchiveStore
    snapshots: Snapshots
    site: Site
    known: Mapping[tuple[str, str], tuple[Backup, ...]] = field(default_factory=dict)

    async def look(self) -> tuple[str, ...]:
        """Look at every node that is online; returns those that are away.

        Raises what the hypervisor raises, and Transient where none of them has the storage.
        """
        policy = self.site.backups
        if policy is None:
            return ()
        snapshot = await self.snapshots.get()
        seen: dict[str, tuple[Archive, list[str]]] = {}
        away = [name for name in snapshot.members if name not in snapshot.nodes]
        shown = False
        for node in snapshot.nodes:
            try:
                archives = await self.store.archives(node, policy.storage)
            except NodeDown:
                away.append(node)
                continue
            shown = shown or archives is not None
            for each in archives or ():
                seen.setdefault(each.volid, (each, []))[1].append(node)
        if not shown:
            raise Transient(
                f"no node that is online has the storage {policy.storage}, where backups are kept: "
                "bring the storage back, or give it to a node"
            )
        found: dict[tuple[str, str], list[Backup]] = defaultdict(list)
        for archive, nodes in seen.values():
            backup = self._proven(archive, tuple(nodes))
            if backup is not None:
                found[backup.identity.key, backup.identity.nonce].append(backup)
        self.known = {
            machine: tuple(sorted(backups, key=lambda each: each.archive.made_at, reverse=True))
            for machine, backups in found.items()
        }
        return tuple(away)

    def of(self, key: str, nonce: str) -> tuple[Backup, ...]:
        """Return the backups of a machine as of the last look, the newest first. Asks nobody."""
        return self.known.get((key, nonce), ())

    async def look_for(self, key: str, nonce: str, *, expected: bool) -> tuple[Backup, ...]:
        """Look now. Raises NodeDown or Transient for one that is expected and not seen."""
        away, policy = await self.look(), self.site.backups
        found = self.of(key, nonce)
        if not expected or found or policy is None:
            return found
        if away:
            raise NodeDown(away[0], "it may hold the backup that is to be restored")
        raise Transient(
            f"the backup that it is to be restored from is not on {policy.storage}, on any node: "
            "bring it back; or order a reinstall, and a fresh machine is made"
        )

    def _proven(self, archive: Archive, nodes: tuple[str, ...]) -> Backup | None:
        proof = self.site.signer.prove_note(archive.notes, archive.vmid)
        if proof is None or not archive.size:
            return None
        identity, stamps, at = proof
        return Backup(archive, nodes, identity, stamps, at)

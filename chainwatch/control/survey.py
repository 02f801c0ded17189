"""What the guests in our range prove, read from their own configurations.

One guest's trouble is not everybody's: who cannot be read now is unfinished, and the next survey
sees what became of him. A machine that our log knows where it stands may be taken for what the log
says, unless another guest proves to be the same one: then both are read, so that a double is always
found by two proofs. How it fails: a machine of ours that somebody robbed of its description is told
as an orphan when it is next read, and is touched by nobody meanwhile, because every pass reads.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from chainwatch.domain.desired import Hold
from provisioner.errors import ProvisionError
from provisioner.model import MAKING, GuestConfig, Identity, Stamps
from provisioner.names import PREFIX
from provisioner.ports import ClusterSnapshot, GuestRow, Hypervisor, Place
from provisioner.site import Site

log = structlog.get_logger(__name__)

UNPROVEN: Final = "its description does not prove that this installation made it"
#: How many guests are read at once.
READS: Final = 8


@dataclass(frozen=True, slots=True)
class Orphan:
    """A guest in our range that we may not touch, and what is known about it."""

    vmid: int
    node: str
    name: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Survey:
    """What the guests in our range prove: identities with where they stand, and strangers.

    `begun_at` is wall seconds, and `snapshot` the list that was gone through. `unfinished` are
    VMIDs that do not say yet whose they are: being cloned to, or on a node that does not answer.
    `held` are the keys of protected machines, with the word of an operator that the protection
    mirrors. `assumed` are the machines that were not read, key and nonce → VMID: they stand where
    the log has them.
    """

    begun_at: int
    snapshot: ClusterSnapshot
    identities: tuple[tuple[Identity, GuestRow], ...]
    strangers: tuple[Orphan, ...]
    unfinished: tuple[int, ...]
    held: Mapping[str, Hold]
    assumed: Mapping[tuple[str, str], int]


@dataclass(slots=True)
class Surveyor:
    """Makes one survey, begun at `begun_at` (wall seconds)."""

    hypervisor: Hypervisor
    site: Site
    begun_at: int
    identities: list[tuple[Identity, GuestRow]] = field(default_factory=list)
    strangers: list[Orphan] = field(default_factory=list)
    unfinished: list[int] = field(default_factory=list)
    held: dict[str, Hold] = field(default_factory=dict)
    assumed: dict[tuple[str, str], int] = field(default_factory=dict)

    async def survey(
        self, snapshot: ClusterSnapshot, known: Mapping[tuple[str, str], Place]
    ) -> Survey:
        """Read the guests of `snapshot` in our range, but not those that `known` places there."""
        rows = {
            row.vmid: row
            for row in snapshot.guests.values()
            if row.vmid in self.site.pool and not row.template
        }
        self.assumed = {
            machine: place.vmid for machine, place in known.items() if place.vmid in rows
        }
        standing = self.assumed.values()
        await self._read(sorted(rows.keys() - set(standing)), rows, snapshot)
        doubled = {(each.key, each.nonce) for each, _ in self.identities} & self.assumed.keys()
        await self._read(sorted({self.assumed.pop(each) for each in doubled}), rows, snapshot)
        return Survey(
            self.begun_at,
            snapshot,
            tuple(sorted(self.identities, key=lambda found: found[1].vmid)),
            tuple(sorted(self.strangers, key=lambda found: found.vmid)),
            tuple(sorted(self.unfinished)),
            self.held,
            self.assumed,
        )

    async def _read(
        self, vmids: Sequence[int], rows: Mapping[int, GuestRow], snapshot: ClusterSnapshot
    ) -> None:
        waiting = iter(vmids)

        async def read_on() -> None:
            for vmid in waiting:
                await self._one(rows[vmid], snapshot)

        await asyncio.gather(*(read_on() for _ in range(min(READS, len(vmids)))))

    async def _one(self, row: GuestRow, snapshot: ClusterSnapshot) -> None:
        if row.node not in snapshot.nodes:
            self.unfinished.append(row.vmid)
            return  # the node is away: it is asked when it is back
        try:
            config = await self.hypervisor.config(row.node, row.vmid, kind=row.kind)
        except ProvisionError as error:  # one guest's trouble is not everybody's
            log.warning("machine not read", vmid=row.vmid, node=row.node, error=str(error))
            self.unfinished.append(row.vmid)
            return
        if config is None:
            return  # being removed
        if config.lock in MAKING:
            self.unfinished.append(row.vmid)
            return  # the next survey sees what it became
        self._judge(row, config)

    def _judge(self, row: GuestRow, config: GuestConfig) -> None:
        proof = self.site.signer.prove(config.description, row.vmid)
        if proof is None:
            self.strangers.append(Orphan(row.vmid, row.node, row.name or "", UNPROVEN))
        elif not proof[0].key.startswith(PREFIX):
            if config.settings.protection:
                self.held[proof[0].key] = _mirrored(proof[1])
            self.identities.append((proof[0], row))


def _mirrored(stamps: Stamps) -> Hold:
    """Tell a machine that was suspended by order from one that only may not be taken away."""
    by_order = stamps.suspended_at is not None and not stamps.ended
    return Hold.SUSPEND if by_order else Hold.HOLD

"""Finding machines of the command line by looking, for nothing of them is written down anywhere.

The cluster's list only selects; whose a machine is, its own description proves. A name that is not
in the list is looked for in every machine of our range before it counts as absent, because a name
can be changed by hand, and a machine that does not say yet whose it is leaves the answer open.
"""

import asyncio
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Final

from provisioner import making, provenance
from provisioner.errors import Locked, NotOurs, ProvisionError
from provisioner.model import MAKING, Card, GuestConfig, Identity, Kind, Stamps
from provisioner.names import PREFIX, key_of, name_of, shown
from provisioner.ports import ClusterSnapshot, GuestRow, Hypervisor, Place, Snapshots
from provisioner.site import Site

#: How many configurations are read at once.
AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Found:
    """A machine of the command line, proven; `card` is None if its own does not hold."""

    name: str
    vmid: int
    node: str
    config: GuestConfig
    identity: Identity
    stamps: Stamps
    card: Card | None

    @property
    def kind(self) -> Kind:
        """What kind of guest it is."""
        return self.config.kind

    @property
    def finished(self) -> bool:
        """Whether it was ever seen running."""
        used = self.card is not None and self.card.used
        return used or self.stamps.started or self.stamps.suspended_at is not None


@dataclass(frozen=True, slots=True)
class Defaced:
    """A guest with the hardware address of one of ours and a description that proves nothing."""

    called: frozenset[str | None]
    why: str

    def may_be(self, name: str) -> bool:
        """Say whether it is called as the machine `name` is shown."""
        return shown(name) in self.called


@dataclass(frozen=True, slots=True)
class Sighting:
    """What was read: machines of ours, and why which VMIDs do not say whose they are.

    `read` are the VMIDs at which something stands that was looked at, `making` those of guests that
    are being made just now.
    """

    found: Sequence[Found] = ()
    unclear: Mapping[int, str] = field(default_factory=dict)
    defaced: Mapping[int, Defaced] = field(default_factory=dict)
    read: AbstractSet[int] = frozenset()
    making: AbstractSet[int] = frozenset()

    def __add__(self, other: "Sighting") -> "Sighting":
        return Sighting(
            [*self.found, *other.found],
            {**self.unclear, **other.unclear},
            {**self.defaced, **other.defaced},
            self.read | other.read,
            self.making | other.making,
        )

    @property
    def told(self) -> AbstractSet[int]:
        """The VMIDs at which something stands of which it is known whose it is."""
        return self.read - self.unclear.keys()

    @property
    def unread(self) -> list[str]:
        """What could not be read and should have been, a sentence each."""
        return [why for vmid, why in self.unclear.items() if vmid not in self.making]

    @property
    def doubts(self) -> list[str]:
        """What could not be told, a sentence each."""
        return [*self.unclear.values(), *(each.why for each in self.defaced.values())]

    def the(self, name: str) -> Found | None:
        """Return the machine called `name`. Raises NotOurs when there are two."""
        named = [each for each in self.found if each.name == name]
        if len(named) > 1:
            vmids = ", ".join(str(each.vmid) for each in named)
            raise NotOurs(f"VMs {vmids} all prove to be {name}: remove the one that is not")
        return named[0] if named else None


@dataclass(frozen=True, slots=True)
class Census:
    """Looks at one cluster; `wall` tells wall seconds, `monotonic` the age of snapshots."""

    hypervisor: Hypervisor
    snapshots: Snapshots
    site: Site
    wall: Callable[[], int]
    monotonic: Callable[[], float]

    async def find(self, name: str) -> Found | None:
        """Return the machine called `name`; None only if there surely is none.

        Raises Locked while a machine does not say whose it is, and NotOurs when two say it.
        """
        sighting = await self.look(name)
        found = sighting.the(name)
        if found is None and sighting.unclear:
            raise unclear(name, sighting.unclear.values())
        return found

    async def look(self, name: str, among: Container[int] | None = None) -> Sighting:
        """Read what may be called `name`, and everything else too if that is not it.

        Where `among` is given, of everything else only these VMIDs.
        """
        snapshot = await self.snapshots.get(newer_than=self.monotonic())
        rows = self._ours(snapshot)
        likely = [row for row in rows if row.name in (shown(name), None)]
        sighting = await self._read(snapshot, likely)
        if sighting.the(name) is not None:
            return sighting
        rest = [row for row in rows if row not in likely]
        sighting += await self._read(
            snapshot, [row for row in rest if among is None or row.vmid in among]
        )
        defaced = {vmid: each.why for vmid, each in sighting.defaced.items() if each.may_be(name)}
        return replace(sighting, unclear={**sighting.unclear, **defaced})

    async def all(self) -> Sighting:
        """Read every machine in our range."""
        snapshot = await self.snapshots.get(newer_than=self.monotonic())
        return await self._read(snapshot, self._ours(snapshot))

    def _ours(self, snapshot: ClusterSnapshot) -> list[GuestRow]:
        rows = (row for vmid, row in snapshot.guests.items() if vmid in self.site.pool)
        return sorted((row for row in rows if not row.template), key=lambda row: row.vmid)

    async def _read(self, snapshot: ClusterSnapshot, rows: Iterable[GuestRow]) -> Sighting:
        places = asyncio.Semaphore(AT_ONCE)

        async def read(row: GuestRow) -> Sighting:
            async with places:
                return await self._look(snapshot, row)

        return sum(await asyncio.gather(*map(read, rows)), Sighting())

    async def _look(self, snapshot: ClusterSnapshot, row: GuestRow) -> Sighting:
        if row.node not in snapshot.nodes:
            return _unclear(row, f"is on node {row.node}, which is away")
        try:
            config = await self.hypervisor.config(row.node, row.vmid, kind=row.kind)
            if config is None:
                return await self._vanished(row)
            if config.lock in MAKING and not self._proof(config, row.vmid):
                return await self._unfinished(snapshot, row)
        except ProvisionError as error:
            return _unclear(row, f"could not be read: {error}")
        return self._proven(row, config)

    async def _vanished(self, row: GuestRow) -> Sighting:
        """A machine that is listed and has no configuration there is gone, or was moved."""
        if await self.hypervisor.vmid_is_free(row.vmid):
            return Sighting()
        return _unclear(row, f"is not on node {row.node} any more")

    async def _unfinished(self, snapshot: ClusterSnapshot, row: GuestRow) -> Sighting:
        """A clone says whose it is when it ends; a lock that outlived its task says it never."""
        at, now = Place(row.vmid, row.node), self.wall()
        found = await making.look(self.hypervisor, snapshot.nodes, now, at, row.kind)
        if found.goes_on:
            return replace(_unclear(row, "is being cloned"), making=frozenset({row.vmid}))
        if found.config is None:
            return Sighting()
        if found.config.lock in MAKING:
            return Sighting(read={row.vmid})
        return self._proven(row, found.config)

    def _proof(self, config: GuestConfig, vmid: int) -> tuple[Identity, Stamps] | None:
        return self.site.signer.prove(config.description, vmid)

    def _proven(self, row: GuestRow, config: GuestConfig) -> Sighting:
        proof = self._proof(config, row.vmid)
        name = name_of(proof[0].key) if proof else None
        if proof is None and config.settings.mac == self.site.pool.addresses(row.vmid).mac:
            why = f"VM {row.vmid} looks like ours, but its description proves nothing"
            called = frozenset({row.name, config.settings.name})
            return Sighting(defaced={row.vmid: Defaced(called, why)}, read={row.vmid})
        if proof is None or name is None:
            return Sighting(read={row.vmid})
        identity, stamps = proof
        card = self.site.signer.card(config.description, identity)
        found = Found(name, row.vmid, row.node, config, identity, stamps, card)
        return Sighting(found=[found], read={row.vmid})


def _unclear(row: GuestRow, why: str) -> Sighting:
    return Sighting(unclear={row.vmid: f"VM {row.vmid} {why}"})


def unclear(name: str, sentences: Iterable[str]) -> Locked:
    """Return the error that says that it is not known whether a machine exists."""
    return Locked(f"it is not clear whether {name} exists: {'; '.join(sentences)}")


def ours(found: Found, site: Site, *, to_look: bool = False) -> Found:
    """Return a machine that may be changed. Raises NotOurs for one that was tampered with.

    A lock keeps nobody from looking at it. How a bare clone came to be is not looked at.
    """
    if not found.identity.key.startswith(PREFIX) or found.identity.key != key_of(found.name):
        raise NotOurs(f"VM {found.vmid} is not the command line's")
    if found.config.template:
        raise NotOurs(f"VM {found.vmid} has been made a template: nothing is done to it")
    if found.config.lock is not None and not to_look:
        raise Locked(
            f"VM {found.vmid} is locked ({found.config.lock}): where no task works on it, unlock it"
        )
    bare = provenance.bare(site, found.identity, found.stamps, found.config)
    yet_to_bear = found.config.lock in MAKING or (bare and found.kind is Kind.VM)
    if not yet_to_bear and not site.bears(found.identity, found.config):
        raise NotOurs(
            f"VM {found.vmid} has another uuid or MAC than {found.name} must have: somebody "
            "changed it; put it back first"
        )
    return found

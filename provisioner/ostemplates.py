"""On which nodes containers can be made: those that see the OS template, the archive they come of.

An archive on a storage that is not shared is one node's own, and Proxmox refuses to make a
container where it is not. So its storage is asked, each node for itself or one of them for all that
share it; an answer serves everybody for ten minutes, unless nobody had it: then it is asked anew.
Who cannot be asked is not offered. How it fails: an archive that is taken away is missed for as
long as that, and what is made on that node meanwhile fails there.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

from provisioner.errors import NO_CONTAINERS, HypervisorDown, NodeDown, Permanent, ProvisionError
from provisioner.placement import Template, shelf_of
from provisioner.ports import StorageRow
from provisioner.weights import Shelf

#: For how many seconds it is remembered where the OS template is.
REMEMBERED: Final = 600
#: For how many seconds a storage that could not be asked is left alone.
SPARED: Final = 90
#: For how many seconds a look serves even those who find it nowhere with room.
SOON: Final = 10
#: What a storage said, or why it said nothing; and when (wall s).
Look: TypeAlias = tuple[bool | ProvisionError, int]


class OsTemplateStore(Protocol):
    """The archives that containers are made of, as nodes see them."""

    async def holds(self, node: str, volume: str) -> bool:
        """Say whether a node sees a volume."""
        ...


@dataclass(frozen=True, slots=True)
class Sought:
    """Where the OS template is: on `there`; `lacks` says of each other node why it is not offered.

    `missing` are those that were asked and do not have it, `errors` why others could not be asked.
    """

    there: frozenset[str]
    lacks: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    errors: Mapping[str, ProvisionError] = field(default_factory=dict)


class OsTemplate:
    """The archive `volume` (a volume's id) and where it is; `roots` is the storage for roots.

    Either is None where no containers are made.
    """

    def __init__(self, store: OsTemplateStore, volume: str | None, roots: str | None) -> None:
        self._store, self._volume, self._roots = store, volume, roots
        self._looks: dict[Shelf, Look] = {}

    def roots(self, nodes: Iterable[str], storage: str | None) -> list[Template]:
        """Return what containers on these nodes come of; nothing is cloned for them.

        Their root lies on `storage`, or on the usual one. Raises Permanent where there is none.
        """
        where = storage or self._roots
        if where is None:
            raise Permanent(NO_CONTAINERS)
        return [Template(0, node, where) for node in nodes]

    async def seek(
        self,
        nodes: Sequence[str],
        archives: Sequence[StorageRow],
        now: int,
        *,
        again: bool = False,
    ) -> Sought:
        """Say which of these nodes see it at wall time `now`, as `archives` tell of storages.

        With `again` only what was found is believed, and what was asked just now. Raises Permanent
        where no containers are made, and HypervisorDown.
        """
        if self._volume is None:
            raise Permanent(NO_CONTAINERS)
        storage = self._volume.partition(":")[0]
        lacks, groups = _shelves(storage, nodes, archives)
        known = {shelf: self._looks[shelf] for shelf in groups if self._known(shelf, now, again)}
        due = [shelf for shelf in groups if shelf not in known]
        answers = await asyncio.gather(*(self._ask(groups[shelf]) for shelf in due))
        for answer in answers:
            if isinstance(answer, HypervisorDown):
                raise answer
        found = {shelf: (answer, now) for shelf, answer in zip(due, answers, strict=True)}
        self._looks.update(found)
        return self._sought(groups, lacks, {**known, **found})

    def _known(self, shelf: Shelf, now: int, again: bool) -> bool:
        """Say whether what was last heard of a storage is to be believed."""
        answer, asked = self._looks.get(shelf, (False, now - REMEMBERED))
        lasts = SPARED if isinstance(answer, ProvisionError) else REMEMBERED
        return 0 <= now - asked < (SOON if again and answer is not True else lasts)

    async def _ask(self, nodes: Sequence[str]) -> bool | ProvisionError:
        """Ask the first node that answers; return why none does."""
        why: ProvisionError | None = None
        for node in nodes:
            try:
                return await self._store.holds(node, str(self._volume))
            except HypervisorDown as error:
                return error
            except ProvisionError as error:
                why = error
        return why or HypervisorDown("no node is there to be asked")

    def _sought(
        self,
        groups: Mapping[Shelf, Sequence[str]],
        lacks: Mapping[str, str],
        looks: Mapping[Shelf, Look],
    ) -> Sought:
        there, said = set[str](), dict(lacks)
        missing, errors = list[str](), dict[str, ProvisionError]()
        for shelf, nodes in groups.items():
            answer, _ = looks[shelf]
            if answer is True:
                there.update(nodes)
            elif answer is False:
                missing += nodes
                said |= dict.fromkeys(nodes, "its OS template is missing")
            else:
                errors |= dict.fromkeys(nodes, answer)
                said |= dict.fromkeys(nodes, f"cannot be asked for its OS template: {answer}")
        return Sought(frozenset(there), said, tuple(missing), errors)

    def judge(self, sought: Sought) -> None:
        """Raise why nobody could be asked, where nobody was, unless it is that nodes are away.

        Who is to try again then asks anew.
        """
        why = [each for each in sought.errors.values() if not isinstance(each, NodeDown)]
        if why and not sought.there and not sought.missing:
            self._looks = {
                shelf: look
                for shelf, look in self._looks.items()
                if not isinstance(look[0], ProvisionError)
            }
            raise why[0]

    def remedy(self, sought: Sought) -> str:
        """Say where it is missing and what to do about that; empty where it is not."""
        if not sought.missing or self._volume is None:
            return ""
        storage, _, path = self._volume.partition(":")
        return (
            f"OS template {self._volume} is missing on {', '.join(sought.missing)}: there, "
            f"pveam download {storage} {path.partition('/')[2]}, or copy it to where {storage} "
            "keeps such archives (template/cache)"
        )


def _shelves(
    storage: str, nodes: Sequence[str], archives: Sequence[StorageRow]
) -> tuple[dict[str, str], dict[Shelf, list[str]]]:
    """Return why some nodes need not be asked, and who sees the same storage.

    A storage that the list does not show is asked for on each node.
    """
    rows = {row.node: row for row in archives if row.name == storage}
    lacks, groups = dict[str, str](), dict[Shelf, list[str]]()
    for node in nodes:
        row = rows.get(node)
        if row is not None and not row.available:
            lacks[node] = f"storage {storage}, where its OS template would be, is away"
        elif row is None and rows:
            lacks[node] = f"no storage {storage}, where its OS template would be"
        else:
            shelf = (storage, node) if row is None else shelf_of(row)
            groups.setdefault(shelf, []).append(node)
    return lacks, groups

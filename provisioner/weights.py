"""How full a storage is, and what is sold of it: disks at the size that they may become. Pure.

A disk weighs what its guest sees of it, however little of that it takes yet.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

from provisioner.model import Kind

_GIB: Final = 2**30
#: The drive that cloud-init reads, which every virtual machine has besides its disks.
DRIVE: Final = 4 * 2**20
#: A storage: its name, and its node unless all nodes share it.
Shelf: TypeAlias = tuple[str, str | None]


def weigh(gib: int, kind: Kind) -> int:
    """Return what a machine of this kind weighs whose disks have `gib` GiB together."""
    return gib * _GIB + (DRIVE if kind is Kind.VM else 0)


@dataclass(frozen=True, slots=True)
class SoldSpace:
    """What all disks on a storage weigh together; `unread` is why that is not known."""

    weight: int = 0
    unread: str = ""

    @property
    def gib(self) -> int | None:
        """In GiB, a begun one for a whole one; None where it is not known."""
        return None if self.unread else _begun(self.weight)

    def refusal(self, storage: str, limit: int, more: int) -> str | None:
        """Say why `more` may not be sold of a storage of which `limit` may be; None if it may."""
        if self.unread:
            return f"what is sold of storage {storage} is not known ({self.unread})"
        if self.weight + more <= limit:
            return None
        return (
            f"storage {storage} has {_begun(self.weight)} GiB sold of {limit // _GIB} that may be "
            f"(storage_overcommit), and {more // _GIB} more are wanted: add storage, raise the "
            "limit, or wait until a machine there is destroyed"
        )


@dataclass(frozen=True, slots=True)
class StorageRoom:
    """How full a storage is; `left_gib` is beyond the reserve, `copying` how many clones run.

    `limit` is how many bytes of it may be sold; `sold` is None where nobody looked.
    """

    shelf: Shelf
    available: bool
    size_gib: int
    left_gib: int
    copying: int
    limit: int = 0
    sold: SoldSpace | None = None

    def oversold(self, weight: int) -> str | None:
        """Say why disks of so many bytes more may not be sold; None when they may."""
        sold = self.sold
        return None if sold is None else sold.refusal(self.shelf[0], self.limit, weight)


#: What is sold where nobody looked.
NOTHING: Final[Mapping[Shelf, SoldSpace]] = MappingProxyType({})


def _begun(weight: int) -> int:
    return -(-weight // _GIB)

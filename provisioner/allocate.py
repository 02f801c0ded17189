"""Choosing a VMID, and everything that follows from it.

A machine's MAC and addresses are functions of its VMID's place in the configured range, so the
hypervisor's refusal of a VMID that exists is the only reservation there is. What can go wrong is a
pool that is too small for its range: `Pool.problems` says so before anything is made.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import chain

from provisioner.errors import NoRoom
from provisioner.model import Addresses
from provisioner.ranges import AddressRange
from provisioner.terms import ANY_TERMS, Terms

__all__ = ["AddressRange", "Pool"]


@dataclass(frozen=True, slots=True)
class Pool:
    """The VMIDs that are ours, inclusive, and the addresses that go with them."""

    first: int
    last: int
    mac_prefix: str
    ipv4: AddressRange | None = None
    ipv6: AddressRange | None = None

    def __contains__(self, vmid: int) -> bool:
        return self.first <= vmid <= self.last

    @property
    def size(self) -> int:
        """How many machines fit."""
        return self.last - self.first + 1

    def addresses(self, vmid: int, terms: Terms = ANY_TERMS) -> Addresses:
        """Return what follows from `vmid`, on the networks that a plan names or else on our own.

        Raises ValueError outside the range.
        """
        if vmid not in self:
            raise ValueError(f"VMID {vmid} is not in {self.first}-{self.last}")
        offset = vmid - self.first
        ipv4, ipv6 = (
            (terms.ipv4, terms.ipv6) if terms.ipv4 or terms.ipv6 else (self.ipv4, self.ipv6)
        )
        return Addresses(
            mac=self._mac(offset),
            ipv4=ipv4.at(offset) if ipv4 else None,
            gateway4=ipv4.gateway if ipv4 else None,
            ipv6=ipv6.at(offset) if ipv6 else None,
            gateway6=ipv6.gateway if ipv6 else None,
        )

    def ranges(self) -> tuple[AddressRange, ...]:
        """Return the ranges that machines have addresses of where their plan names none."""
        return tuple(each for each in (self.ipv4, self.ipv6) if each)

    def problems(self) -> list[str]:
        """Say, a sentence each, why this pool cannot work; empty when it can."""
        if not 100 <= self.first <= self.last <= 999_999_999:
            return [f"VMIDs {self.first}-{self.last} are not a range within 100-999999999"]
        if self.size > 1 << 24:
            return [f"{self.size} VMIDs are more than one MAC prefix can number"]
        if not (self.ipv4 or self.ipv6):
            return ["a machine needs an address: give an IPv4 range, an IPv6 range, or both"]
        return [problem for addresses in self.ranges() for problem in addresses.problems(self.size)]

    def choose(self, taken: AbstractSet[int], start: int | None = None) -> int:
        """Return the lowest VMID that is not `taken`, from `start` on and then from the first.

        Raises NoRoom when there is none.
        """
        begin = self.first if start is None else start
        for vmid in chain(range(begin, self.last + 1), range(self.first, begin)):
            if vmid not in taken:
                return vmid
        raise NoRoom(
            f"all {self.size} VMIDs of {self.first}-{self.last} are taken or rest in quarantine; "
            "widen the range, or wait"
        )

    def _mac(self, offset: int) -> str:
        tail = (offset >> 16 & 255, offset >> 8 & 255, offset & 255)
        return f"{self.mac_prefix}:{tail[0]:02X}:{tail[1]:02X}:{tail[2]:02X}".upper()

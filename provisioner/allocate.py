"""Choosing a VMID, and everything that follows from it.

A machine's MAC and addresses are functions of its VMID's place in the configured range, so the
hypervisor's refusal of a VMID that exists is the only reservation there is. What can go wrong is a
pool that is too small for its range: `Pool.problems` says so before anything is made.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface
from itertools import chain

from provisioner.errors import NoRoom
from provisioner.model import Addresses


@dataclass(frozen=True, slots=True)
class AddressRange:
    """Consecutive addresses of one network: `first` in CIDR form, and the gateway.

    `first="10.0.0.10/22", gateway="10.0.0.1"` hands out 10.0.0.10, 10.0.0.11, …, all as /22.
    """

    first: str
    gateway: str

    def at(self, offset: int) -> str:
        """Return the address at `offset` in CIDR form. Raises ValueError outside the network."""
        start = self._start()
        address = start.ip + offset
        if address not in start.network:
            raise ValueError(f"{address} is outside {start.network}")
        return f"{address}/{start.network.prefixlen}"

    def problems(self, size: int) -> list[str]:
        """Say, a sentence each, why `size` addresses cannot be handed out from here."""
        try:
            start, gateway = self._start(), ip_address(self.gateway)
        except ValueError as error:
            return [str(error)]
        network, last = start.network, int(start.ip) + size - 1
        found = []
        usable = network.num_addresses - (2 if network.version == 4 else 1)
        if last > int(network.network_address) + usable or start.ip == network.network_address:
            found.append(f"{network} has no room for {size} addresses from {start.ip} on")
        if gateway.version != start.version or gateway not in network:
            found.append(f"the gateway {gateway} is not in {network}")
        elif int(start.ip) <= int(gateway) <= last:
            found.append(f"the gateway {gateway} is among the {size} addresses from {start.ip} on")
        return found

    def _start(self) -> IPv4Interface | IPv6Interface:
        return ip_interface(self.first)


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

    def addresses(self, vmid: int) -> Addresses:
        """Return what follows from `vmid`. Raises ValueError outside the range."""
        if vmid not in self:
            raise ValueError(f"VMID {vmid} is not in {self.first}-{self.last}")
        offset = vmid - self.first
        return Addresses(
            mac=self._mac(offset),
            ipv4=self.ipv4.at(offset) if self.ipv4 else None,
            gateway4=self.ipv4.gateway if self.ipv4 else None,
            ipv6=self.ipv6.at(offset) if self.ipv6 else None,
            gateway6=self.ipv6.gateway if self.ipv6 else None,
        )

    def problems(self) -> list[str]:
        """Say, a sentence each, why this pool cannot work; empty when it can."""
        if not 100 <= self.first <= self.last <= 999_999_999:
            return [f"VMIDs {self.first}-{self.last} are not a range within 100-999999999"]
        if self.size > 1 << 24:
            return [f"{self.size} VMIDs are more than one MAC prefix can number"]
        if not (self.ipv4 or self.ipv6):
            return ["a machine needs an address: give an IPv4 range, an IPv6 range, or both"]
        return [
            problem
            for addresses in (self.ipv4, self.ipv6)
            if addresses
            for problem in addresses.problems(self.size)
        ]

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

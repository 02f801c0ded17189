"""Consecutive addresses: the one at an offset, and what would be wrong with a range of them. Pure.

A range hands out the address at a VMID's place and nothing else, so two machines have the same one
only where two ranges overlap without being the same: whoever has several ranges asks `crosses`.
"""

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface


@dataclass(frozen=True, slots=True)
class AddressRange:
    """Consecutive addresses of one network: `first` in CIDR form, and the gateway.

    `first="10.0.0.10/22", gateway="10.0.0.1"` hands out 10.0.0.10, 10.0.0.11, …, all as /22.
    """

    first: str
    gateway: str

    def at(self, offset: int) -> str:
        """Return the address at `offset` in CIDR form. Raises ValueError outside the network."""
        return _address(self.first, offset)

    def span(self, size: int) -> str:
        """Return the first `size` addresses as firewalls write them: `FIRST-LAST`."""
        first = self._start().ip
        return str(first) if size == 1 else f"{first}-{first + (size - 1)}"

    def crosses(self, other: "AddressRange", size: int) -> bool:
        """Say whether the two hand out an address to different offsets, `size` of each."""
        here, there = ip_interface(self.first).ip, ip_interface(other.first).ip
        return (
            here.version == there.version and here != there and abs(int(here) - int(there)) < size
        )

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


@lru_cache(maxsize=1 << 15)
def _address(first: str, offset: int) -> str:
    start = ip_interface(first)
    address = start.ip + offset
    if address not in start.network:
        raise ValueError(f"{address} is outside {start.network}")
    return f"{address}/{start.network.prefixlen}"

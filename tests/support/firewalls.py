"""Who reaches whom, by the rule sets that the simulated cluster holds. Pure.

A packet is judged as Proxmox's firewall would: on departure by the sender's MAC, by its filter set,
then by its rules and policy; on arrival by the receiver's rules and policy. What answers an allowed
packet comes back. Where the datacenter's firewall, the guest's or its network card's is off,
nothing is judged at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface, ip_network
from typing import Final

from provisioner.simulator.cluster import Cluster
from provisioner.simulator.state import Firewall

#: ICMPv6 without which there are no neighbours; the option `ndp` lets it pass.
NEIGHBOURS: Final = frozenset({133, 134, 135, 136})
ROUTER_ADVERTISEMENT: Final = 134


@dataclass(frozen=True, slots=True)
class Packet:
    """The first packet of a connection; `kind` is the ICMP type where that is the protocol."""

    source: str
    dest: str
    mac: str
    proto: str = "tcp"
    port: int = 0
    kind: int | None = None


def reachable(
    cluster: Cluster,
    sender: int | str,
    receiver: int | str,
    port: int = 22,
    proto: str = "tcp",
    *,
    ipv6: bool = False,
    source: str | None = None,
    mac: str | None = None,
    kind: int | None = None,
) -> bool:
    """Say whether a packet gets from a guest (or an outside address) to another.

    `source` and `mac` are forged where they are given.
    """
    packet = Packet(
        source=source or _address(cluster, sender, ipv6=ipv6),
        dest=_address(cluster, receiver, ipv6=ipv6),
        mac=mac or (_mac(cluster, sender) if isinstance(sender, int) else ""),
        proto=proto,
        port=port,
        kind=kind,
    )
    leaves = not isinstance(sender, int) or _leaves(cluster, sender, packet)
    arrives = not isinstance(receiver, int) or _arrives(cluster, receiver, packet)
    return leaves and arrives


def link_local(mac: str) -> str:
    """Return the address that a network card gives itself."""
    parts = [int(part, 16) for part in mac.split(":")]
    parts[0] ^= 2
    octets = bytes([*parts[:3], 0xFF, 0xFE, *parts[3:]])
    return str(ip_address(int.from_bytes(b"\xfe\x80" + bytes(6) + octets)))


def _address(cluster: Cluster, who: int | str, *, ipv6: bool) -> str:
    if isinstance(who, str):
        return who
    container = cluster.guest(who).kind == "lxc"
    parts = _properties(cluster, who, "net0" if container else "ipconfig0")
    return str(ip_interface(parts["ip6" if ipv6 else "ip"]).ip)


def _properties(cluster: Cluster, vmid: int, key: str) -> Mapping[str, str]:
    text = str(cluster.guest(vmid).config.get(key, ""))
    return dict(part.split("=", 1) for part in text.split(",") if "=" in part)


def _mac(cluster: Cluster, vmid: int) -> str:
    card = _properties(cluster, vmid, "net0")
    return card.get("virtio") or card["hwaddr"]


def _firewall(cluster: Cluster, vmid: int) -> Firewall | None:
    """Return the firewall that is in force; None where anything switches it off."""
    firewall = cluster.state.firewalls.get(vmid)
    on = (
        cluster.state.firewall_options.get("enable") == 1
        and _properties(cluster, vmid, "net0").get("firewall") == "1"
        and firewall is not None
        and int(firewall.options.get("enable", 0)) == 1
    )
    return firewall if on else None


def _leaves(cluster: Cluster, vmid: int, packet: Packet) -> bool:
    firewall = _firewall(cluster, vmid)
    if firewall is None:
        return True
    options, mac = firewall.options, _mac(cluster, vmid)
    if int(options.get("dhcp", 1)) and packet.proto == "udp" and packet.port == 67:
        return True
    if int(options.get("macfilter", 1)) and packet.mac.upper() != mac.upper():
        return False
    if packet.kind == ROUTER_ADVERTISEMENT and not int(options.get("radv", 0)):
        return False
    filtered = int(options.get("ipfilter", 0)) or "ipfilter-net0" in firewall.ipsets
    if filtered and not _is_own(firewall, packet.source, mac):
        return False
    if int(options.get("ndp", 1)) and packet.kind in NEIGHBOURS:
        return True
    return _verdict(firewall, "out", packet, str(options.get("policy_out", "ACCEPT")))


def _is_own(firewall: Firewall, source: str, mac: str) -> bool:
    """Say whether an address is in the filter set, which has the link-local one by itself."""
    members = firewall.ipsets.get("ipfilter-net0", {})
    if any(ip_address(source) in ip_network(member) for member in members):
        return True
    return source == link_local(mac)


def _arrives(cluster: Cluster, vmid: int, packet: Packet) -> bool:
    firewall = _firewall(cluster, vmid)
    if firewall is None:
        return True
    if int(firewall.options.get("ndp", 1)) and packet.kind in NEIGHBOURS:
        return True
    return _verdict(firewall, "in", packet, str(firewall.options.get("policy_in", "DROP")))


def _verdict(firewall: Firewall, way: str, packet: Packet, policy: str) -> bool:
    for rule in firewall.rules:
        if rule["type"] == way and int(rule.get("enable", 0)) and _fits(firewall, rule, packet):
            return rule["action"] == "ACCEPT"
    return policy == "ACCEPT"


def _fits(firewall: Firewall, rule: Mapping[str, str | int], packet: Packet) -> bool:
    proto = str(rule.get("proto", packet.proto)).replace("icmpv6", "ipv6-icmp")
    if proto != packet.proto.replace("icmpv6", "ipv6-icmp"):
        return False
    if "icmp-type" in rule and str(rule["icmp-type"]) != str(packet.kind):
        return False
    told = (packet.kind or 0) if proto in {"icmp", "ipv6-icmp"} else packet.port
    if "dport" in rule and not _port_in(told, str(rule["dport"])):
        return False
    return all(
        _address_in(firewall, address, str(rule[key]))
        for key, address in (("source", packet.source), ("dest", packet.dest))
        if key in rule
    )


def _port_in(port: int, ports: str) -> bool:
    ends = (entry.split(":") for entry in ports.split(","))
    return any(int(entry[0]) <= port <= int(entry[-1]) for entry in ends)


def _address_in(firewall: Firewall, text: str, wanted: str) -> bool:
    address = ip_address(text)
    if wanted.startswith("+"):
        return any(address in ip_network(member) for member in firewall.ipsets[wanted[1:]])
    if wanted in firewall.aliases:
        return address in ip_network(firewall.aliases[wanted]["cidr"])
    for element in wanted.split(","):
        first, _, last = element.partition("-")
        if last:
            low, high = ip_address(first), ip_address(last)
            if low.version == address.version and int(low) <= int(address) <= int(high):
                return True
        elif address in ip_network(element):
            return True
    return False

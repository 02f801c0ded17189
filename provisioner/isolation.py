"""A guest's firewall as we mean it: which addresses are its own, and who is kept from it. Pure.

Tenants are kept apart twice: what comes from another tenant's address is dropped on arrival, and
what goes to one is dropped on departure, so that one firewall that is not in force betrays nobody.
Both rest on addresses that cannot be forged: a guest sends from its own MAC and from the members of
its filter set alone. How it fails: the hypervisor's firewall as a whole is switched off, and then
none of this holds, which `check` tells.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from functools import lru_cache
from ipaddress import ip_interface
from typing import Final

from provisioner.terms import OPEN, Inbound

#: The set of addresses that net0 may send from; Proxmox knows it by this name.
OWN_ADDRESSES: Final = "ipfilter-net0"
#: What every rule of ours says of itself.
COMMENT: Final = "chainwatch"
#: Where any guest may have addresses of its own making, which its neighbours would see.
LINK_LOCAL: Final = "fe80::/10"
#: A router asks which multicast groups are listened to; unanswered, a switch forgets the guest. A
#: kind of ICMP that has no name with Proxmox is told by its number, in place of a port: as
#: `icmp-type` a number is refused, and beside `ipv6-icmp`, the protocol's other name, a port is.
LISTENER_QUERY: Final = ("icmpv6", "130")

_OPTIONS: Final = {
    "enable": "1",
    "dhcp": "0",
    "ipfilter": "1",
    "macfilter": "1",
    "ndp": "1",
    "radv": "0",
    "policy_out": "ACCEPT",
    "log_level_in": "nolog",
    "log_level_out": "nolog",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that is switched on; `way` is `in` or `out`, what is empty restricts nothing.

    `other` is whatever else a rule that was read says; a rule of ours says nothing else.
    """

    way: str
    action: str
    proto: str = ""
    icmp_type: str = ""
    dport: str = ""
    source: str = ""
    dest: str = ""
    comment: str = COMMENT
    other: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Isolation:
    """A firewall, wanted or read, in one comparable form.

    `addresses` are the members of the filter set, None where there is no such set. `leftovers` are
    other sets and aliases (`ipset/NAME`, `aliases/NAME`), which a machine of ours has none of.
    """

    options: frozenset[tuple[str, str]]
    addresses: frozenset[str] | None
    rules: tuple[Rule, ...]
    leftovers: frozenset[str] = field(default_factory=frozenset)

    @property
    def stamp(self) -> str:
        """Return the hash that stands for it on a machine."""
        own = "none" if self.addresses is None else " ".join(sorted(self.addresses))
        rest = " ".join(sorted(self.leftovers))
        told = f"{_digest(self.options, self.rules)}|{own}|{rest}"
        return hashlib.sha256(told.encode()).hexdigest()[:32]

    def differences(self, other: "Isolation") -> list[str]:
        """Name what differs."""
        return [name for name in self.__slots__ if getattr(self, name) != getattr(other, name)]


@lru_cache(maxsize=64)
def _digest(options: frozenset[tuple[str, str]], rules: tuple[Rule, ...]) -> str:
    told = json.dumps([sorted(options), [astuple(rule) for rule in rules]])
    return hashlib.sha256(told.encode()).hexdigest()


def isolation(
    own: Sequence[str], tenants: Sequence[str], inbound: Inbound = OPEN, *, smtp: bool = False
) -> Isolation:
    """Return the firewall of a machine whose `own` addresses (CIDR) these are.

    It is kept from the address ranges of all `tenants`.
    """
    return with_addresses(common(tuple(tenants), inbound, smtp=smtp), own)


def with_addresses(frame: Isolation, own: Sequence[str]) -> Isolation:
    """Return the firewall `frame` of a machine whose `own` addresses (CIDR) these are."""
    return Isolation(frame.options, _bare(tuple(own)), frame.rules)


@lru_cache(maxsize=1 << 14)
def _bare(own: tuple[str, ...]) -> frozenset[str]:
    return frozenset(str(ip_interface(each).ip) for each in own)


@lru_cache(maxsize=256)
def common(tenants: tuple[str, ...], inbound: Inbound, *, smtp: bool) -> Isolation:
    """Return what is the same for all machines of a plan, and so may be in their template."""
    policy = "ACCEPT" if inbound.everything else "DROP"
    options = frozenset({**_OPTIONS, "policy_in": policy}.items())
    arriving = [*_from_neighbours(tenants), *_allowed(inbound)]
    leaving = [Rule("out", "DROP", dest=each) for each in tenants]
    if not smtp:
        leaving.append(Rule("out", "REJECT", proto="tcp", dport="25"))
    return Isolation(options, frozenset(), (*arriving, *leaving))


def _from_neighbours(tenants: Sequence[str]) -> list[Rule]:
    proto, kind = LISTENER_QUERY
    rules = [
        Rule("in", "ACCEPT", proto=proto, dport=kind, source=LINK_LOCAL),
        Rule("in", "DROP", source=LINK_LOCAL),
    ]
    return rules + [Rule("in", "DROP", source=each) for each in tenants]


def _allowed(inbound: Inbound) -> list[Rule]:
    if inbound.everything:
        return []
    ports = (("tcp", inbound.tcp), ("udp", inbound.udp))
    return [
        Rule("in", "ACCEPT", proto=proto, dport=",".join(several))
        for proto, several in ports
        if several
    ]

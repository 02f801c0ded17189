"""What a firewall rule may say, in a genuine 8.4.21's words where it may not.

Names are resolved where the rule is written: an alias or a set that does not exist is refused,
while a security group need not exist (the rule then does nothing). A kind of ICMP is told by its
name as `icmp-type`, or in place of a port by name or number; the last is from the source of
pve-firewall, as no rule of that kind was recorded. Only common protocols and macros are known here;
any other is answered like an unknown one.
"""

import ipaddress
import re
from collections.abc import Mapping

from provisioner.simulator.state import Firewall

PROTOCOLS = frozenset(
    ["tcp", "udp", "icmp", "icmpv6", "ipv6-icmp", "igmp", "esp", "ah", "gre", "sctp", "udplite"]
)
PORTED = frozenset(["tcp", "udp", "sctp", "udplite"])
#: Where a kind of ICMP may stand in place of a port; not for `ipv6-icmp`, the other name of one.
KINDED = frozenset(["icmp", "icmpv6"])
#: The kinds that either version of ICMP has by the same name, and those of one alone.
SHARED = frozenset(
    [
        "destination-unreachable",
        "port-unreachable",
        "redirect",
        "echo-request",
        "echo-reply",
        "time-exceeded",
        "router-advertisement",
        "router-solicitation",
        "parameter-problem",
        "ttl-zero-during-transit",
        "ttl-zero-during-reassembly",
    ]
)
KINDS4 = SHARED | frozenset(
    [
        "any",
        "network-unreachable",
        "host-unreachable",
        "protocol-unreachable",
        "source-quench",
        "fragmentation-needed",
        "timestamp-request",
        "timestamp-reply",
    ]
)
KINDS6 = SHARED | frozenset(
    [
        "no-route",
        "communication-prohibited",
        "beyond-scope",
        "address-unreachable",
        "failed-policy",
        "reject-route",
        "packet-too-big",
        "bad-header",
        "unknown-header-type",
        "unknown-option",
        "neighbor-solicitation",
        "neighbour-solicitation",
        "neighbor-advertisement",
        "neighbour-advertisement",
    ]
)
KINDS = {"icmp": KINDS4, "icmpv6": KINDS6, "ipv6-icmp": KINDS6}
MACROS = frozenset(["SSH", "HTTP", "HTTPS", "DNS", "Ping", "SMTP", "Web"])
LONGEST_LIST = 15


def trouble(firewall: Firewall, rule: Mapping[str, str | int]) -> dict[str, str]:
    """Return what is wrong with a rule, by parameter; empty when it can be."""
    if rule["type"] == "group":
        return {}
    text = {key: str(value) for key, value in rule.items()}
    found = {
        "action": _action(text["action"]),
        "proto": _proto(text),
        "macro": _macro(text.get("macro", "")),
        "dport": _ports("dport", text),
        "sport": _ports("sport", text),
        "source": _addresses(firewall, text.get("source", "")),
        "dest": _addresses(firewall, text.get("dest", "")),
        "icmp-type": _icmp(text),
    }
    wrong = {key: what for key, what in found.items() if what}
    versions = {version(text.get(key, "")) for key in ("source", "dest")} - {None}
    if not wrong and len(versions) > 1:
        wrong["dest"] = "detected mixed ipv4/ipv6 addresses in rule"
    return wrong


def version(addresses: str) -> int | None:
    """Return the IP version of a list of addresses, None for names and for nothing."""
    first = addresses.split(",", maxsplit=1)[0].split("-", maxsplit=1)[0]
    try:
        return ipaddress.ip_network(first).version
    except ValueError:
        return None


def _action(action: str) -> str:
    return "" if action in {"ACCEPT", "DROP", "REJECT"} else f"unknown action '{action}'"


def _proto(rule: Mapping[str, str]) -> str:
    proto = rule.get("proto", "")
    for key in ("dport", "sport"):
        if key in rule and not proto:
            return f"missing property - '{key}' requires this property"
    if proto and proto not in PROTOCOLS and not proto.isdecimal():
        return f"invalid format - unknown protocol '{proto}'\n"
    if proto and "macro" in rule:
        return "conflicting parameters"
    return ""


def _macro(macro: str) -> str:
    return f"unknown macro '{macro}'" if macro and macro not in MACROS else ""


def _ports(key: str, rule: Mapping[str, str]) -> str:
    value = rule.get(key, "")
    if not value or "proto" not in rule:
        return ""
    kinded = key == "dport" and rule["proto"] in KINDED
    if kinded and value in KINDS4 | KINDS6:
        return ""
    entries = value.split(",")
    for entry in entries:
        for port in entry.split(":"):
            if not port.isdecimal() or int(port) > 65_535:
                return f"invalid format - invalid port '{port}'\n"
    if rule["proto"] not in PORTED and not kinded:
        return f"protocol '{rule['proto']}' does not support ports"
    if sum(1 + (":" in entry) for entry in entries) > LONGEST_LIST:
        return f"too many entries in port list (> {LONGEST_LIST} numbers)"
    return ""


def _icmp(rule: Mapping[str, str]) -> str:
    kind, proto = rule.get("icmp-type", ""), rule.get("proto", "")
    if not kind:
        return ""
    if proto not in KINDS:
        return "missing property - 'proto' has to be icmp or ipv6-icmp"
    if "dport" in rule:
        return "'icmp-type' cannot be specified together with 'dport'"
    return "" if kind in KINDS[proto] else f"invalid icmp-type '{kind}' for proto '{proto}'"


def _addresses(firewall: Firewall, value: str) -> str:
    """Say what is wrong with a list of addresses and networks, a range, a set or an alias."""
    if value.startswith("+"):
        name = value[1:]
        return "" if name in firewall.ipsets else f"no such ipset '{name}'"
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]+", value):
        return "" if value in firewall.aliases else f"no such alias '{value}'"
    elements = [element for element in value.split(",") if element]
    ranges = [element for element in elements if "-" in element]
    if ranges and len(elements) > 1:
        return "you can't use a range in a list"
    ends = [end for element in elements for end in element.split("-")]
    if any(not _is_network(end) for end in ends):
        return "invalid IP address"
    mixed = len({version(end) for end in ends}) > 1
    return "detected mixed ipv4/ipv6 addresses in address list" if mixed else ""


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True

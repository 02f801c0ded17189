"""The formats that the official schema gives texts, besides what a pattern says.

A format is a list of words like `name=value` when it is an object, and otherwise has a name, which
is looked up in `NAMED`. One that is not there is a violation itself, so that none goes unchecked.
"""

import re
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface, ip_network
from typing import Final
from urllib.parse import unquote

from provisioner.backends.proxmox.api import JsonValue

Check = Callable[[str], bool]


def _matches(pattern: str) -> Check:
    compiled = re.compile(pattern)
    return lambda text: compiled.fullmatch(text) is not None


def _reads(read: Callable[[str], object]) -> Check:
    def check(text: str) -> bool:
        try:
            read(text)
        except ValueError:
            return False
        return True

    return check


def _each(check: Check, separators: str = r"[,;\s\0]+") -> Check:
    return lambda text: all(check(one) for one in re.split(separators, text) if one)


def _any(*checks: Check) -> Check:
    return lambda text: any(check(text) for check in checks)


def _both(*checks: Check) -> Check:
    return lambda text: all(check(text) for check in checks)


def _words(**checks: Check) -> Check:
    """A list `name=value,…` of these names, each at most once."""

    def check(text: str) -> bool:
        pairs = [part.partition("=") for part in text.split(",")]
        names = [name for name, _, _ in pairs]
        return len(names) == len(set(names)) and all(
            name in checks and sign == "=" and checks[name](value) for name, sign, value in pairs
        )

    return check


def _urlencoded(text: str) -> bool:
    """Nothing but what a URL may have, and it means text."""
    return re.fullmatch(r"[-\w.~%!*'()+/:@=]*", text) is not None and "\ufffd" not in unquote(text)


_ID: Final = _matches(r"[a-zA-Z][\w.-]*[a-zA-Z0-9]")
_VOLUME: Final = _matches(r"[a-zA-Z][\w.-]*[a-zA-Z0-9]:[^\s,:][^\s,]*")
_VMID: Final = _matches(r"[1-9][0-9]{2,8}")
_LABEL: Final = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_IPV4: Final = _reads(IPv4Address)
_IPV6: Final = _reads(IPv6Address)
_CIDR4: Final = _both(_matches(r"[\d.]+/\d{1,2}"), _reads(ip_interface))
_CIDR6: Final = _both(_matches(r"[\da-fA-F:.]*:[\da-fA-F:.]*/\d{1,3}"), _reads(ip_interface))
_ADDRESS: Final = _any(_reads(ip_address), _matches(rf"{_LABEL}(?:\.{_LABEL})*"))
_PORT: Final = r"(?:[0-9]{1,5}|[a-z][a-z0-9-]*)"
_PORTS: Final = _each(_matches(rf"{_PORT}(?::{_PORT})?"), ",")
_SPAN: Final = _matches(r"[0-9a-fA-F.:]+-[0-9a-fA-F.:]+")
_SET: Final = _matches(r"\+(?:dc/|guest/)?[A-Za-z][\w-]+")
_ALIAS: Final = _matches(r"(?:dc/|guest/)?[A-Za-z][\w-]+")
_NETWORK: Final = _reads(lambda text: ip_network(text, strict=False))
_BASE64: Final = _matches(r"[A-Za-z0-9+/]+={0,2}")
_UUID: Final = _matches(r"[a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}")
_SIZE: Final = _matches(r"\d+(?:\.\d+)?[KMGT]?")

NAMED: Final[Mapping[str, Check]] = {
    "CIDRv4": _CIDR4,
    "CIDRv6": _CIDR6,
    "IPorCIDR": _NETWORK,
    "IPorCIDRorAlias": _any(_NETWORK, _ALIAS),
    "address": _ADDRESS,
    "address-list": _each(_ADDRESS),
    "disk-size": _SIZE,
    "dns-name": _matches(rf"{_LABEL}(?:\.{_LABEL})*"),
    "dns-name-list": _each(_matches(rf"{_LABEL}(?:\.{_LABEL})*")),
    "ip": _reads(ip_address),
    "ipv4": _IPV4,
    "ipv6": _IPV6,
    "lxc-ip-with-ll-iface-list": _each(_reads(lambda text: ip_address(text.partition("%")[0]))),
    "mac-addr": _matches(r"[a-fA-F0-9]{2}(?::[a-fA-F0-9]{2}){5}"),
    "pve-bridge-id": _matches(r"[-_.\w]+"),
    "pve-configid": _matches(r"[a-zA-Z][\w-]+"),
    "pve-configid-list": _each(_matches(r"[a-zA-Z][\w-]+")),
    "pve-fw-addr-spec": _each(_any(_SET, _ALIAS, _SPAN, _NETWORK), ","),
    "pve-fw-comment-spec": lambda text: "\n" not in text,
    "pve-fw-dport-spec": _PORTS,
    "pve-fw-icmp-type-spec": _matches(r"[a-z0-9/-]+"),
    "pve-fw-protocol-spec": _matches(r"[a-z0-9-]+"),
    "pve-fw-sport-spec": _PORTS,
    "pve-groupid-list": _each(_matches(r"[\w.-]+")),
    "pve-ha-resource-or-vm-id": _matches(r"(?:(?:vm|ct):)?[1-9][0-9]{2,8}"),
    "pve-iface": _matches(r"[a-zA-Z][\w]{1,20}(?:[:.]\d+)?"),
    "pve-ipv4-config": _any(_CIDR4, _matches("dhcp|manual")),
    "pve-ipv6-config": _any(_CIDR6, _matches("auto|dhcp|manual")),
    "pve-lxc-mp-string": lambda text: re.search(r"/\.\.?(?:/|$)|^\.\./", text) is None,
    "pve-node": _matches(_LABEL),
    "pve-node-list": _each(_matches(_LABEL)),
    "pve-poolid": _matches(r"[\w.-]+(?:/[\w.-]+){0,2}"),
    "pve-priv-list": _each(_matches(r"[A-Z][\w.]+")),
    "pve-qm-boot": _any(
        _words(order=_each(_matches(r"[a-z]+\d+"), ";")), _matches(r"(?:legacy=)?[acdn]{1,4}")
    ),
    "pve-qm-cicustom": _words(meta=_VOLUME, network=_VOLUME, user=_VOLUME, vendor=_VOLUME),
    "pve-qm-ipconfig": _words(
        gw=_IPV4,
        gw6=_IPV6,
        ip=_any(_CIDR4, _matches("dhcp")),
        ip6=_any(_CIDR6, _matches("dhcp|auto")),
    ),
    "pve-qm-smbios1": _words(
        uuid=_UUID,
        base64=_matches("[01]"),
        **dict.fromkeys(("version", "serial", "manufacturer", "product", "sku", "family"), _BASE64),
    ),
    "pve-realm": _matches(r"[A-Za-z][\w.-]+"),
    "pve-roleid": _matches(r"[\w.-]+"),
    "pve-roleid-list": _each(_matches(r"[\w.-]+")),
    "pve-snapshot-name": _matches(r"[a-zA-Z][\w-]+"),
    "pve-startup-order": _words(order=_matches(r"\d+"), up=_matches(r"\d+"), down=_matches(r"\d+")),
    "pve-storage-content": _matches(r"[a-z]+"),
    "pve-storage-content-list": _each(_matches(r"[a-z]+")),
    "pve-storage-id": _ID,
    "pve-storage-id-list": _each(_ID),
    "pve-tokenid-list": _each(_matches(r"[^\s:/]+@[A-Za-z][\w.-]+![A-Za-z][\w.-]+")),
    "pve-tag-list": _each(_matches(r"[a-z0-9_][a-z0-9_+.-]*")),
    "pve-task-status-type-list": _each(_matches("ok|error|warning|unknown")),
    "pve-userid": _matches(r"[^\s:/]+@[A-Za-z][\w.-]+"),
    "pve-userid-list": _each(_matches(r"[^\s:/]+@[A-Za-z][\w.-]+")),
    "pve-vmid": _VMID,
    "pve-vmid-list": _each(_VMID),
    "pve-volume-id": _VOLUME,
    "pve-volume-id-or-absolute-path": _any(_VOLUME, _matches(r"/\S+")),
    "pve-volume-id-or-qm-path": _any(_VOLUME, _matches(r"none|cdrom|/dev/\S+")),
    "string": lambda _: True,
    "urlencoded": _urlencoded,
}


def unfit(name: str, text: str) -> str | None:
    """Say what is wrong with a text of the format `name`; None where nothing is."""
    check = NAMED.get(name)
    if check is None:
        return f"nobody wrote down what the format {name} is"
    return None if check(text) else f"{text!r} is no {name}"


def properties(members: Mapping[str, JsonValue], text: str) -> tuple[dict[str, str], str | None]:
    """Take a list `name=value,…` apart; returns the values, and what is wrong with the list.

    A member may stand for another one, and one of them may be said without its name.
    """
    found: dict[str, str] = {}
    for part in text.split(","):
        name, sign, value = part.partition("=")
        if not sign:
            name, value = _unnamed(members), part
        rule = members.get(name)
        if not isinstance(rule, dict):
            return found, f"unknown word {part!r}"
        pairs = [(str(rule.get("alias", name)), value)]
        if "keyAlias" in rule:
            pairs.append((str(rule["keyAlias"]), name))
        for key, each in pairs:
            if key in found:
                return found, f"{key} is said twice"
            found[key] = each
    return found, None


def _unnamed(members: Mapping[str, JsonValue]) -> str:
    for name, rule in members.items():
        if isinstance(rule, dict) and rule.get("default_key"):
            return name
    return ""

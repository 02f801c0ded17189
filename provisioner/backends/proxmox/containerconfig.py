"""A container's configuration, as Proxmox writes it and as we mean it.

The other half of `guestconfig`, by the same law: what `changes` writes, `parse` reads back as equal
settings. A container has no cloud-init and no firmware, so its addresses are in `net0` itself, and
whose it is shows by its description and by net0's MAC. What a token cannot take away (features,
devices, hooks) is not in what we make; what somebody adds is a leftover.
"""

import re
from collections.abc import Mapping
from typing import Final

from provisioner.backends.proxmox.answers import Record, flag, number, text
from provisioner.backends.proxmox.values import limit, plain, properties, size, tags
from provisioner.model import GuestConfig, GuestSettings, Kind

_FOREIGN: Final = re.compile(r"hookscript|searchdomain|startup|net(?!0$)\d+|(mp|dev)\d+|lxc\..+")
_GIB: Final = 2**30
_DEFAULTS: Final = {"memory": "512", "onboot": "0", "protection": "0"}
_ADDRESSES: Final = ("ip", "gw", "ip6", "gw6")
_LIMITS: Final = ("tag", "trunks", "rate")
_NET: Final = ("name", "bridge", "firewall", "hwaddr", "link_down", "type", *_ADDRESSES, *_LIMITS)
_NET_KEPT: Final = ("mtu",)
_CARD: Final = "eth0"


def parse(raw: Record) -> GuestConfig:
    """Return the meaning of a configuration as `GET …/config` gives it (pending values)."""
    root = text(raw, "rootfs")
    return GuestConfig(
        settings=_settings(raw),
        description=text(raw, "description").rstrip(),
        disk="rootfs" if root else None,
        disk_gib=size(root) // _GIB,
        lock=text(raw, "lock") or None,
        digest=text(raw, "digest"),
        template=flag(raw, "template"),
        storage=root.partition(":")[0] or None,
        kind=Kind.CONTAINER,
    )


def changes(raw: Record, settings: GuestSettings, description: str) -> dict[str, str]:
    """Return the parameters that make `raw` show `settings` and `description`; {} for none."""
    wanted = _render(raw, settings, description)
    send = {key: value for key, value in wanted.items() if value and value != _shown(raw, key)}
    gone = {key for key, value in wanted.items() if not value and key in raw}
    gone |= {key for key in _leftovers(raw) if key not in wanted and key not in settings.leftovers}
    if gone:
        send["delete"] = ",".join(sorted(gone))
    return send


def _settings(raw: Record) -> GuestSettings:
    net = properties(text(raw, "net0"))
    return GuestSettings(
        name=text(raw, "hostname"),
        cores=number(raw, "cores"),
        memory_mib=number(raw, "memory", int(_DEFAULTS["memory"])),
        bridge=net.get("bridge", ""),
        mac=net.get("hwaddr", "").upper(),
        ipconfig=",".join(f"{key}={net[key]}" for key in _ADDRESSES if key in net),
        nameserver=text(raw, "nameserver"),
        user="",
        ssh_keys="",
        uuid="",
        tags=frozenset(tags(text(raw, "tags"))),
        onboot=flag(raw, "onboot"),
        protection=flag(raw, "protection"),
        link_up=net.get("link_down", "0") != "1",
        agent=False,
        vlan=number(net, "tag"),
        trunks=net.get("trunks", ""),
        rate=limit(net.get("rate", "")),
        cpu_limit=limit(text(raw, "cpulimit")),
        leftovers=frozenset(_leftovers(raw)),
    )


def _render(raw: Record, settings: GuestSettings, description: str) -> dict[str, str]:
    return {
        "hostname": settings.name,
        "description": description.rstrip(),
        "cores": str(settings.cores) if settings.cores else "",
        "memory": str(settings.memory_mib),
        "net0": _net0(raw, settings),
        "nameserver": settings.nameserver,
        "tags": ";".join(tags(";".join(settings.tags))),
        "onboot": str(int(settings.onboot)),
        "protection": str(int(settings.protection)),
        "cpulimit": plain(settings.cpu_limit) if settings.cpu_limit else "",
    }


def _net0(raw: Record, settings: GuestSettings) -> str:
    """Return net0 as wanted, its packets as large as they are."""
    if not settings.mac:
        return ""
    have = properties(text(raw, "net0"))
    wanted = {
        "name": _CARD,
        "bridge": settings.bridge,
        "firewall": "1",
        "hwaddr": settings.mac,
        "type": "veth",
        **properties(settings.ipconfig),
    }
    if not settings.link_up:
        wanted["link_down"] = "1"
    if settings.vlan:
        wanted["tag"] = str(settings.vlan)
    if settings.trunks:
        wanted["trunks"] = settings.trunks
    if settings.rate:
        wanted["rate"] = plain(settings.rate)
    return _ordered(wanted | {key: have[key] for key in _NET_KEPT if key in have})


def _shown(raw: Record, key: str) -> str:
    """Return what Proxmox shows for `key`, in the form in which `_render` would write it."""
    value = text(raw, key, _DEFAULTS.get(key, "") if raw else "")
    match key:
        case "description":
            return value.rstrip()
        case "cpulimit":
            return plain(limit(value))
        case "tags":
            return ";".join(tags(value))
        case "net0":
            return _ordered(properties(value))
        case "onboot" | "protection":
            return str(int(flag(raw, key)))
        case _:
            return value


def _ordered(net: Mapping[str, str]) -> str:
    """Return net0's properties in our order, so that order alone is no difference."""
    known = {key: net[key] for key in (*_NET, *_NET_KEPT) if key in net}
    if known.get("link_down") == "0":
        del known["link_down"]
    rest = {key: value for key, value in net.items() if key not in (*_NET, *_NET_KEPT)}
    return ",".join(f"{key}={value}" for key, value in (known | rest).items())


def _leftovers(raw: Record) -> list[str]:
    """Return what must not stay: foreign keys, and a network card with foreign parts."""
    found = [key for key in raw if _FOREIGN.fullmatch(key) and text(raw, key) not in {"", "0"}]
    net = properties(text(raw, "net0"))
    odd = set(net) - set(_NET) - set(_NET_KEPT)
    if net and (odd or net.get("firewall") != "1" or net.get("name") != _CARD):
        found.append("net0")
    return found

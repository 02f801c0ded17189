"""A guest's configuration, as Proxmox writes it and as we mean it.

Reading and writing are two halves of one thing: what `changes` writes, `parse` reads back as equal
settings, or a machine would be configured for ever. Keys that say what a guest is given (disks,
firmware, display) belong to the template and stay; of the boot disk's line the limits are ours.
Keys that a machine of ours must not carry, and foreign parts of keys that are ours, are
`leftovers`: deleted, or written over, in the same call.
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote, unquote

from provisioner.backends.proxmox import disklimits
from provisioner.backends.proxmox.answers import Record, flag, number, text
from provisioner.backends.proxmox.values import limit, plain, properties, size, tags
from provisioner.errors import Permanent
from provisioner.model import GuestConfig, GuestSettings
from provisioner.terms import UNLIMITED

#: What a clone inherits and a tenant must not get: secrets, hooks, devices, networks, shares of CPU
#: other than the bought ones.
_FOREIGN: Final = re.compile(
    r"cipassword|args|hookscript|searchdomain|startup|vcpus|affinity|ivshmem"
    r"|audio\d+|net(?!0$)\d+|ipconfig(?!0$)\d+|(usb|hostpci|parallel|virtiofs)\d+"
)
_DISK: Final = re.compile(r"(scsi|virtio|sata|ide)\d+")
_VOLUME: Final = re.compile(r"(scsi|virtio|sata|ide|efidisk|tpmstate)\d+")
_GIB: Final = 2**30
_ADDRESS_PARTS: Final = ("ip", "gw", "ip6", "gw6")
_DEFAULTS: Final = {"cores": "1", "memory": "512", "onboot": "0", "protection": "0"}
_NET_PARTS: Final = ("virtio", "bridge", "firewall", "link_down", "tag", "trunks", "rate")
_NET_KEPT: Final = ("queues", "mtu")


def parse(raw: Record) -> GuestConfig:
    """Return the meaning of a configuration as `GET …/config` gives it (pending values)."""
    disk = _boot_disk(raw)
    return GuestConfig(
        settings=_settings(raw, disk),
        description=text(raw, "description").rstrip(),
        disk=disk,
        disk_gib=size(text(raw, disk)) // _GIB if disk else 0,
        lock=text(raw, "lock") or None,
        digest=text(raw, "digest"),
        template=flag(raw, "template"),
        storage=text(raw, disk).partition(":")[0] if disk else None,
        more_gib=math.ceil(sum(_others(raw, disk)) / _GIB),
    )


def _others(raw: Record, disk: str | None) -> Iterable[int]:
    """Return the bytes of every disk but the boot disk; what is read from an image is none."""
    lines = (text(raw, key) for key in raw if _VOLUME.fullmatch(key) and key != disk)
    return (size(line) for line in lines if "media=cdrom" not in line)


def changes(raw: Record, settings: GuestSettings, description: str) -> dict[str, str]:
    """Return the parameters that make `raw` show `settings` and `description`; {} for none.

    Only what differs is sent. An empty value is a deletion, and so is a leftover.
    """
    wanted = _render(raw, settings, description)
    send = {key: value for key, value in wanted.items() if value and value != _shown(raw, key)}
    gone = {key for key, value in wanted.items() if not value and key in raw}
    gone |= {key for key in _leftovers(raw) if key not in wanted and key not in settings.leftovers}
    if gone:
        send["delete"] = ",".join(sorted(gone))
    return send


def _settings(raw: Record, disk: str | None) -> GuestSettings:
    net = properties(text(raw, "net0"))
    return GuestSettings(
        name=text(raw, "name"),
        cores=number(raw, "cores", 1),
        memory_mib=_memory(raw),
        bridge=net.get("bridge", ""),
        mac=_mac(net),
        ipconfig=_ipconfig(text(raw, "ipconfig0")),
        nameserver=text(raw, "nameserver"),
        user=text(raw, "ciuser"),
        ssh_keys=unquote(text(raw, "sshkeys")),
        uuid=properties(text(raw, "smbios1")).get("uuid", "").lower(),
        tags=frozenset(tags(text(raw, "tags"))),
        onboot=flag(raw, "onboot"),
        protection=flag(raw, "protection"),
        link_up=net.get("link_down", "0") != "1",
        agent=_agent_enabled(raw),
        cicustom=text(raw, "cicustom"),
        vlan=number(net, "tag"),
        trunks=net.get("trunks", ""),
        rate=limit(net.get("rate", "")),
        cpu_limit=limit(text(raw, "cpulimit")),
        disk_limits=disklimits.read(text(raw, disk)) if disk else UNLIMITED,
        leftovers=frozenset(_leftovers(raw)),
    )


def _render(raw: Record, settings: GuestSettings, description: str) -> dict[str, str]:
    return {
        "name": settings.name,
        "description": description.rstrip(),
        "cores": str(settings.cores),
        "memory": str(settings.memory_mib),
        "net0": _net0(raw, settings),
        "ipconfig0": settings.ipconfig,
        "nameserver": settings.nameserver,
        "ciuser": settings.user,
        "sshkeys": quote(settings.ssh_keys, safe=""),
        "smbios1": f"uuid={settings.uuid}" if settings.uuid else "",
        "tags": ";".join(tags(";".join(settings.tags))),
        "onboot": str(int(settings.onboot)),
        "protection": str(int(settings.protection)),
        "cpulimit": plain(settings.cpu_limit) if settings.cpu_limit else "",
        "agent": _agent(raw, enabled=settings.agent),
        "cicustom": settings.cicustom,
        **_disk(raw, settings),
    }


def _disk(raw: Record, settings: GuestSettings) -> dict[str, str]:
    """Return the boot disk's line as wanted. Raises Permanent where there is none to limit."""
    disk = _boot_disk(raw)
    if disk is None and settings.disk_limits != UNLIMITED:
        raise Permanent("it has no boot disk to limit: mend the template's boot order")
    return {disk: disklimits.write(text(raw, disk), settings.disk_limits)} if disk else {}


def _net0(raw: Record, settings: GuestSettings) -> str:
    """Return net0 as wanted, and of the template how many queues it has and their size."""
    if not settings.mac:
        return ""
    have = properties(text(raw, "net0"))
    parts = [f"virtio={settings.mac}", f"bridge={settings.bridge}", "firewall=1"]
    if not settings.link_up:
        parts.append("link_down=1")
    if settings.vlan:
        parts.append(f"tag={settings.vlan}")
    if settings.trunks:
        parts.append(f"trunks={settings.trunks}")
    if settings.rate:
        parts.append(f"rate={plain(settings.rate)}")
    return ",".join(parts + [f"{key}={have[key]}" for key in _NET_KEPT if key in have])


def _shown(raw: Record, key: str) -> str:
    """Return what Proxmox shows for `key`, in the form in which `_render` would write it."""
    value = text(raw, key, _DEFAULTS.get(key, ""))
    match key:
        case "memory":
            return str(_memory(raw))
        case "tags":
            return ";".join(tags(value))
        case "ipconfig0":
            return _ipconfig(value)
        case "net0":
            return ",".join(f"{k}={v}" for k, v in _ordered_net(properties(value)).items())
        case "onboot" | "protection":
            return str(int(flag(raw, key)))
        case "description":
            return value.rstrip()
        case "cpulimit":
            return plain(limit(value))
        case "smbios1":
            return _lower_uuid(value)
        case _:
            return value


def _lower_uuid(value: str) -> str:
    return value.lower() if set(properties(value)) == {"uuid"} else value


def _ordered_net(net: Mapping[str, str]) -> dict[str, str]:
    """Return net0's properties in our order, so that order alone is no difference."""
    order = (*_NET_PARTS, *_NET_KEPT)
    known = {key: net[key] for key in order if key in net and (key, net[key]) != ("link_down", "0")}
    return known | {key: value for key, value in net.items() if key not in order}


def _leftovers(raw: Record) -> list[str]:
    """Return what must not stay: foreign keys, and keys of ours with foreign parts."""
    found = [key for key in raw if _FOREIGN.fullmatch(key) and text(raw, key) not in {"", "0"}]
    if text(raw, "sockets", "1") != "1":
        found.append("sockets")
    if text(raw, "numa0"):
        found.extend(key for key in raw if re.fullmatch(r"numa\d+", key))
    if set(properties(text(raw, "smbios1"))) - {"uuid"}:
        found.append("smbios1")
    if _foreign_net(raw):
        found.append("net0")
    return found


def _foreign_net(raw: Record) -> bool:
    net = properties(text(raw, "net0"))
    odd = set(net) - {*_NET_PARTS, *_NET_KEPT}
    return bool(net) and (bool(odd) or "virtio" not in net or net.get("firewall") != "1")


def _mac(net: Mapping[str, str]) -> str:
    """Return the MAC: net0's model is the key (`virtio=BC:24:…`), or there is a `macaddr`."""
    hardware = r"([0-9A-F]{2}:){5}[0-9A-F]{2}"
    found = (value.upper() for value in net.values() if re.fullmatch(hardware, value.upper()))
    return next(found, "")


def _memory(raw: Record) -> int:
    """Return MiB; Proxmox shows `"384"` or `"current=384"`, and nothing for its default, 512."""
    value = text(raw, "memory", _DEFAULTS["memory"])
    return int(properties(value).get("current", value))


def _ipconfig(value: str) -> str:
    parts = properties(value)
    return ",".join(f"{key}={parts[key]}" for key in _ADDRESS_PARTS if key in parts)


def _agent_enabled(raw: Record) -> bool:
    agent = properties(text(raw, "agent"))
    return agent.get("enabled", agent.get("", "0")) == "1"


def _agent(raw: Record, *, enabled: bool) -> str:
    """Return the agent's setting, as it stands if it says so already, its other parts kept."""
    have = text(raw, "agent")
    if _agent_enabled(raw) is enabled and have:
        return have
    rest = {k: v for k, v in properties(have).items() if k not in {"", "enabled"}}
    return ",".join([str(int(enabled)), *(f"{key}={value}" for key, value in rest.items())])


def _boot_disk(raw: Record) -> str | None:
    """Return the key of the disk that the guest boots from, by `boot`, else the first there is."""
    boot = properties(text(raw, "boot")).get("order", "").split(";")
    ordered: Iterable[str] = (*boot, text(raw, "bootdisk"), *sorted(raw))
    return next((key for key in ordered if key in raw and _is_disk(key, text(raw, key))), None)


def _is_disk(key: str, value: str) -> bool:
    return bool(_DISK.fullmatch(key)) and "media=cdrom" not in value

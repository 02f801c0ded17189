"""What a container's configuration key may hold, and which privilege changes it.

As for virtual machines: from the official schema, for the keys that a lease controller uses, with
the words of a genuine 8.4.21. A create takes some more than a change does; what only root@pam may
have (a bind mount, a device, most features) is refused to every token.
"""

import re
from collections.abc import Callable, Mapping

from provisioner.simulator.configrules import (
    DESCRIPTION,
    NAME,
    TAGS,
    format_error,
    ip_error,
    numbered,
    properties,
)
from provisioner.simulator.params import COUNT, FLAG, TEXT, UNKNOWN, VMID, Kind, Rule
from provisioner.simulator.wire import Refused, Value

OSTYPES = (
    *("debian", "devuan", "ubuntu", "centos", "fedora", "opensuse", "archlinux", "alpine"),
    *("gentoo", "nixos", "unmanaged"),
)
FEATURES = ("force_rw_sys", "fuse", "keyctl", "mknod", "mount", "nesting")
NET_KEYS = (
    *("name", "bridge", "firewall", "gw", "gw6", "hwaddr", "ip", "ip6", "link_down", "mtu"),
    *("rate", "tag", "trunks", "type"),
)
WORDS_ALONE = {"ip": ("dhcp", "manual"), "ip6": ("dhcp", "auto", "manual")}
MOUNT_POINTS = ("rootfs", *(f"mp{number}" for number in range(256)))


def _net(name: str) -> Callable[[str], str | None]:
    def check(text: str) -> str | None:
        given = properties(text)
        wrong = [f"{name}.{key}: {UNKNOWN}" for key in given if key not in NET_KEYS]
        if "name" not in given:
            wrong.append(f"{name}.name: property is missing and it is not optional")
        for key in ("ip", "ip6", "gw", "gw6"):
            if key in given and given[key] not in WORDS_ALONE.get(key, ()):
                what = ip_error(key, given[key])
                wrong += [f"{name}.{key}: {what}"] if what else []
        return format_error(*wrong) if wrong else None

    return check


def _features(text: str) -> str | None:
    wrong = [f"features.{key}: {UNKNOWN}" for key in properties(text) if key not in FEATURES]
    return format_error(*wrong) if wrong else None


CONFIG_RULES: dict[str, Rule] = {
    "arch": Rule(words=("amd64", "i386", "arm64", "armhf", "riscv32", "riscv64")),
    "cmode": Rule(words=("shell", "console", "tty")),
    "console": FLAG,
    "cores": Rule(Kind.INTEGER, minimum=1, maximum=8192),
    "cpulimit": Rule(Kind.NUMBER, minimum=0, maximum=8192),
    "cpuunits": Rule(Kind.INTEGER, minimum=0, maximum=500_000),
    "description": DESCRIPTION,
    "features": Rule(check=_features),
    "hostname": Rule(longest=255, check=NAME.check),
    "memory": Rule(Kind.INTEGER, minimum=16),
    "nameserver": TEXT,
    "onboot": FLAG,
    "ostype": Rule(words=OSTYPES),
    "protection": FLAG,
    "rootfs": TEXT,
    "searchdomain": TEXT,
    "startup": TEXT,
    "swap": COUNT,
    "tags": TAGS,
    "timezone": TEXT,
    "tty": Rule(Kind.INTEGER, minimum=0, maximum=6),
    "unprivileged": FLAG,
    **{f"net{number}": Rule(check=_net(f"net{number}")) for number in range(32)},
    **numbered("mp", 256, TEXT),
    **numbered("dev", 256, TEXT),
    **numbered("unused", 256, TEXT),
}
CREATE_RULES: dict[str, Rule] = CONFIG_RULES | {
    "vmid": Rule(Kind.INTEGER, required=True, check=VMID.check),
    "ostemplate": Rule(required=True, longest=255),
    "force": FLAG,
    "password": Rule(shortest=5),
    "pool": TEXT,
    "restore": FLAG,
    "ssh-public-keys": TEXT,
    "start": FLAG,
    "storage": TEXT,
    "template": FLAG,
    "unique": FLAG,
}
CHANGE_RULES: dict[str, Rule] = CONFIG_RULES | {
    "delete": TEXT,
    "digest": Rule(longest=40),
    "revert": TEXT,
}

_PRIVILEGES = {
    "VM.Config.CPU": ("cores", "cpulimit", "cpuunits"),
    "VM.Config.Memory": ("memory", "swap"),
    "VM.Config.Network": ("hostname", "nameserver", "net", "searchdomain"),
    "VM.Config.Disk": ("mp", "rootfs", "unused"),
}
_BY_FAMILY = {family: need for need, families in _PRIVILEGES.items() for family in families}
ANY_CONFIG_PRIVILEGE = "|".join(
    f"VM.Config.{kind}" for kind in ("Disk", "CPU", "Memory", "Network", "Options")
)


def privilege_for(key: str) -> str:
    """Return the privilege that changing `key` needs."""
    return _BY_FAMILY.get(key.rstrip("0123456789"), "VM.Config.Options")


def refuse_what_is_roots(params: Mapping[str, Value], *, unprivileged: bool) -> None:
    """Refuse with 403 what no token may set."""
    for key, value in params.items():
        if re.match(r"mp\d+$", key) and str(value).startswith("/"):
            raise _only_root("mount point type bind")
        if re.match(r"dev\d+$", key):
            raise _only_root("configuring device passthrough")
    features = properties(str(params.get("features", "")))
    if features and not unprivileged:
        raise _only_root("changing feature flags for privileged container")
    if features.keys() - {"nesting"}:
        raise _only_root("changing feature flags (except nesting)")


def _only_root(what: str) -> Refused:
    return Refused(f"Permission check failed ({what} is only allowed for root@pam)", 403)

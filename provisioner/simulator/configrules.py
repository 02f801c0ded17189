"""What a QEMU configuration key may hold, and which privilege changes it.

Taken from the official schema for the keys that a lease controller uses, the error texts from a
genuine 8.4.21 API. A key that is not here is answered like an unknown one (400), loudly, rather
than stored unchecked.
"""

import ipaddress
import re
from collections.abc import Callable

from provisioner.simulator.params import FLAG, TEXT, Kind, Rule

LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
DNS_NAME = re.compile(rf"{LABEL}(?:\.{LABEL})*")
TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_\-+.]*")
URLENCODED = re.compile(r"[-%a-zA-Z0-9_.!~*'()]*")
UNICAST_MAC = re.compile(r"[0-9a-fA-F][02468aceACE](?::[0-9a-fA-F]{2}){5}")
UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
NET_MODELS = ("virtio", "e1000", "e1000e", "rtl8139", "vmxnet3")
NET_KEYS = frozenset(
    [
        "bridge",
        "firewall",
        "link_down",
        "macaddr",
        "model",
        "mtu",
        "queues",
        "rate",
        "tag",
        "trunks",
    ]
)


def _dns_name(text: str) -> str | None:
    if DNS_NAME.fullmatch(text):
        return None
    return "invalid format - value does not look like a valid DNS name\n"


def _tags(text: str) -> str | None:
    bad = [tag for tag in re.split(r"[,;\s]+", text) if tag and not TAG.fullmatch(tag)]
    return "invalid format - invalid characters in tag\n" if bad else None


def _urlencoded(text: str) -> str | None:
    if URLENCODED.fullmatch(text):
        return None
    return f"invalid format - invalid urlencoded string: {text}\n"


def _addresses(text: str) -> str | None:
    for word in re.split(r"[,;\s]+", text):
        if word and not _is(ipaddress.ip_address, word):
            return f"invalid format - value does not look like a valid IP address: {word}\n"
    return None


def _is(read: Callable[[str], object], text: str) -> bool:
    try:
        read(text)
    except ValueError:
        return False
    return True


def format_error(*lines: str) -> str:
    """Return the error of a parameter that is a list of properties, one line for each."""
    return "invalid format - format error\n" + "".join(f"{line}\n" for line in lines)


def properties(text: str) -> dict[str, str]:
    """Return `a=1,b=2` as a mapping."""
    pairs = (part.partition("=") for part in text.split(",") if part)
    return {key: value for key, _, value in pairs}


def _ipconfig(name: str) -> Callable[[str], str | None]:
    def check(text: str) -> str | None:
        given = properties(text)
        wrong = [
            f"{name}.{key}: {what}"
            for key, value in given.items()
            if (what := ip_error(key, value))
        ]
        for gateway, address in (("gw", "ip"), ("gw6", "ip6")):
            if gateway in given and address not in given:
                needs = f"missing property - '{name}.{gateway}' requires this property"
                wrong.append(f"{name}.{address}: {needs}")
        return format_error(*wrong) if wrong else None

    return check


def ip_error(key: str, value: str) -> str | None:
    """Say what is wrong with the address (`ip`, `ip6`) or gateway (`gw`, `gw6`) `value`."""
    version = "6" if key.endswith("6") else "4"
    if key in {"ip", "ip6"}:
        if value in ({"dhcp"} if key == "ip" else {"dhcp", "auto"}):
            return None
        interface = ipaddress.IPv4Interface if key == "ip" else ipaddress.IPv6Interface
        if "/" in value and _is(interface, value) and int(value.split("/")[1]) >= 8:
            return None
        return (
            f"invalid format - value does not look like a valid ipv{version} network"
            " configuration\n"
        )
    if key in {"gw", "gw6"}:
        address = ipaddress.IPv4Address if key == "gw" else ipaddress.IPv6Address
        wrong = f"invalid format - value does not look like a valid ipv{version} address\n"
        return None if _is(address, value) else wrong
    return "property is not defined in schema and the schema does not allow additional properties"


def _net(name: str) -> Callable[[str], str | None]:
    def check(text: str) -> str | None:
        first, _, rest = text.partition(",")
        model, _, mac = first.partition("=")
        wrong: list[str] = []
        if model not in NET_MODELS:
            wrong.append(f"{name}.model: property is missing and it is not optional")
        macs = [mac, properties(rest).get("macaddr", "")]
        if any(value and not UNICAST_MAC.fullmatch(value) for value in macs):
            what = "value does not look like a valid unicast MAC address"
            wrong.append(f"{name}.macaddr: invalid format - {what}\n")
        unknown = [key for key in properties(rest) if key not in NET_KEYS]
        wrong += [f"{name}.{key}: property is not defined in schema" for key in unknown]
        return format_error(*wrong) if wrong else None

    return check


def _smbios(text: str) -> str | None:
    uuid = properties(text).get("uuid", "")
    if not uuid or UUID.fullmatch(uuid):
        return None
    return format_error("smbios1.uuid: value does not match the regex pattern")


def _memory(text: str) -> str | None:
    if not text.isdigit():
        return format_error(f"memory.current: type check ('integer') failed - got '{text}'")
    if int(text) < 16:
        return format_error("memory.current: value must have a minimum value of 16")
    return None


def machine_type(text: str) -> str | None:
    """Say what is wrong with a kind of machine."""
    if re.fullmatch(r"(pc|q35|virt|(pc-(i440fx|q35)|virt)-\d+(\.\d+)+(\+pve\d+)?)(,.*)?", text):
        return None
    return format_error("machine.type: value does not match the regex pattern")


def numbered(name: str, count: int, rule: Rule) -> dict[str, Rule]:
    """Return the same rule for `name0` and so on."""
    return {f"{name}{index}": rule for index in range(count)}


DESCRIPTION = Rule(longest=8192)
NAME = Rule(check=_dns_name)
TAGS = Rule(check=_tags)

CONFIG_RULES: dict[str, Rule] = {
    "acpi": FLAG,
    "agent": TEXT,
    "args": TEXT,
    "balloon": Rule(Kind.INTEGER, minimum=0),
    "bios": Rule(words=("seabios", "ovmf")),
    "boot": TEXT,
    "cicustom": TEXT,
    "cipassword": TEXT,
    "citype": Rule(words=("configdrive2", "nocloud", "opennebula")),
    "ciupgrade": FLAG,
    "ciuser": TEXT,
    "cores": Rule(Kind.INTEGER, minimum=1),
    "cpu": TEXT,
    "cpulimit": Rule(Kind.NUMBER, minimum=0, maximum=128),
    "cpuunits": Rule(Kind.INTEGER, minimum=1, maximum=262144),
    "description": DESCRIPTION,
    "hookscript": TEXT,
    "hotplug": TEXT,
    "kvm": FLAG,
    "lock": TEXT,
    "machine": TEXT,
    "memory": Rule(check=_memory),
    "name": NAME,
    "nameserver": Rule(check=_addresses),
    "numa": FLAG,
    "onboot": FLAG,
    "ostype": TEXT,
    "protection": FLAG,
    "scsihw": TEXT,
    "searchdomain": TEXT,
    "smbios1": Rule(longest=512, check=_smbios),
    "sockets": Rule(Kind.INTEGER, minimum=1),
    "sshkeys": Rule(check=_urlencoded),
    "startup": TEXT,
    "tablet": FLAG,
    "tags": TAGS,
    "vga": TEXT,
    "vmgenid": TEXT,
    **{f"ipconfig{i}": Rule(check=_ipconfig(f"ipconfig{i}")) for i in range(32)},
    **{f"net{i}": Rule(check=_net(f"net{i}")) for i in range(32)},
    **numbered("scsi", 31, TEXT),
    **numbered("virtio", 16, TEXT),
    **numbered("sata", 6, TEXT),
    **numbered("ide", 4, TEXT),
    **numbered("serial", 4, TEXT),
    **numbered("hostpci", 16, TEXT),
    **numbered("usb", 14, TEXT),
    "rng0": TEXT,
    **numbered("unused", 256, TEXT),
}

CALL_RULES: dict[str, Rule] = {
    "delete": TEXT,
    "digest": Rule(longest=64),
    "force": FLAG,
    "revert": TEXT,
    "skiplock": FLAG,
}

DRIVES = ("ide", "sata", "scsi", "virtio")
_PRIVILEGES = {
    "VM.Config.Options": "agent bios description hookscript name onboot ostype protection"
    " startup tags",
    "VM.Config.CPU": "cores cpu cpulimit cpuunits numa sockets",
    "VM.Config.Memory": "balloon memory",
    "VM.Config.HWType": "acpi hotplug kvm machine scsihw smbios1 tablet vga vmgenid",
    "VM.Config.Disk": "boot",
    "VM.Config.Cloudinit|VM.Config.Network": "cicustom cipassword citype ciupgrade ciuser"
    " nameserver searchdomain sshkeys",
}
_BY_KEY = {key: need for need, keys in _PRIVILEGES.items() for key in keys.split()}
_BY_FAMILY = {
    "ipconfig": "VM.Config.Cloudinit|VM.Config.Network",
    "net": "VM.Config.Network",
    **dict.fromkeys(("hostpci", "rng", "serial", "usb"), "VM.Config.HWType"),
}
ANY_CONFIG_PRIVILEGE = "|".join(
    f"VM.Config.{kind}"
    for kind in ("Disk", "CDROM", "CPU", "Memory", "Network", "HWType", "Options", "Cloudinit")
)


def needs(guest: str, key: str, text: str) -> list[tuple[str, str]]:
    """Return what setting `key` to `text` needs: paths and privileges (alternatives with `|`).

    `guest` is the guest's own path; deleting a key is setting it to nothing.
    """
    family = key.rstrip("0123456789")
    if "media=cdrom" in text:
        return [(guest, "VM.Config.CDROM")]
    if family in DRIVES and text.endswith(":cloudinit"):
        return [(guest, "VM.Config.Cloudinit"), (guest, "VM.Config.CDROM")]
    found = [(guest, _BY_KEY.get(key) or _BY_FAMILY.get(family, "VM.Config.Disk"))]
    bridge = properties(text).get("bridge") if family == "net" else None
    if key == "startup":
        found.append(("/", "Sys.Modify"))
    return found + ([(f"/sdn/zones/localnetwork/{bridge}", "SDN.Use")] if bridge else [])

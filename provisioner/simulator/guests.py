"""A simulated guest, as a virtual machine is one, and what the cluster last heard about it.

The configuration is what the API stores; `pending` is what a running machine takes over when it is
stopped. `heard` is what the statistics daemon broadcast at its last round (every 10 s), which is
all that `cluster/resources` knows of name, power and size: it is settled lazily, just before a
change, so nothing ticks while nothing happens. Change a guest only after `State.changing(guest)`.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar
from urllib.parse import quote, unquote

from provisioner.simulator.guestos import CloudInit, GuestOs

ConfigValue = str | int | float
DISK_KEYS = re.compile(r"(scsi|virtio|sata|ide)\d+$")
SIZE_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
MIB = 2**20


class Power(Enum):
    """What QEMU does."""

    STOPPED = "stopped"
    RUNNING = "running"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Heard:
    """What one statistics round said of a guest; sizes in bytes, `at` in virtual seconds."""

    at: float
    name: str
    status: str
    template: bool
    cpus: int
    memory: int
    disk: int
    started_at: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a guest was at `taken_at` (virtual seconds); `note` was its own description.

    `sizes` are those of its volumes in bytes, `system` what was on them.
    """

    name: str
    description: str
    taken_at: int
    parent: str | None
    config: Mapping[str, ConfigValue]
    sizes: Mapping[str, int]
    system: GuestOs


@dataclass(slots=True)
class Guest:
    """One virtual machine; `created_by` is the token that made it, `boots` counts its starts.

    `boot_takes` is for how many seconds it boots, this time or the last.
    """

    kind: ClassVar[str] = "qemu"
    vmid: int
    node: str
    created_by: str
    created_at: float
    config: dict[str, ConfigValue] = field(default_factory=dict)
    pending: dict[str, ConfigValue | None] = field(default_factory=dict)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    os: GuestOs = field(default_factory=GuestOs)
    power: Power = Power.STOPPED
    started_at: float = 0.0
    boots: int = 0
    boot_takes: float = 0.0
    booted: bool = False
    ignores_acpi: bool = False
    has_agent: bool = True
    link_local_only: bool = False
    processes: dict[int, "GuestProcess"] = field(default_factory=dict)
    heard: Heard | None = None
    settled_at: float = 0.0
    digest_seen: str | None = None

    @property
    def running(self) -> bool:
        """Say whether there is a QEMU process, paused or not."""
        return self.power is not Power.STOPPED

    @property
    def template(self) -> bool:
        """Say whether this is a template."""
        return bool(self.config.get("template"))

    @property
    def lock(self) -> str | None:
        """Return the config lock's word, or None."""
        lock = self.config.get("lock")
        return None if lock is None else str(lock)

    @property
    def name(self) -> str:
        """Return the name as Proxmox shows it."""
        return str(self.config.get("name", f"VM {self.vmid}"))

    @property
    def cores(self) -> int:
        """Return how many CPUs it has."""
        return int(self.config.get("cores", 1)) * int(self.config.get("sockets", 1))

    @property
    def memory(self) -> int:
        """Return its memory in bytes."""
        return int(self.config.get("memory", 512)) * MIB

    @property
    def link_up(self) -> bool:
        """Say whether net0's cable is plugged in."""
        net = str(self.config.get("net0", ""))
        return bool(net) and "link_down=1" not in net.split(",")

    @property
    def agent_configured(self) -> bool:
        """Say whether Proxmox is told to expect a guest agent."""
        first = str(self.config.get("agent", "0")).split(",")[0]
        return first.removeprefix("enabled=") == "1"

    def disks(self) -> dict[str, str]:
        """Return the configured drives that hold a volume: key to the config line."""
        return {
            key: str(value)
            for key, value in self.config.items()
            if DISK_KEYS.match(key) and ":" in str(value)
        }

    def boot_disk_size(self) -> int:
        """Return the size in bytes of the first disk that is no CD-ROM; 0 without one."""
        for line in self.disks().values():
            if "media=cdrom" not in line:
                return size_of(line)
        return 0

    def shown(self, *, current: bool) -> dict[str, ConfigValue]:
        """Return the configuration, with what waits for the next stop unless `current`."""
        shown = dict(self.config)
        if not current:
            shown |= {key: value for key, value in self.pending.items() if value is not None}
            for key in [key for key, value in self.pending.items() if value is None]:
                shown.pop(key, None)
        return shown

    def digest(self) -> str:
        """Return the SHA-1 of the configuration file, as Proxmox computes it."""
        if self.digest_seen is None:
            text = config_text(self.config).encode()
            self.digest_seen = hashlib.sha1(text, usedforsecurity=False).hexdigest()
        return self.digest_seen

    def hear(self, at: float) -> Heard:
        """Return what a statistics round at `at` says."""
        status = "running" if self.running else "stopped"
        return Heard(
            at,
            self.name,
            status,
            self.template,
            self.cores,
            self.memory,
            self.boot_disk_size(),
            self.started_at,
        )

    def cloud_init(self) -> CloudInit | None:
        """Return what its cloud-init drive would say, or None without such a drive."""
        if not any("cloudinit" in line for line in self.disks().values()):
            return None
        keys = unquote(str(self.config.get("sshkeys", "")))
        network = [f"{k}={v}" for k, v in sorted(self.config.items()) if k.startswith("ipconfig")]
        names = [f"{k}={self.config.get(k)}" for k in ("nameserver", "searchdomain", "net0")]
        user, password = self.config.get("ciuser"), self.config.get("cipassword")
        return CloudInit(
            hostname=str(self.config.get("name", f"VM{self.vmid}")),
            user=None if user is None else str(user),
            password=None if password is None else str(password),
            keys=tuple(line.strip() for line in keys.splitlines() if line.strip()),
            network=";".join(network + names),
        )

    def admits(self, public_key: str) -> bool:
        """Say whether `public_key` gets somebody in now: up, plugged in, and a key that fits."""
        up = self.power is Power.RUNNING and self.booted
        return up and self.link_up and self.os.accepts(public_key)


@dataclass(frozen=True, slots=True)
class GuestProcess:
    """A program that the agent started; it ends at `ends_at` (virtual seconds)."""

    pid: int
    ends_at: float
    exit_code: int
    output: str = ""
    error: str = ""
    signal: int | None = None


def size_of(line: str) -> int:
    """Return the `size=` of a drive's config line in bytes."""
    for part in line.split(","):
        if part.startswith("size="):
            return parse_size(part.removeprefix("size="))
    return 0


def parse_size(text: str) -> int:
    """Read a size such as `1500M`, `0.5G` or bytes."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", text)
    if match is None:
        raise ValueError(f"{text!r} is no size: write a number and K, M, G or T")
    return int(float(match[1]) * SIZE_UNITS[match[2]])


def format_size(size: int) -> str:
    """Write a size the way Proxmox does: the largest unit that divides it."""
    for unit in ("T", "G", "M", "K"):
        if size and size % SIZE_UNITS[unit] == 0:
            return f"{size // SIZE_UNITS[unit]}{unit}"
    return str(size)


def config_text(config: dict[str, ConfigValue]) -> str:
    """Return the configuration file: the description as comments, then sorted keys."""
    description = str(config.get("description", ""))
    lines = [f"#{quote(line, safe=SAFE_IN_COMMENT)}" for line in description.splitlines()]
    lines += [f"{key}: {config[key]}" for key in sorted(config) if key != "description"]
    return "".join(f"{line}\n" for line in lines)


SAFE_IN_COMMENT = " !\"#$&'()*+,-./;<=>?@[\\]^_`{|}~"

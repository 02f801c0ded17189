"""A simulated container, where it differs from a virtual machine.

It has a root file system instead of drives, a `hostname` instead of a name, and no guest agent and
no cloud-init: what is inside was put there when it was created. Without `cores` it may use every
CPU of its node; until its configuration is written it looks like one of 512 MiB and 4 GiB.
"""

import re
from dataclasses import dataclass
from typing import ClassVar

from provisioner.simulator.guests import MIB, Guest, size_of

MOUNTS = re.compile(r"(rootfs|mp\d+)$")
UNWRITTEN_DISK = 4 * 2**30


@dataclass(slots=True)
class Container(Guest):
    """One container; `host_cpus` is how many its node has."""

    kind: ClassVar[str] = "lxc"
    host_cpus: int = 1

    @property
    def name(self) -> str:
        """Return the name as Proxmox shows it."""
        return str(self.config.get("hostname", f"CT{self.vmid}"))

    @property
    def cores(self) -> int:
        """Return how many CPUs it may use."""
        return int(self.config.get("cores", self.host_cpus))

    @property
    def swap(self) -> int:
        """Return its swap in bytes."""
        return int(self.config.get("swap", 0)) * MIB

    @property
    def unprivileged(self) -> bool:
        """Say whether its root is nobody outside."""
        return bool(self.config.get("unprivileged"))

    def disks(self) -> dict[str, str]:
        """Return the mount points that hold a volume: key to the config line."""
        return {
            key: str(value)
            for key, value in self.config.items()
            if MOUNTS.match(key) and ":" in str(value)
        }

    def boot_disk_size(self) -> int:
        """Return the size in bytes of the root file system."""
        line = self.config.get("rootfs")
        return UNWRITTEN_DISK if line is None else size_of(str(line))

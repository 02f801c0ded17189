"""What is done to one machine by hand alone, as protocols: by the command line, and by operators.

Apart from `ports.Hypervisor`, which the verbs use too, because no reconciling needs it: each method
is one effect or one reading, asked for by somebody who watches, and none waits for a task. Errors
are those of `provisioner.errors`, as there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from provisioner.model import Kind, PowerState
from provisioner.ports import Finished
from provisioner.terms import DiskLimits

#: A number that is not known: the guest's agent did not answer, or Proxmox does not count it.
UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Usage:
    """What a guest uses now, as its node counts it: bytes, and counters since its start.

    `cpu` is the part of its `cpus` that is busy; `reads` and `writes` count operations of disks. A
    counter is UNKNOWN where the node does not tell.
    """

    state: PowerState
    uptime: int
    cpu: float
    cpus: int
    memory: int
    memory_total: int
    disk_total: int
    net_in: int
    net_out: int
    read: int
    written: int
    reads: int
    writes: int


@dataclass(frozen=True, slots=True)
class Inside:
    """What a guest's agent says of it, which may be anything: bytes, and connections."""

    disk_used: int
    disk_total: int
    connections: int


@dataclass(frozen=True, slots=True)
class Throttle:
    """Limits to set: None leaves one as it is, 0 lifts it.

    `cpu_units` is a share, `cpu_limit` hundredths of a core, `rate` kilobits a second in each
    direction, the others operations a second of the boot disk.
    """

    cpu_units: int | None = None
    cpu_limit: int | None = None
    rate: int | None = None
    iops_read: int | None = None
    iops_write: int | None = None

    def on(self, disk: DiskLimits) -> DiskLimits:
        """Return the boot disk's limits when it had these."""
        reading, writing = self.iops_read, self.iops_write
        return replace(
            disk,
            iops_read=disk.iops_read if reading is None else reading,
            iops_write=disk.iops_write if writing is None else writing,
        )


@dataclass(frozen=True, slots=True)
class ConsoleTicket:
    """A way to a guest's screen, for an operator, for seconds; `ticket` opens it."""

    node: str
    vmid: int
    port: int
    user: str
    ticket: str = field(repr=False)


class Controls(Protocol):
    """What an operator may do to one guest. Effects return a task's UPID."""

    async def shut_down(
        self, node: str, vmid: int, patience: int, *, kind: Kind = Kind.VM
    ) -> str | None:
        """Ask a guest to shut down, and nothing more if it has not after `patience` seconds.

        None if it does not run.
        """
        ...

    async def reboot(self, node: str, vmid: int, patience: int, *, kind: Kind = Kind.VM) -> str:
        """Ask a guest to shut down within `patience` seconds, and start it again."""
        ...

    async def usage(self, node: str, vmid: int, *, kind: Kind = Kind.VM) -> Usage:
        """Read what a guest uses now."""
        ...

    async def throttle(
        self,
        node: str,
        vmid: int,
        limits: Throttle,
        description: str,
        digest: str,
        *,
        kind: Kind = Kind.VM,
    ) -> None:
        """Set limits and `description` in one call. Raises Transient when `digest` is outdated."""
        ...

    async def console(self, node: str, vmid: int, *, kind: Kind = Kind.VM) -> ConsoleTicket:
        """Open a guest's screen for one connection."""
        ...

    async def delete_snapshot(
        self, node: str, vmid: int, name: str, *, kind: Kind = Kind.VM
    ) -> str:
        """Delete a snapshot."""
        ...


class GuestCommands(Protocol):
    """Commands in a running guest, as root. Raises AgentSilent when nobody answers there."""

    async def run(self, node: str, vmid: int, words: Sequence[str], limit: int) -> Finished:
        """Run a command and return how it ended.

        Raises UnknownOutcome when its end was not seen within `limit` seconds: that is no success.
        """
        ...

    async def inside(self, node: str, vmid: int) -> Inside:
        """Ask how full the guest's file systems are, and how many connections it has."""
        ...

"""Commands in a guest through its agent, which runs there as root: `GuestCommands`.

`exec` only starts a command; how it ended, `exec-status` tells later, and a command whose end was
not seen has no exit code. Once it was started, no trouble is a reason to say that it was not:
whoever heard that would start it again. Words go to the guest as words: no shell is between. What
comes back is hostile: it is cut at a length, and numbers are taken for what they may be worth.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from provisioner.backends.proxmox.agent import PAUSE, AgentShell
from provisioner.backends.proxmox.answers import Record, flag, number, record, text
from provisioner.backends.proxmox.api import Api
from provisioner.backends.proxmox.bodies import KEPT
from provisioner.backends.proxmox.errors import reading, writing
from provisioner.controls import UNKNOWN, Inside
from provisioner.errors import ProvisionError, UnknownOutcome
from provisioner.faultpoints import guarded
from provisioner.ports import Finished

#: How much of each stream is kept, in bytes.
LONGEST: Final = KEPT
#: How many file systems are counted, and how big one may claim to be.
MOST_DISKS: Final = 64
BIGGEST: Final = 2**60
#: Where Linux lists its TCP connections, and how an established one is marked there.
CONNECTIONS: Final = ("/proc/net/tcp", "/proc/net/tcp6")
ESTABLISHED: Final = "01"
#: What a shell says of a command that a signal ended.
BY_SIGNAL: Final = 128


class AgentCommands(AgentShell):
    """See `provisioner.controls.GuestCommands`; `monotonic` tells seconds that never go back."""

    def __init__(
        self,
        api: Api,
        pause: Callable[[float], Awaitable[None]],
        monotonic: Callable[[], float],
    ) -> None:
        super().__init__(api, pause)
        self._monotonic = monotonic

    @guarded("guest.run")
    async def run(self, node: str, vmid: int, words: Sequence[str], limit: int) -> Finished:
        """Start a command, then look every half second whether it has ended.

        A look that fails is followed by another one, until `limit`, counted from the start.
        """
        end = self._monotonic() + limit
        with writing(f"a command in guest {vmid}"):
            started = await self._ask("POST", node, vmid, "exec", {"command": tuple(words)})
        pid = number(record(started, "exec"), "pid")
        trouble = ""
        while True:
            try:
                finished = await self._finished(node, vmid, pid)
            except ProvisionError as error:
                trouble = f", and the last look failed: {error}"
            else:
                trouble = ""
                if finished is not None:
                    return finished
            if self._monotonic() >= end:
                break
            await self._pause(PAUSE)
        raise UnknownOutcome(
            f"guest {vmid}: the command was not seen to end within {limit} s; it may still run "
            f"there{trouble}"
        )

    async def _finished(self, node: str, vmid: int, pid: int) -> Finished | None:
        """Look whether a process has ended, and how."""
        with reading(f"process {pid} of guest {vmid}"):
            data = await self._ask("GET", node, vmid, "exec-status", {"pid": pid})
            row = record(data, "exec-status")
        if not flag(row, "exited"):
            return None
        return Finished(_code(row), _said(row, "out-data"), _said(row, "err-data"))

    @guarded("guest.inside")
    async def inside(self, node: str, vmid: int) -> Inside:
        """Ask for the file systems; connections are UNKNOWN where that file can't be read."""
        with reading(f"the file systems of guest {vmid}"):
            data = record(await self._ask("GET", node, vmid, "get-fsinfo"), "get-fsinfo")
        used, total = _filled(data.get("result"))
        try:
            connections = await self._connections(node, vmid)
        except ProvisionError:
            connections = UNKNOWN
        return Inside(used, total, connections)

    async def _connections(self, node: str, vmid: int) -> int:
        found = 0
        for path in CONNECTIONS:
            with reading(f"{path} of guest {vmid}"):
                data = record(
                    await self._ask("GET", node, vmid, "file-read", {"file": path}), "file-read"
                )
            rows = (line.split() for line in text(data, "content")[:LONGEST].splitlines()[1:])
            found += sum(len(row) > 3 and row[3] == ESTABLISHED for row in rows)
        return found


def _code(row: Record) -> int:
    """Return the exit code; what a signal ended has one as a shell would give it."""
    if row.get("signal") is not None:
        return BY_SIGNAL + number(row, "signal") % BY_SIGNAL
    return number(row, "exitcode", default=1) & 0xFF


def _said(row: Record, key: str) -> bytes:
    return text(row, key)[:LONGEST].encode("utf-8", "replace")[:LONGEST]


def _filled(found: object) -> tuple[int, int]:
    """Add up the file systems that tell how full they are, each device once."""
    sizes: dict[str, tuple[int, int]] = {}
    for row in found[:MOST_DISKS] if isinstance(found, list) else ():
        if isinstance(row, dict) and row.get("total-bytes") is not None:
            used, total = number(row, "used-bytes"), number(row, "total-bytes")
            if 0 <= used <= total <= BIGGEST:
                sizes[text(row, "name")[:256]] = (used, total)
    if not sizes:
        return UNKNOWN, UNKNOWN
    return sum(used for used, _ in sizes.values()), sum(total for _, total in sizes.values())

"""Who listens: the daemon's log and the hypervisor's inventory, told as they change.

Neither is asked to tell: the log is read where the daemon writes it, line by line, and the machines
are compared with how they stood a moment ago. What looks the same is not told again.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from chainwatch.demo.cluster import Cluster, Guest, Inventory
from chainwatch.demo.narrator import Narrator, Who

_LOOK_EVERY_S: Final = 0.05


@dataclass(slots=True)
class LogTail:
    """The lines that a file has gained since the last look."""

    path: Path
    _read: int = 0

    def new(self) -> list[bytes]:
        """Return whole new lines; what is still being written waits for the next look."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self._read)
            found = file.read()
        whole, newline, _ = found.rpartition(b"\n")
        self._read += len(whole) + len(newline)
        return whole.splitlines()


@dataclass(slots=True)
class DaemonVoice:
    """Turns log records into sentences; a lease's decision is told once, until it changes.

    `decided` is the last decision on each lease (CAIP-19 id), `cursor` the last block that was
    committed; both as the log tells them.
    """

    decided: dict[str, str] = field(default_factory=dict)
    cursor: int = 0

    def of(self, line: bytes) -> str | None:
        """Return what a line of the log is worth telling, None if it is not."""
        try:
            record = json.loads(line)
        except ValueError:
            return line.decode(errors="replace")
        if not isinstance(record, dict):
            return None
        fields = {str(name): value for name, value in record.items()}
        match fields.get("event"):
            case "pass":
                return self._pass(fields)
            case "read":
                self.cursor = int(fields["cursor"])
                return None
            case _:
                return _told(fields)

    def _pass(self, record: Mapping[str, object]) -> str | None:
        lease, decided = str(record.get("lease")), str(record.get("decided"))
        if self.decided.get(lease) == decided:
            return None
        self.decided[lease] = decided
        return f"{short(lease)}: {decided}"


def short(lease: str) -> str:
    """Name a lease by its token: `lease 42` for a CAIP-19 id that ends in `/42`."""
    return f"lease {lease.rpartition('/')[2]}"


_TOLD: Final = {
    "started": "is up",
    "stopped": "has stopped",
    "caught up": "has read the chain up to the confirmed head (block {cursor})",
    "machines surveyed": "looked at the machines in its range: {ours} its own, {strangers} not",
    "hypervisor down": "the hypervisor cannot be trusted: {error}",
    "hypervisor is back": "the hypervisor is back",
    "source cannot be read": "cannot read the chain: {error}",
}
_LOUD: Final = frozenset({"warning", "error", "critical"})


def _told(record: Mapping[str, object]) -> str | None:
    event = str(record.get("event"))
    if event in _TOLD:
        return _TOLD[event].format_map(record)
    if record.get("level") in _LOUD:
        more = {k: v for k, v in record.items() if k not in ("event", "level", "timestamp")}
        return f"{record['level']}: {event} {json.dumps(more)}"
    return None


def changes(before: Guest | None, now: Guest | None) -> Iterator[str]:
    """Say what became of one machine between two looks."""
    if now is None:
        if before is not None:
            yield f"VM {before.vmid} is gone"
        return
    if before is None:
        yield f"VM {now.vmid} appears{_locked(now)}, made by {now.created_by}"
        return
    vm = f"VM {now.vmid}"
    if before.lock and not now.lock:
        yield f"{vm} is cloned: {now.name}"
    if shape(now) != shape(before) and not before.lock:
        yield f"{vm} has {shape(now)}"
    if before.link_up != now.link_up and not before.lock:
        yield f"{vm}: its network cable is {'plugged in' if now.link_up else 'pulled'}"
    if now.power != before.power:
        yield f"{vm} is {now.power}"
    if now.booted and not before.booted:
        yield f"{vm} has booted"
    if now.authorized_keys != before.authorized_keys and before.booted:
        yield f"{vm}: the SSH keys inside it are replaced"
    if before.sessions and not now.sessions:
        yield f"{vm}: nobody is logged in any more"


def _locked(guest: Guest) -> str:
    return f" (lock: {guest.lock})" if guest.lock else ""


def shape(guest: Guest) -> str:
    """Say what a machine is made of and where it is, as its configuration has it."""
    config = guest.config
    disk = next((p for p in str(config.get("scsi0")).split(",") if p.startswith("size=")), "")
    parts = [
        f"{config.get('cores')} cores",
        f"{config.get('memory')} MiB",
        f"{disk.removeprefix('size=')} disk",
        str(config.get("ipconfig0", "no address")),
    ]
    if not config.get("onboot"):
        parts.append("not started with its node")
    return ", ".join(parts)


@dataclass(slots=True)
class Watch:
    """Looks at log and machines, for ever, and tells what is new."""

    cluster: Cluster
    log: LogTail
    narrator: Narrator
    voice: DaemonVoice = field(default_factory=DaemonVoice)
    seen: dict[int, Guest] = field(default_factory=dict)

    async def begin(self) -> None:
        """Tell what stands there before anything happens."""
        self.seen = (await self.cluster.inventory()).guests
        for guest in self.seen.values():
            kind = "the template" if guest.template else "a machine"
            text = f"VM {guest.vmid} ({guest.name}) is {kind} that {guest.created_by} made by hand"
            self.narrator.tell(Who.PROXMOX, text)

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def look(self) -> Inventory:
        """Look once, tell what is new, and return what exists."""
        inventory = await self.cluster.inventory()
        for line in self.log.new():
            said = self.voice.of(line)
            if said is not None:
                self.narrator.tell(Who.DAEMON, said)
        for vmid in sorted(self.seen.keys() | inventory.guests.keys()):
            for change in changes(self.seen.get(vmid), inventory.guests.get(vmid)):
                self.narrator.tell(Who.PROXMOX, change)
        self.seen = inventory.guests
        return inventory

"""Who listens: the chain's blocks, the daemon's log and the inventory, told as they change.

None is asked to tell: blocks are read as anybody can read them, the log where the daemon writes it,
line by line, and the machines are compared with how they stood a moment ago. What looks the same is
not told again.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from chainwatch.demo.blocks import Blocks
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
    _told: dict[str, str] = field(default_factory=dict)

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
                self.cursor = int(str(fields.get("cursor")))
                return None
            case _:
                return _told(fields)

    def forget(self) -> None:
        """Let what was decided until now count no more: something has happened since."""
        self.decided.clear()

    def _pass(self, record: Mapping[str, object]) -> str | None:
        lease, decided = str(record.get("lease")), str(record.get("decided"))
        self.decided[lease] = decided
        if self._told.get(lease) == decided:
            return None
        self._told[lease] = decided
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
    if before is not None and now is not None:
        for change in _between(before, now):
            yield f"VM {now.vmid} {change}"
    elif now is not None:
        lock = f" (lock: {now.lock})" if now.lock else ""
        yield f"VM {now.vmid} appears{lock}, made by {now.created_by}"
    elif before is not None:
        yield f"VM {before.vmid} is gone"


def _between(before: Guest, now: Guest) -> Iterator[str]:
    then, shape = _shape(before), _shape(now)
    if before.lock and not now.lock:
        yield f"is cloned ({now.name}): " + ", ".join(f"{k} {v}" for k, v in shape.items())
    elif shape != then and not now.lock:
        yield "has " + ", ".join(f"{k} {v}" for k, v in shape.items() if v != then.get(k))
    if before.link_up != now.link_up and not before.lock:
        yield "is plugged in" if now.link_up else "is cut off from the network"
    if now.power != before.power:
        yield f"is {now.power}"
    if now.booted and not before.booted:
        yield "has booted"
    if now.authorized_keys != before.authorized_keys and before.booted:
        yield "lets in other SSH keys than before"
    if before.sessions and not now.sessions and now.booted:
        yield "has nobody logged in any more"


def _shape(guest: Guest) -> dict[str, str]:
    """Return what a machine is made of and where it is, as its configuration has it."""
    config = guest.config
    options = str(config.get("scsi0", "")).split(",")
    return {
        "cores": str(config.get("cores")),
        "memory": f"{config.get('memory')} MiB",
        "disk": "".join(o.removeprefix("size=") for o in options if o.startswith("size=")),
        "address": _addresses(str(config.get("ipconfig0", ""))),
        "onboot": str(config.get("onboot", 0)),
    }


def _addresses(ipconfig: str) -> str:
    parts = dict(part.split("=", 1) for part in ipconfig.split(",") if "=" in part)
    return " ".join(parts[name] for name in ("ip", "ip6") if name in parts) or "none"


@dataclass(slots=True)
class Watch:
    """Looks at chain, log and machines, for ever, and tells what is new.

    `seen` is None at first.
    """

    blocks: Blocks
    cluster: Cluster
    log: LogTail
    narrator: Narrator
    voice: DaemonVoice = field(default_factory=DaemonVoice)
    seen: Mapping[int, Guest] | None = None
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def look(self) -> Inventory:
        """Look once, tell what is new, and return what exists."""
        async with self._looking:  # an older look must not be compared with a newer one
            async for timestamp, said_there in self.blocks.new():
                self.narrator.chain_time = timestamp
                if said_there:
                    self.narrator.tell(Who.CHAIN, said_there)
            inventory = await self.cluster.inventory()
            for line in self.log.new():
                said = self.voice.of(line)
                if said is not None:
                    self.narrator.tell(Who.DAEMON, said)
            for change in self._changes(inventory.guests):
                self.narrator.tell(Who.PROXMOX, change)
            self.seen = inventory.guests
        return inventory

    def _changes(self, guests: Mapping[int, Guest]) -> Iterator[str]:
        if self.seen is None:
            for guest in guests.values():
                kind = "the template" if guest.template else "a machine"
                yield f"VM {guest.vmid} ({guest.name}) is {kind} that {guest.created_by} made"
            return
        for vmid in sorted(self.seen.keys() | guests.keys()):
            yield from changes(self.seen.get(vmid), guests.get(vmid))

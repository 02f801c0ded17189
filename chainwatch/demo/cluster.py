"""The hypervisor as the story sees it: the simulator's own inventory, past the Proxmox API.

The daemon knows only the API; the story asks the machine room. So what the story calls true is what
exists, not what the daemon believes. It also plays those whom the daemon does not know: somebody
who made a machine by hand, and people who try their SSH keys.
"""

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from pydantic import TypeAdapter

from chainwatch.demo.processes import announced


@dataclass(frozen=True, slots=True)
class Guest:
    """A machine; `power` is stopped, running or paused, `created_by` a token or a user.

    `pending` is what it takes over when it is stopped.
    """

    vmid: int
    name: str
    created_by: str
    template: bool
    power: str
    booted: bool
    boots: int
    link_up: bool
    lock: str | None
    config: dict[str, str | int | float]
    authorized_keys: dict[str, str]
    sessions: tuple[str, ...]
    pending: dict[str, str | int | float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Task:
    """A task; `status` is None while it runs, OK when it went well."""

    upid: str
    type: str
    id: str
    token: str
    status: str | None


@dataclass(frozen=True, slots=True)
class Inventory:
    """All there is; `volumes`, `backups` and `firewalls` name the VMID they belong to.

    `leaked_snippets` are those that no machine's cloud-init is read from.
    """

    guests: dict[int, Guest]
    volumes: dict[str, int]
    firewalls: tuple[int, ...]
    tasks: tuple[Task, ...]
    foreign_touched: dict[str, tuple[int, ...]]
    leaked_snippets: tuple[str, ...] = ()
    backups: dict[str, int] = field(default_factory=dict)

    def made_by(self, token: str) -> list[Guest]:
        """Return the machines that `token` made, by VMID."""
        return [guest for guest in self.guests.values() if guest.created_by == token]

    def ended_well(self, kind: str, token: str) -> int:
        """Count the tasks of a kind (`qmclone`, `qmdestroy`) that `token` finished."""
        return sum((t.type, t.token, t.status) == (kind, token, "OK") for t in self.tasks)

    def leaked(self, token: str) -> set[int]:
        """Return the VMIDs under which something of `token` is left, or nobody's remains are."""
        there = {guest.vmid for guest in self.made_by(token)}
        remains = {*self.volumes.values(), *self.firewalls} - self.guests.keys()
        return there | remains


@dataclass(frozen=True, slots=True)
class Announcement:
    """The line with which the simulator says where it is, and how nodes are reached over SSH."""

    url: str
    token_id: str
    token_file: Path
    ca_file: Path
    control_token_file: Path
    template: int
    known_hosts: tuple[str, ...] = ()
    node_key_file: Path | None = None


_ANNOUNCEMENT = TypeAdapter(Announcement)
_INVENTORY = TypeAdapter(Inventory)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running simulator, made by `running`."""

    where: Announcement
    session: aiohttp.ClientSession

    async def inventory(self) -> Inventory:
        """Return what exists now."""
        return _INVENTORY.validate_json(await self._ask("GET", "inventory"))

    async def add_stranger(self, vmid: int, name: str) -> None:
        """Somebody makes a machine by hand, and it runs."""
        body = {"vmid": vmid, "running": True, "config": {"name": name}}
        await self._ask("POST", "guests", body=body)

    async def edit(self, vmid: int, **config: str | int) -> None:
        """Somebody changes a machine's settings by hand."""
        await self._ask("POST", f"guests/{vmid}/config", body={**config})

    async def admits(self, vmid: int, key: str) -> bool:
        """Say whether this SSH key gets somebody into the machine now."""
        answer = await self._ask("GET", f"guests/{vmid}/admits", query={"key": key})
        return json.loads(answer) is True

    async def log_in(self, vmid: int, key: str) -> bool:
        """Open a session with this key that stays open; say whether it was let in."""
        answer = await self._ask("POST", f"guests/{vmid}/sessions", body={"key": key})
        return json.loads(answer) is True

    async def _ask(
        self,
        method: str,
        what: str,
        *,
        query: dict[str, str] | None = None,
        body: dict[str, object] | None = None,
    ) -> bytes:
        url = f"{self.where.url}/simulator/{what}"
        async with self.session.request(method, url, params=query, json=body) as answer:
            said = await answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{method} {url}: {answer.status} {said.decode()}")
            return said


@asynccontextmanager
async def running(
    folder: Path, *, speed: float, clone_seconds: float, ssh: bool = False
) -> AsyncIterator[Cluster]:
    """A fresh cluster with a template, in a process of its own, for as long as the block lasts.

    `speed` is virtual seconds in a real one, `clone_seconds` how many virtual ones a clone takes;
    with `ssh` its nodes are reached over SSH too.
    """
    timing = ("--speed", str(speed), "--clone-seconds", str(clone_seconds))
    options = ("--dir", str(folder), *timing, *(("--ssh",) if ssh else ()))
    async with announced(folder.with_suffix(".log"), "simulator", *options) as line:
        where = _ANNOUNCEMENT.validate_json(line)
        trusted = ssl.create_default_context(cafile=where.ca_file)
        token = where.control_token_file.read_text().strip()
        async with aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {token}"},
            connector=aiohttp.TCPConnector(ssl=trusted),
        ) as session:
            yield Cluster(where, session)

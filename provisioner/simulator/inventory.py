"""What is really there, as plain data: the judge of every test.

A controller's own records say what it believes; the inventory says what exists, who made it, and
who laid hands on what was not theirs. Everything here is a copy, safe to keep and to compare.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from provisioner.backends.proxmox.api import JsonValue
from provisioner.simulator.guests import ConfigValue
from provisioner.simulator.state import CallRecord, State


@dataclass(frozen=True, slots=True)
class GuestFacts:
    """One guest; `kind` is qemu or lxc, `power` is stopped, running or paused.

    `created_by` is a token's id, and `pending` what it takes over when it is stopped (None: taken
    away).
    """

    vmid: int
    kind: str
    node: str
    name: str
    created_by: str
    template: bool
    power: str
    booted: bool
    link_up: bool
    boots: int
    lock: str | None
    config: Mapping[str, ConfigValue]
    authorized_keys: Mapping[str, str]
    sessions: tuple[str, ...]
    pending: Mapping[str, ConfigValue | None]


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """One task; `status` is None while it runs."""

    upid: str
    kind: str
    id: str
    token: str
    started: int
    ended: int | None
    status: str | None


@dataclass(frozen=True, slots=True)
class Inventory:
    """The cluster at `now` (virtual seconds).

    `volumes` and `backups` map a volume's id to the VMID it carries, `snippets` a node and a name;
    `foreign_touched` maps a
    token to the VMIDs it sent a changing call to without having created them; `calls` counts by
    route.
    """

    now: float
    guests: Mapping[int, GuestFacts]
    volumes: Mapping[str, int]
    backups: Mapping[str, int]
    snippets: Mapping[tuple[str, str], int]
    firewalls: tuple[int, ...]
    tasks: tuple[TaskFacts, ...]
    foreign_touched: Mapping[str, tuple[int, ...]]
    calls: Mapping[str, int]
    call_log: tuple[CallRecord, ...]

    def created_by(self, token: str) -> tuple[int, ...]:
        """Return the VMIDs of the guests that `token` made."""
        return tuple(vmid for vmid, guest in self.guests.items() if guest.created_by == token)

    def leaked_volumes(self) -> tuple[str, ...]:
        """Return the volumes that carry a VMID which no guest has."""
        return tuple(v for v, vmid in self.volumes.items() if vmid not in self.guests)

    def leaked_firewalls(self) -> tuple[int, ...]:
        """Return the VMIDs of firewalls that no guest has."""
        return tuple(vmid for vmid in self.firewalls if vmid not in self.guests)

    def leaked_snippets(self) -> tuple[str, ...]:
        """Return the snippets that no guest needs: on its node none with that VMID names it."""
        return tuple(
            name
            for (node, name), vmid in self.snippets.items()
            if vmid not in self.guests
            or self.guests[vmid].node != node
            or not str(self.guests[vmid].config.get("cicustom", "")).endswith(name)
        )

    def missing_snippets(self) -> tuple[int, ...]:
        """Return the VMIDs of guests whose cloud-init names a snippet that their node has not."""
        return tuple(
            guest.vmid
            for guest in self.guests.values()
            if "/" in (named := str(guest.config.get("cicustom", "")))
            and (guest.node, named.rpartition("/")[2]) not in self.snippets
        )

    def as_json(self) -> dict[str, JsonValue]:
        """Return it as JSON, without the call log."""
        return {
            "now": self.now,
            "guests": {str(vmid): _guest_json(guest) for vmid, guest in self.guests.items()},
            "volumes": dict(self.volumes),
            "leaked_volumes": list(self.leaked_volumes()),
            "backups": dict(self.backups),
            "snippets": [f"{node}:{name}" for node, name in self.snippets],
            "leaked_snippets": list(self.leaked_snippets()),
            "firewalls": list(self.firewalls),
            "tasks": [
                {
                    "upid": task.upid,
                    "type": task.kind,
                    "id": task.id,
                    "token": task.token,
                    "started": task.started,
                    "ended": task.ended,
                    "status": task.status,
                }
                for task in self.tasks
            ],
            "foreign_touched": {t: list(vmids) for t, vmids in self.foreign_touched.items()},
            "calls": dict(self.calls),
        }


def _guest_json(guest: GuestFacts) -> JsonValue:
    return {
        "vmid": guest.vmid,
        "kind": guest.kind,
        "node": guest.node,
        "name": guest.name,
        "created_by": guest.created_by,
        "template": guest.template,
        "power": guest.power,
        "booted": guest.booted,
        "link_up": guest.link_up,
        "boots": guest.boots,
        "lock": guest.lock,
        "config": dict(guest.config),
        "authorized_keys": dict(guest.authorized_keys),
        "sessions": list(guest.sessions),
        "pending": dict(guest.pending),
    }


def take_inventory(state: State) -> Inventory:
    """Return what is there now."""
    touched: dict[str, list[int]] = {}
    for token, vmid in sorted(state.touched):
        touched.setdefault(token, []).append(vmid)
    return Inventory(
        now=state.timeline.now,
        guests={vmid: _guest_facts(state, vmid) for vmid in sorted(state.guests)},
        volumes={volid: state.volumes[volid].vmid for volid in sorted(state.volumes)},
        backups={f.volid: f.vmid for f in state.files.values() if f.backup is not None},
        snippets={
            (node, name): int(name.split("-")[1])
            for node, system in sorted(state.systems.items())
            for name in sorted(system.snippets)
        },
        firewalls=tuple(sorted(state.firewalls)),
        tasks=tuple(
            TaskFacts(t.upid, t.kind, t.id, t.token, t.started, t.ended, t.status)
            for t in state.tasks.values()
        ),
        foreign_touched={token: tuple(vmids) for token, vmids in touched.items()},
        calls=dict(state.counts),
        call_log=tuple(state.calls),
    )


def _guest_facts(state: State, vmid: int) -> GuestFacts:
    guest = state.guests[vmid]
    keys = {p: t for p, t in guest.os.files.items() if p.endswith("authorized_keys")}
    return GuestFacts(
        vmid=vmid,
        kind=guest.kind,
        node=guest.node,
        name=guest.name,
        created_by=guest.created_by,
        template=guest.template,
        power=guest.power.value,
        booted=guest.booted,
        link_up=guest.link_up,
        boots=guest.boots,
        lock=guest.lock,
        config=dict(guest.config),
        authorized_keys=keys,
        sessions=tuple(session.user for session in guest.os.sessions),
        pending=dict(guest.pending),
    )

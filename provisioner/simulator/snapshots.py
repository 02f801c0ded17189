"""Snapshots of guests of both kinds: taking, listing, rolling back, deleting.

What can be refused about the name is refused at once, everything else in the task. A rollback
stops the guest, and brings configuration, disk sizes and what is on the disks back; a snapshot
that is deleted leaves its children to its parent. A raw file has no snapshots, so neither has a
container on a directory.
"""

from collections.abc import Callable
from dataclasses import replace

from provisioner.backends.proxmox.api import JsonValue
from provisioner.simulator.access import Ask
from provisioner.simulator.clone import snapshot_name
from provisioner.simulator.endpoint import Route, Rules
from provisioner.simulator.guests import Guest, Snapshot
from provisioner.simulator.params import FLAG, TEXT, Rule
from provisioner.simulator.power import switch_off
from provisioner.simulator.state import State, Volume
from provisioner.simulator.task import Task
from provisioner.simulator.tasks import container_lock, lock_of, start_task, with_lock
from provisioner.simulator.timeline import Script, Sleep
from provisioner.simulator.volumes import links, machine_links
from provisioner.simulator.wire import Refused

Body = Callable[[State, Ask, Guest, Task], Script[None]]
LOCKS = {"snapshot": "snapshot", "rollback": "rollback", "delsnapshot": "snapshot-delete"}
HERE: dict[str, JsonValue] = {"name": "current", "description": "You are here!"}


def _guest(state: State, ask: Ask) -> Guest:
    container = "/lxc/" in ask.path
    return (state.container if container else state.guest)(ask.node, ask.vmid)


def list_snapshots(state: State, ask: Ask) -> JsonValue:
    """GET snapshot: all of them, and `current`, which is none."""
    guest = _guest(state, ask)
    current = {**HERE, "digest": guest.digest(), "running": int(guest.running)}
    if "parent" in guest.config:
        current["parent"] = guest.config["parent"]
    return [*(_row(guest, snapshot) for snapshot in guest.snapshots.values()), current]


def _row(guest: Guest, snapshot: Snapshot) -> dict[str, JsonValue]:
    row: dict[str, JsonValue] = {
        "name": snapshot.name,
        "description": snapshot.description,
        "snaptime": snapshot.taken_at,
    }
    if guest.kind == "qemu":
        row["vmstate"] = 0
    if snapshot.parent is not None:
        row["parent"] = snapshot.parent
    return row


def read_config(state: State, ask: Ask) -> JsonValue:
    """GET snapshot/{snapname}/config: what the configuration was."""
    snapshot = _found(_guest(state, ask), ask)
    told: dict[str, JsonValue] = {**snapshot.config, "snaptime": snapshot.taken_at}
    if snapshot.parent is not None:
        told["parent"] = snapshot.parent
    return told | ({"description": snapshot.description} if snapshot.description else {})


def feature(state: State, ask: Ask) -> JsonValue:
    """GET feature: whether a guest can be cloned, copied or put into a snapshot."""
    guest = state.guest(ask.node, ask.vmid)
    volids = [line.split(",")[0] for line in guest.disks().values() if "cdrom" not in line]
    volumes = [state.volumes[volid] for volid in volids if volid in state.volumes]
    kept = [(state.storages[v.volid.partition(":")[0]], v.format) for v in volumes]
    cheap = all(links(storage, form) for storage, form in kept)
    able = {
        "clone": guest.template and all(machine_links(storage, form) for storage, form in kept),
        "copy": True,
        "snapshot": not guest.template and cheap,
    }[ask.text("feature")]
    return {"hasFeature": int(able), "nodes": list(state.nodes)}


def _found(guest: Guest, ask: Ask) -> Snapshot:
    name = ask.names["snapname"]
    if name not in guest.snapshots:
        raise Refused(f"snapshot '{name}' does not exist")
    return guest.snapshots[name]


def _as_task(verb: str, body: Body) -> Callable[[State, Ask], JsonValue]:
    def handler(state: State, ask: Ask) -> JsonValue:
        guest = _guest(state, ask)
        prefix, hold = ("vz", container_lock) if guest.kind == "lxc" else ("qm", lock_of)
        if ask.text("snapname") == "current":
            raise Refused("unable to use snapshot name 'current' (reserved name)")

        def locked(task: Task) -> Script[None]:
            yield from _under_config_lock(state, ask, verb, body, task)

        def work(task: Task) -> Script[None]:
            yield from with_lock(state, hold(ask.vmid), locked(task), task)

        return start_task(state, ask, f"{prefix}{verb}", str(ask.vmid), work)

    return handler


def _under_config_lock(state: State, ask: Ask, verb: str, body: Body, task: Task) -> Script[None]:
    guest = _guest(state, ask)
    if guest.lock is not None:
        raise Refused(f"{'CT' if guest.kind == 'lxc' else 'VM'} is locked ({guest.lock})")
    script = body(state, ask, guest, task)
    next(script)  # what refuses it does so before the first wait
    state.changing(guest).config["lock"] = LOCKS[verb]
    try:
        yield Sleep(state.settings.durations.snapshot)
    except Refused:
        state.changing(guest).config.pop("lock", None)
        raise
    state.changing(guest).config.pop("lock", None)
    yield from script


def _take(state: State, ask: Ask, guest: Guest, task: Task) -> Script[None]:
    name = ask.text("snapname")
    if guest.template:
        raise Refused("you can't take a snapshot if it's a template")
    if name in guest.snapshots:
        raise Refused(f"snapshot name '{name}' already used")
    volumes = _volumes(state, guest)
    if not all(links(state.storages[v.volid.split(":")[0]], v.format) for v in volumes):
        raise Refused("snapshot feature is not available")
    yield Sleep(0)
    task.log += [f"snapshotting '{volume.volid}'" for volume in volumes]
    parent = guest.config.get("parent")
    guest.snapshots[name] = Snapshot(
        name=name,
        description=ask.text("description"),
        taken_at=int(state.timeline.now),
        parent=None if parent is None else str(parent),
        config={k: v for k, v in guest.config.items() if k not in {"parent", "description"}},
        sizes={volume.volid: volume.size for volume in volumes},
        system=guest.os.copy(),
    )
    state.changing(guest).config["parent"] = name


def _volumes(state: State, guest: Guest) -> list[Volume]:
    lines = [line for line in guest.disks().values() if "cloudinit" not in line]
    return [state.volumes[line.split(",")[0]] for line in lines]


def _roll_back(state: State, ask: Ask, guest: Guest, _: Task) -> Script[None]:
    snapshot = _found(guest, ask)
    yield Sleep(0)
    if guest.running:
        switch_off(state, guest)
    config = {**snapshot.config, "parent": snapshot.name}
    if "description" in guest.config:  # what people wrote about the guest stays
        config["description"] = guest.config["description"]
    if guest.kind == "qemu":
        config["vmgenid"] = state.draws.uuid()
    state.changing(guest).config = config
    guest.pending.clear()
    guest.os = snapshot.system.copy()
    for volid, size in snapshot.sizes.items():
        state.volumes[volid].size = size


def _delete(state: State, ask: Ask, guest: Guest, _: Task) -> Script[None]:
    snapshot = _found(guest, ask)
    yield Sleep(0)
    del guest.snapshots[snapshot.name]
    for name, other in guest.snapshots.items():
        if other.parent == snapshot.name:
            guest.snapshots[name] = replace(other, parent=snapshot.parent)
    if guest.config.get("parent") == snapshot.name:
        config = state.changing(guest).config
        del config["parent"]
        if snapshot.parent is not None:
            config["parent"] = snapshot.parent


take = _as_task("snapshot", _take)
roll_back = _as_task("rollback", _roll_back)
delete = _as_task("delsnapshot", _delete)

VM = "/vms/{vmid}"
AUDIT, CHANGE = (VM, "VM.Audit"), (VM, "VM.Snapshot")
ROLL_BACK = "VM.Snapshot|VM.Snapshot.Rollback"
NAMED = Rule(required=True, longest=40, check=snapshot_name)
FEATURE: Rules = {
    "feature": Rule(required=True, words=("snapshot", "clone", "copy")),
    "snapname": Rule(longest=40, check=snapshot_name),
}
TAKE: Rules = {"snapname": NAMED, "description": TEXT}
SNAPSHOT_ROUTES = tuple(
    Route(method, f"/nodes/{{node}}/{kind}/{{vmid}}/snapshot{path}", handler, rules, need)
    for kind in ("qemu", "lxc")
    for method, path, handler, rules, need in (
        ("GET", "", list_snapshots, {}, AUDIT),
        ("POST", "", take, TAKE | ({"vmstate": FLAG} if kind == "qemu" else {}), CHANGE),
        ("GET", "/{snapname}/config", read_config, {}, (VM, f"{ROLL_BACK}|VM.Audit")),
        ("POST", "/{snapname}/rollback", roll_back, {}, (VM, ROLL_BACK)),
        ("DELETE", "/{snapname}", delete, {"force": FLAG}, CHANGE),
    )
)

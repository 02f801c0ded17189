"""Cloning: the window in which a machine exists without an owner, and what it inherits.

The POST leaves a configuration that holds only `lock: clone`; then comes everything but the disks,
then the disks, and the lock goes last. The new machine has fresh MACs, uuid and vmgenid, and
inherits all else, tags, password, protection and the whole firewall included. The worker holds the
new VMID's config lock and shares the source's, so a change of the *template* waits too. A clone
that fails or is stopped leaves nothing but what lies on a storage that is away just then.
"""

import re
from dataclasses import dataclass, replace

from provisioner.backends.proxmox.api import JsonValue
from provisioner.simulator.access import Ask, require_for_clone
from provisioner.simulator.config import normal_net
from provisioner.simulator.guests import ConfigValue, Guest, format_size, size_of
from provisioner.simulator.state import State, Storage
from provisioner.simulator.task import Task
from provisioner.simulator.tasks import lock_of, start_task, with_lock
from provisioner.simulator.timeline import Script, Sleep
from provisioner.simulator.volumes import (
    cloudinit_volume,
    drive_format,
    machine_links,
    new_volume,
    usable_storage,
)
from provisioner.simulator.wire import Refused, bad_parameters

NOT_INHERITED = ("template", "lock", "snapshots", "parent")


def snapshot_name(text: str) -> str | None:
    """Say what is wrong with a snapshot's name."""
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]+", text):
        return None
    return f"invalid format - invalid configuration ID '{text}'\n"


@dataclass(frozen=True, slots=True)
class Copy:
    """One clone under way."""

    ask: Ask
    source: Guest
    guest: Guest
    storage: Storage
    full: bool


def clone(state: State, ask: Ask) -> JsonValue:
    """POST clone. Returns the UPID of a task that carries the source's VMID."""
    source = _source(state, ask)
    full = ask.flag("full") or (not source.template and "full" not in ask.params)
    storage = _storage_for(state, ask, source)
    bridges = [net.split("bridge=")[1].split(",")[0] for net in _nets(source) if "bridge=" in net]
    require_for_clone(state, ask, storage.name, bridges)
    if source.lock is not None:
        raise Refused(f"VM is locked ({source.lock})")
    if not full:
        _refuse_linked(state, ask, source)
    if "snapname" in ask.params:
        source = _as_it_was(source, ask.text("snapname"))
    copy = Copy(ask, source, _reserve(state, ask, storage), storage, full)

    def work(task: Task) -> Script[None]:
        inner = with_lock(
            state, lock_of(copy.guest.vmid, patience=1.0), _work(state, copy, task), task
        )
        shared = lock_of(source.vmid, shared=not source.running, patience=1.0)
        yield from _or_nothing(state, copy.guest, with_lock(state, shared, inner, task))

    return start_task(state, ask, "qmclone", str(source.vmid), work)


def _source(state: State, ask: Ask) -> Guest:
    try:
        return state.guest(ask.node, ask.vmid)
    except Refused:
        text = f"unable to find configuration file for VM {ask.vmid} on node '{ask.node}'"
        raise Refused(text) from None


def _as_it_was(source: Guest, name: str) -> Guest:
    """Return what a clone of the snapshot `name` copies."""
    snapshot = source.snapshots.get(name)
    if snapshot is None:
        raise Refused(f"snapshot '{name}' does not exist")
    return replace(source, config=dict(snapshot.config), os=snapshot.system)


def _reserve(state: State, ask: Ask, storage: Storage) -> Guest:
    """Take the VMID: from here on it exists, locked and without an owner."""
    node, newid = _target_node(state, ask, storage), ask.number("newid", 0)
    taken = state.guests.get(newid)
    if taken is not None and (taken.node, taken.kind) != (node, "qemu"):
        word = "CT" if taken.kind == "lxc" else "VM"
        there = f"{word} {newid} already exists on node '{taken.node}'"
        raise Refused(f"unable to create VM {newid} - {there}")
    if taken is not None:
        raise Refused(f"unable to create VM {newid}: config file already exists")
    guest = Guest(newid, node, ask.token.id, state.timeline.now)
    guest.config = {"lock": "clone", "description": " qmclone temporary file"}
    return state.add_guest(guest)


def _nets(guest: Guest) -> list[str]:
    return [str(line) for key, line in guest.config.items() if re.match(r"net\d+$", key)]


def _storage_for(state: State, ask: Ask, source: Guest) -> Storage:
    first = next(iter(source.disks().values()), f"{state.settings.storage}:")
    name = ask.text("storage") or first.split(":")[0]
    storage = state.storages.get(name)
    if storage is not None and "images" not in storage.content:
        raise bad_parameters(storage=f"storage '{name}' does not support vm images")
    return usable_storage(state, name, ask.text("target") or ask.node)


def _refuse_linked(state: State, ask: Ask, source: Guest) -> None:
    """Refuse what only a full clone may be told, and disks that no linked clone can be made of."""
    for name in ("storage", "format"):
        if name in ask.params:
            raise Refused(f"parameter '{name}' not allowed for linked clones")
    for key, line in source.disks().items():
        volid = line.split(",")[0]
        if "media=cdrom" in line or (source.template and _links(state, volid)):
            continue
        raise Refused(f"Linked clone feature is not supported for '{volid}' ({key})")


def _links(state: State, volid: str) -> bool:
    volume = state.volumes.get(volid)
    return volume is None or machine_links(state.storages[volid.partition(":")[0]], volume.format)


def _target_node(state: State, ask: Ask, storage: Storage) -> str:
    target = ask.text("target") or ask.node
    if target not in state.nodes:
        raise Refused(f"no such cluster node '{target}'")
    if target != ask.node and not storage.shared:
        raise Refused(f"can't clone VM to node '{target}' (VM uses local storage)")
    return target


def _or_nothing(state: State, guest: Guest, script: Script[None]) -> Script[None]:
    """Run `script`; whatever ends it early also removes all that it made."""
    try:
        yield from script
    except Refused as refusal:
        state.guests.pop(guest.vmid, None)
        state.firewalls.pop(guest.vmid, None)
        for volume in state.volumes_of(guest.vmid):
            if state.storage_trouble(volume.volid.partition(":")[0]) is None:
                del state.volumes[volume.volid]
        cause = refusal.reason.removeprefix("clone failed: ")
        cause = cause.replace("received interrupt", "interrupted by signal")
        raise Refused(f"clone failed: {cause}") from None


def _work(state: State, copy: Copy, task: Task) -> Script[None]:
    source, guest = copy.source, copy.guest
    if source.vmid in state.firewalls:
        state.firewalls[guest.vmid] = state.firewalls[source.vmid].copy()
    begun = state.settings.durations.linked_clone * 0.25
    yield Sleep(begun)
    state.changing(guest).config = _inherited(state, copy.ask, source)
    drives: dict[str, ConfigValue] = {}
    for key, line in sorted(source.disks().items()):
        task.log.append(f"create {'full' if copy.full else 'linked'} clone of drive {key} ({line})")
        drives[key] = _copy_drive(state, copy, line)
        if "media=cdrom" in line:
            state.changing(guest).config[key] = drives[key]
    yield Sleep(_seconds(state, copy) - begun)
    state.changing(guest).config.update(drives)
    guest.os = source.os.copy()
    guest.has_agent, guest.ignores_acpi = source.has_agent, source.ignores_acpi
    del guest.config["lock"]
    pool = state.pools.get(copy.ask.text("pool"))
    if pool is not None:
        pool.members.add(guest.vmid)


def _seconds(state: State, copy: Copy) -> float:
    durations, rate = state.settings.durations, state.settings.durations.full_clone_rate
    if limit := copy.ask.number("bwlimit", 0):
        rate = min(rate, limit * 1024)
    copied = sum(size_of(line) for line in copy.source.disks().values()) if copy.full else 0
    return durations.linked_clone + copied / rate


def _inherited(state: State, ask: Ask, source: Guest) -> dict[str, ConfigValue]:
    disks = source.disks()
    config = {
        key: value
        for key, value in source.config.items()
        if key not in disks and key not in NOT_INHERITED
    }
    config["lock"] = "clone"
    config["name"] = ask.text("name") or f"Copy-of-VM-{source.config.get('name', source.vmid)}"
    if "description" in ask.params:
        config["description"] = ask.text("description").rstrip()
    config["vmgenid"] = state.draws.uuid()
    fields = [f for f in str(config.get("smbios1", "")).split(",") if f]
    kept = [f for f in fields if not f.startswith("uuid=")]
    config["smbios1"] = ",".join(sorted([*kept, f"uuid={state.draws.uuid()}"]))
    for key in [key for key in config if re.match(r"net\d+$", key)]:
        first, _, rest = str(config[key]).partition(",")
        config[key] = normal_net(state, f"{first.split('=')[0]},{rest}")
    return config


def _copy_drive(state: State, copy: Copy, line: str) -> str:
    volid, *options = line.split(",")
    old = state.volumes.get(volid)
    if old is None:
        raise Refused(f"volume '{volid}' does not exist")
    trouble = state.storage_trouble(volid.partition(":")[0])
    if trouble is not None:
        raise Refused(trouble)
    if "cloudinit" in volid:
        new = cloudinit_volume(state, copy.storage, copy.guest.vmid)
    else:
        parent = None if copy.full else volid
        files = state.storages[volid.partition(":")[0]].keeps_files
        linked = "qcow2" if files else old.format
        form = linked if parent is not None else drive_format(copy.storage)
        new = new_volume(state, copy.storage, copy.guest.vmid, (old.size, form), parent)
    kept = [option for option in options if not option.startswith("size=")]
    return ",".join([new.volid, *kept, f"size={format_size(old.size)}"])

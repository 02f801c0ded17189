"""Cloning a container: from a template linked where the storage can, else a whole copy.

Meanwhile the source is locked (`disk`), so a second clone of it is refused, and the copy is locked
too (`create`). The copy inherits the configuration, description, tags, `onboot` and protection
included, and gets new MAC addresses; of what is inside, host keys and passwords included, it is
the same machine.
"""

import re
from dataclasses import dataclass

from provisioner.backends.proxmox.api import JsonValue
from provisioner.simulator.access import Ask, require
from provisioner.simulator.guests import ConfigValue
from provisioner.simulator.lxc.config import normal_net, refuse_locked, stored_value
from provisioner.simulator.lxc.container import Container
from provisioner.simulator.lxc.create import refuse_taken, refuse_without_allocate, reserve
from provisioner.simulator.lxc.mounts import line_of
from provisioner.simulator.state import State, Storage
from provisioner.simulator.task import Task
from provisioner.simulator.tasks import start_task
from provisioner.simulator.timeline import Script, Sleep
from provisioner.simulator.volumes import container_format, links, new_volume, usable_storage
from provisioner.simulator.wire import Refused

RUNNING = "Cannot do full clones on a running container without snapshots"
NOT_INHERITED = ("template", "lock", "parent", "snapshots")


@dataclass(frozen=True, slots=True)
class Copy:
    """One clone under way."""

    ask: Ask
    source: Container
    guest: Container
    full: bool


def clone(state: State, ask: Ask) -> JsonValue:
    """POST clone. Returns the UPID of a task that carries the source's VMID."""
    newid = ask.number("newid", 0)
    refuse_without_allocate(state, ask, newid)
    source = state.container(ask.node, ask.vmid)
    refuse_locked(source)
    full = ask.flag("full") or not source.template
    node = ask.text("target") or ask.node
    if node not in state.nodes:
        raise Refused(f"no such cluster node '{node}'")
    if full and source.running:
        raise Refused(RUNNING)
    for line in source.disks().values():
        _refuse_bad_storage(state, ask, line, node, full=full)
    refuse_taken(state, newid)
    copy = Copy(ask, source, reserve(state, ask, newid, node), full)
    state.changing(source).config["lock"] = "disk"
    return start_task(
        state, ask, "vzclone", str(source.vmid), lambda task: _work(state, copy, task)
    )


def _storage_for(state: State, ask: Ask, line: str) -> Storage:
    name = ask.text("storage") or line.split(":", maxsplit=1)[0]
    return usable_storage(state, name, ask.text("target") or ask.node)


def _refuse_bad_storage(state: State, ask: Ask, line: str, node: str, *, full: bool) -> None:
    storage, volume = _storage_for(state, ask, line), state.volumes[line.split(",", maxsplit=1)[0]]
    require(state, ask.token, f"/storage/{storage.name}", "Datastore.AllocateSpace")
    if not full and "storage" in ask.params:
        raise Refused("parameter 'storage' not allowed for linked clones")
    if not full and not links(storage, volume.format):
        raise Refused(f"Linked clone feature for '{volume.volid}' is not available")
    if node != ask.node and not storage.shared:
        raise Refused(f"can't clone to non-shared storage '{storage.name}'")


def _work(state: State, copy: Copy, task: Task) -> Script[None]:
    before = set(state.volumes)
    guest = copy.guest
    try:
        yield from _copy(state, copy, task)
    except Refused as refusal:
        for volume in state.volumes_of(guest.vmid):
            if volume.volid not in before:
                del state.volumes[volume.volid]
        del state.guests[guest.vmid]
        state.firewalls.pop(guest.vmid, None)
        _unlock(state, copy.source)
        cause = refusal.reason.replace("received interrupt", "interrupted by signal")
        raise Refused(f"clone failed: {cause}") from None
    _unlock(state, copy.source)
    pool = state.pools.get(copy.ask.text("pool"))
    if pool is not None:
        pool.members.add(guest.vmid)


def _unlock(state: State, source: Container) -> None:
    state.changing(source).config.pop("lock", None)


def _copy(state: State, copy: Copy, task: Task) -> Script[None]:
    source, guest = copy.source, copy.guest
    config = _inherited(state, copy)
    copied = 0
    for key, line in source.disks().items():
        config[key] = _copy_mount(state, copy, line)
        if copy.full:
            volid = line.split(",")[0]
            copied += state.volumes[volid].size
            task.log.append(f"create full clone of mountpoint {key} ({volid})")
    durations = state.settings.durations
    yield Sleep(durations.linked_clone + copied / durations.full_clone_rate)
    if source.vmid in state.firewalls:
        state.firewalls[guest.vmid] = state.firewalls[source.vmid].copy()
    state.changing(guest).config = config
    guest.os = source.os.copy()
    guest.ignores_acpi = source.ignores_acpi


def _inherited(state: State, copy: Copy) -> dict[str, ConfigValue]:
    config = {key: v for key, v in copy.source.config.items() if key not in NOT_INHERITED}
    for key in ("hostname", "description"):
        if key in copy.ask.params:
            given = copy.ask.text(key)
            config[key] = stored_value(state, copy.guest.vmid, key, given)
    for key in [key for key in config if re.match(r"net\d+$", key)]:
        parts = [part for part in str(config[key]).split(",") if not part.startswith("hwaddr=")]
        config[key] = normal_net(state, ",".join(parts))
    return config


def _copy_mount(state: State, copy: Copy, line: str) -> str:
    old = state.volumes[line.split(",", maxsplit=1)[0]]
    storage = _storage_for(state, copy.ask, line)
    form = container_format(storage, old.size) if copy.full else old.format
    parent = None if copy.full else old.volid
    new = new_volume(state, storage, copy.guest.vmid, (old.size, form), parent)
    return line_of(new, [part for part in line.split(",")[1:] if not part.startswith("size=")])

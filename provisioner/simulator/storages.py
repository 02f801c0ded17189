"""What the storages of a node say: how full they are, and what lies there.

A storage that is not shared exists once on each of its nodes, with room of its own; a shared one
is the same everywhere. One that is away shows no sizes, and its content is an error; a disabled
one vanishes from `cluster/resources`.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace

from provisioner.backends.proxmox.api import JsonValue
from provisioner.simulator.access import Ask, allows, require
from provisioner.simulator.disks import file_row, volume_row
from provisioner.simulator.state import State, Storage, StoredFile, Volume
from provisioner.simulator.task import Task
from provisioner.simulator.tasks import start_task
from provisioner.simulator.timeline import Script
from provisioner.simulator.volumes import place_on
from provisioner.simulator.wire import Refused, bad_parameters

OWNS_STORAGE = "Datastore.Allocate"
MAY_SEE_STORAGE = "Datastore.Audit|Datastore.AllocateSpace"


def storage_resources(state: State, ask: Ask) -> list[JsonValue]:
    """Return the storages' entries in cluster/resources."""
    used = state.used()
    return [
        _resource(state, storage, node, used.get((storage.name, place_on(storage, node)), 0))
        for node in state.nodes
        for storage in state.storages.values()
        if storage.on(node)
        and storage.enabled
        and allows(state, ask.token, f"/storage/{storage.name}", "Datastore.Audit")
    ]


def _resource(state: State, storage: Storage, node: str, used: int) -> JsonValue:
    row: dict[str, JsonValue] = {
        "id": f"storage/{node}/{storage.name}",
        "type": "storage",
        "node": node,
        "storage": storage.name,
        "status": "unknown",
        "plugintype": storage.kind,
        "content": ",".join(storage.content),
        "shared": int(storage.shared),
    }
    if storage.active and state.nodes[node].online:
        row |= {"status": "available", "disk": used, "maxdisk": storage.size}
    return row


def list_storages(state: State, ask: Ask) -> JsonValue:
    """GET nodes/{node}/storage."""
    used = state.used()
    return [
        {"storage": storage.name, **_with_fraction(_status(storage, ask.node, used))}
        for storage in state.storages.values()
        if storage.on(ask.node)
        and allows(state, ask.token, f"/storage/{storage.name}", MAY_SEE_STORAGE)
        and (storage.enabled or not ask.flag("enabled"))
        and ("content" not in ask.params or ask.text("content") in storage.content)
        and ask.text("storage", storage.name) == storage.name
    ]


def _status(storage: Storage, node: str, used: dict[tuple[str, str], int]) -> dict[str, JsonValue]:
    there = storage.enabled and storage.active
    total = storage.size if there else 0
    taken = used.get((storage.name, place_on(storage, node)), 0) if there else 0
    return {
        "type": storage.kind,
        "content": ",".join(storage.content),
        "enabled": int(storage.enabled),
        "active": int(there),
        "shared": int(storage.shared),
        "total": total,
        "used": taken,
        "avail": max(total - taken, 0),
    }


def _with_fraction(status: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return a status as the list of storages has it: with the share that is used, if any is."""
    total, used = status["total"], status["used"]
    if isinstance(total, int) and isinstance(used, int) and total:
        return {**status, "used_fraction": used / total}
    return status


def storage_status(state: State, ask: Ask) -> JsonValue:
    """GET storage/{storage}/status: zeros when it is away."""
    if ask.names["storage"] not in state.storages:
        raise bad_parameters(storage="No such storage.")
    return _status(_known(state, ask), ask.node, state.used())


def _known(state: State, ask: Ask) -> Storage:
    name = ask.names["storage"]
    storage = state.storages.get(name)
    if storage is None:
        raise Refused(f"storage '{name}' does not exist")
    if not storage.on(ask.node):
        raise Refused(f"storage '{name}' is not available on node '{ask.node}'")
    return storage


def _usable(state: State, ask: Ask) -> Storage:
    storage = _known(state, ask)
    trouble = storage.trouble()
    if trouble is not None:
        raise Refused(trouble)
    return storage


def storage_content(state: State, ask: Ask) -> JsonValue:
    """GET storage/{storage}/content; `vmid` narrows it to one guest's volumes."""
    storage = _usable(state, ask)
    vmid, here, wanted = ask.number("vmid", 0), f"{storage.name}:", ask.text("content")
    rows = [
        volume_row(state, volume)
        for volume in state.volumes.values()
        if volume.volid.startswith(here)
        and volume.node in {"", ask.node}
        and (not vmid or volume.vmid == vmid)
        and _may_see_disk(state, ask, storage, volume)
    ]
    rows += [
        file_row(file)
        for file in state.files.values()
        if file.volid.startswith(here)
        and file.on(ask.node)
        and may_use_file(state, ask, storage, file)
    ]
    return [row for row in rows if wanted in {"", row["content"]} and vmid in {0, row.get("vmid")}]


def _may_see_disk(state: State, ask: Ask, storage: Storage, volume: Volume) -> bool:
    """Say whether the asker may see a disk: of a guest that he may not give one, he sees none."""
    where = f"/storage/{storage.name}"
    if allows(state, ask.token, where, OWNS_STORAGE):
        return True
    may_give = allows(state, ask.token, f"/vms/{volume.vmid}", "VM.Config.Disk")
    return may_give and allows(state, ask.token, where, "Datastore.Audit")


def may_use_file(state: State, ask: Ask, storage: Storage, file: StoredFile) -> bool:
    """Say whether the asker may see and read a file: somebody's backup is not for everybody."""
    if file.backup is None or allows(state, ask.token, f"/storage/{storage.name}", OWNS_STORAGE):
        return True
    return allows(state, ask.token, f"/vms/{file.vmid}", "VM.Backup")


def store_archive(state: State, name: str, storage: str, nodes: Sequence[str]) -> str:
    """Put an archive for containers on a storage; returns its volume's id.

    A storage that is not shared has it on `nodes` alone, or everywhere if there are none.
    """
    volid, now = f"{storage}:vztmpl/{name}", int(state.timeline.now)
    found = state.storages.get(storage)
    own = () if found is not None and found.shared else tuple(nodes)
    form = "t" + name.rpartition(".")[2]
    state.files[volid] = StoredFile(volid, "vztmpl", form, 126_515_062, now, nodes=own)
    return volid


def put_volume(state: State, ask: Ask) -> JsonValue:
    """PUT storage/{storage}/content/{volume}: notes and protection of a backup."""
    storage, name = _usable(state, ask), ask.names["volume"]
    volid = name if ":" in name else f"{storage.name}:{name}"
    file = state.files.get(volid)
    if file is None or file.backup is None:
        raise Refused(f"volume '{volid}' does not exist")
    if not may_use_file(state, ask, storage, file):
        raise Refused(f"Permission check failed (/vms/{file.vmid}, VM.Backup)", 403)
    require(state, ask.token, f"/storage/{storage.name}", "Datastore.AllocateSpace")
    protected = ask.flag("protected") if "protected" in ask.params else file.protected
    notes = ask.text("notes", file.notes)
    state.files[volid] = replace(file, notes=notes, protected=protected)
    return None


def delete_volume(state: State, ask: Ask) -> JsonValue:
    """DELETE storage/{storage}/content/{volume}. Returns a UPID."""
    storage, name = _usable(state, ask), ask.names["volume"]
    volid = name if ":" in name else f"{storage.name}:{name}"
    volume, file = state.volumes.get(volid), state.files.get(volid)
    if volume is not None:
        require(state, ask.token, f"/vms/{volume.vmid}", "VM.Config.Disk")
    if file is not None and file.backup is None:
        require(state, ask.token, f"/storage/{storage.name}", "Datastore.AllocateTemplate")
    elif file is not None and not may_use_file(state, ask, storage, file):
        raise Refused(f"Permission check failed (/vms/{file.vmid}, VM.Backup)", 403)
    elif file is not None:
        require(state, ask.token, f"/storage/{storage.name}", "Datastore.AllocateSpace")

    def work(task: Task) -> Script[None]:
        if any(other.parent == volid for other in state.volumes.values()):
            base = volid.partition(":")[2]
            raise Refused(f"base volume '{base}' is still in use by linked clones")
        kept = state.files.get(volid)
        if kept is not None and kept.protected:
            path = volid.partition(":")[2]
            raise Refused(f"cannot remove protected volume '{path}' on '{storage.name}'")
        state.volumes.pop(volid, None)
        _remove_file(state, ask.node, volid)
        task.log.append(f"Removed volume '{volid}'")
        yield from ()

    owner = _owner(name.partition(":")[2] or name)
    target = f"{owner}@{storage.name}" if owner else storage.name
    return start_task(state, ask, "imgdel", target, work)


def _remove_file(state: State, node: str, volid: str) -> None:
    """Remove a file where `node` sees it; what others have of that name is theirs."""
    file = state.files.get(volid)
    if file is None or not file.on(node):
        return
    rest = tuple(each for each in file.nodes if each != node)
    if rest:
        state.files[volid] = replace(file, nodes=rest)
    else:
        del state.files[volid]


def _owner(name: str) -> str:
    """Return whose volume it is by its name alone, empty for a file of nobody's."""
    found = re.search(r"^(\d+)/|(?:^|/)(?:vm|base|subvol|vzdump-qemu|vzdump-lxc)-(\d+)-", name)
    return "" if found is None else found[1] or found[2]


def list_configured(state: State, ask: Ask) -> JsonValue:
    """GET storage: how each storage is configured, of those that the token may see."""
    return [
        _configured(storage)
        for storage in state.storages.values()
        if allows(state, ask.token, f"/storage/{storage.name}", MAY_SEE_STORAGE)
    ]


def read_configured(state: State, ask: Ask) -> JsonValue:
    """GET storage/{storage}."""
    storage = state.storages.get(ask.names["storage"])
    if storage is None:
        raise Refused(f"storage '{ask.names['storage']}' does not exist")
    return _configured(storage)


def _configured(storage: Storage) -> JsonValue:
    row: dict[str, JsonValue] = {
        "storage": storage.name,
        "type": storage.kind,
        "content": ",".join(storage.content),
        "digest": hashlib.sha1(repr(storage).encode(), usedforsecurity=False).hexdigest(),
    }
    if storage.keeps_files:
        row |= {"path": f"/mnt/{storage.name}", "prune-backups": "keep-all=1"}
    for key, told, value in (
        ("disable", not storage.enabled, 1),
        ("shared", storage.shared, 1),
        ("nodes", bool(storage.nodes), ",".join(storage.nodes)),
    ):
        if told:
            row[key] = value
    return row


def read_volume(state: State, ask: Ask) -> JsonValue:
    """GET storage/{storage}/content/{volume}: how large it is and where it lies."""
    storage, name = _usable(state, ask), ask.names["volume"]
    require(state, ask.token, f"/storage/{storage.name}", MAY_SEE_STORAGE)
    volid = name if ":" in name else f"{storage.name}:{name}"
    found = state.volumes.get(volid) or state.files.get(volid)
    if found is None:
        raise Refused(f"volume_size_info on '{volid}' failed - no format")
    used = found.written if isinstance(found, Volume) else found.size
    where = f"/mnt/{storage.name}/images/{volid.partition(':')[2]}"
    return {"path": where, "size": found.size, "used": used, "format": found.format}

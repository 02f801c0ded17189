"""Where a volume lies and what it is called, which depends on the kind of its storage.

A directory and an NFS share keep files (`store:218/vm-218-disk-0.qcow2`), LVM and ZFS keep names
(`store:vm-218-disk-0`, a container's on ZFS `subvol-…`). Only what can make a cheap copy of a
volume has linked clones and snapshots: qcow2 files, thin LVM, ZFS; a container's raw file has none,
and nothing on thick LVM, where even a template's disks stay what they are.
"""

import re

from provisioner.simulator.state import State, Storage, Volume
from provisioner.simulator.wire import Refused

CLOUDINIT_SIZE = 4 * 2**20
EXTENT = 4 * 2**20
#: The kind of storage that gives a volume all of its size at once, and can do nothing else with it.
THICK = "lvm"


def usable_storage(state: State, name: str, node: str) -> Storage:
    """Return the storage `name` for use on `node`, or refuse as Proxmox does."""
    storage = state.storages.get(name)
    if storage is None:
        raise Refused(f"storage '{name}' does not exist")
    if not storage.enabled:
        raise Refused(f"storage '{name}' is disabled")
    if not storage.on(node):
        raise Refused(f"storage '{name}' is not available on node '{node}'")
    return storage


def place_on(storage: Storage, node: str) -> str:
    """Return what a volume's `node` is when it lies on `storage` and is used by `node`."""
    return "" if storage.shared else node


def check_room(state: State, storage: Storage, node: str, needed: int) -> None:
    """Refuse unless `needed` bytes are free on `storage`, as `node` sees it."""
    free = storage.size - state.used().get((storage.name, place_on(storage, node)), 0)
    if free < needed:
        raise Refused(f"not enough free space ({free} < {needed})")


def check_extents(state: State, volume: Volume, size: int) -> None:
    """Refuse to grow a thick volume beyond what its storage has left, as `lvextend` does."""
    name, _, short = volume.volid.partition(":")
    free = state.storages[name].size - state.used().get((name, volume.node), 0)
    if volume.thick and size - volume.size > free:
        needed, left = (-(-each // EXTENT) for each in (size - volume.size, max(0, free)))
        said = f"Insufficient free space: {needed} extents needed, but only {left} available"
        raise Refused(f"error resizing volume '/dev/{name}/{short}': {said}")


def container_format(storage: Storage, size: int) -> str:
    """Return in which format a container's volume of `size` bytes is kept; 0 is no limit."""
    if storage.kind == "zfspool" or (storage.keeps_files and not size):
        return "subvol"
    return "raw"


def new_volume(
    state: State, storage: Storage, vmid: int, shape: tuple[int, str], parent: str | None = None
) -> Volume:
    """Make the next disk of `vmid` on `storage`; `shape` is its size and its format.

    `parent` is the base of a linked clone. A whole volume needs all of its size free, although it
    takes less; a linked one needs what it takes.
    """
    size, form = shape
    trouble, node = storage.trouble(), state.guests[vmid].node
    if trouble is not None:
        raise Refused(trouble)
    check_room(state, storage, node, size if parent is None else size // 8)
    stem = "subvol" if form == "subvol" else "vm"
    thick = storage.kind == THICK
    taken = {disk_number(volume.volid) for volume in state.volumes_of(vmid)}
    number = next(n for n in range(10_000) if n not in taken)
    name = f"{stem}-{vmid}-disk-{number}"
    volid = volume_id(storage, vmid, name, form, parent)
    now = int(state.timeline.now)
    volume = Volume(volid, vmid, size, form, now, parent, place_on(storage, node), thick)
    state.volumes[volid] = volume
    return volume


def drive_format(storage: Storage) -> str:
    """Return in which format a virtual machine's disk is kept."""
    return "qcow2" if storage.keeps_files else "raw"


def cloudinit_volume(state: State, storage: Storage, vmid: int) -> Volume:
    """Make the drive of `vmid` that cloud-init reads."""
    form, node = drive_format(storage), state.guests[vmid].node
    volid = volume_id(storage, vmid, f"vm-{vmid}-cloudinit", form)
    now, size, thick = int(state.timeline.now), CLOUDINIT_SIZE, storage.kind == THICK
    volume = Volume(volid, vmid, size, form, now, node=place_on(storage, node), thick=thick)
    state.volumes[volid] = volume
    return volume


def disk_number(volid: str) -> int | None:
    """Return the number at the end of a disk's name, None for what is no numbered disk."""
    found = re.search(r"-disk-(\d+)(?:\.\w+)?$", volid)
    return None if found is None else int(found[1])


def volume_id(storage: Storage, vmid: int, name: str, form: str, parent: str | None = None) -> str:
    """Return the id of the volume `name`; `parent` is the base of a linked clone."""
    if storage.keeps_files:
        file = f"{vmid}/{name}.{form}"
        return f"{storage.name}:{file}" if parent is None else f"{parent}/{file}"
    if storage.kind == "zfspool" and parent is not None:
        return f"{parent}/{name}"
    return f"{storage.name}:{name}"


def links(storage: Storage, form: str) -> bool:
    """Say whether a base volume of this format has linked clones there."""
    return form == "qcow2" if storage.keeps_files else storage.kind != THICK


def machine_links(storage: Storage, form: str) -> bool:
    """Say so of a virtual machine's base: a qcow2 file has any file behind it."""
    return storage.keeps_files or links(storage, form)


def base_of(volume: Volume) -> str:
    """Return what a volume is called once it is the base of others."""
    head, slash, name = volume.volid.rpartition("/")
    if not slash:
        store, _, name = name.partition(":")
        head, slash = store, ":"
    for stem, base in (("vm-", "base-"), ("subvol-", "basevol-")):
        if name.startswith(stem):
            return f"{head}{slash}{base}{name.removeprefix(stem)}"
    return volume.volid

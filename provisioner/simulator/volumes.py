"""Where a volume lies and what it is called, which depends on the kind of its storage.

A directory and an NFS share keep files (`store:218/vm-218-disk-0.qcow2`), thin LVM and ZFS keep
names (`store:vm-218-disk-0`, a container's on ZFS `subvol-…`). Only what can make a cheap copy of
a volume has linked clones: qcow2 files, thin LVM, ZFS; a container's raw file has none.
"""

import re

from provisioner.simulator.state import State, Storage, Volume
from provisioner.simulator.wire import Refused

FILES = ("dir", "nfs")


def usable_storage(state: State, name: str) -> Storage:
    """Return the storage `name`, or refuse as Proxmox does."""
    storage = state.storages.get(name)
    if storage is None:
        raise Refused(f"storage '{name}' does not exist")
    if not storage.enabled:
        raise Refused(f"storage '{name}' is disabled")
    return storage


def container_format(storage: Storage, size: int) -> str:
    """Return in which format a container's volume of `size` bytes is kept; 0 is no limit."""
    if storage.kind == "zfspool" or (storage.kind in FILES and not size):
        return "subvol"
    return "raw"


def new_volume(
    state: State, storage: Storage, vmid: int, shape: tuple[int, str], parent: str | None = None
) -> Volume:
    """Make the next disk of `vmid` on `storage`; `shape` is its size and its format.

    `parent` is the base of a linked clone.
    """
    size, form = shape
    if not storage.active:
        raise Refused(f"unable to activate storage '{storage.name}'")
    stem = "subvol" if form == "subvol" else "vm"
    taken = {disk_number(volume.volid) for volume in state.volumes_of(vmid)}
    number = next(n for n in range(10_000) if n not in taken)
    name = f"{stem}-{vmid}-disk-{number}"
    volid = _volid(storage, vmid, name, form, parent)
    volume = Volume(volid, vmid, size, form, int(state.timeline.now), parent)
    state.volumes[volid] = volume
    return volume


def disk_number(volid: str) -> int | None:
    """Return the number at the end of a disk's name, None for what is no numbered disk."""
    found = re.search(r"-disk-(\d+)(?:\.\w+)?$", volid)
    return None if found is None else int(found[1])


def _volid(storage: Storage, vmid: int, name: str, form: str, parent: str | None) -> str:
    if storage.kind in FILES:
        file = f"{vmid}/{name}.{form}"
        return f"{storage.name}:{file}" if parent is None else f"{parent}/{file}"
    if storage.kind == "zfspool" and parent is not None:
        return f"{parent}/{name}"
    return f"{storage.name}:{name}"


def links(storage: Storage, form: str) -> bool:
    """Say whether a base volume of this format has linked clones there."""
    return storage.kind not in FILES or form == "qcow2"


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

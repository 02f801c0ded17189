"""Destroying, growing and templating: what happens to a machine's volumes.

A destroy of a running or protected machine is refused at once; everything else about it is found
out in the task. It removes the disks that the configuration names, the firewall file, the pool
membership; unreferenced disks stay unless asked for. A disk whose storage is away stays too, and
the task says OK all the same: only the storage's content tells.
"""

import re
from collections.abc import Callable

from provisioner.backends.proxmox.api import JsonValue
from provisioner.simulator.access import Ask
from provisioner.simulator.guests import Guest, format_size, parse_size, size_of
from provisioner.simulator.ha import refuse_without_purge
from provisioner.simulator.state import State, StoredFile, Volume
from provisioner.simulator.task import Task
from provisioner.simulator.tasks import lock_of, start_task, with_lock
from provisioner.simulator.timeline import Script, Sleep
from provisioner.simulator.volumes import (
    THICK,
    base_of,
    check_extents,
    drive_format,
    place_on,
    volume_id,
)
from provisioner.simulator.wire import Refused, bad_parameters

SIZE_PATTERN = re.compile(r"\+?\d+(\.\d+)?[KMGT]?")


def destroy(state: State, ask: Ask) -> JsonValue:
    """DELETE qemu/{vmid}. Returns a UPID; HTTP 200 only means that the task was started."""
    guest = state.guest(ask.node, ask.vmid)
    if "skiplock" in ask.params:
        raise bad_parameters(skiplock="Only root may use this option.")
    if guest.config.get("protection"):
        raise Refused(f"can't remove VM {ask.vmid} - protection mode enabled")
    refuse_without_purge(state, ask, "VM")
    if guest.running:
        raise Refused(f"VM {ask.vmid} is running - destroy failed")

    def work(task: Task) -> Script[None]:
        yield from with_lock(state, lock_of(ask.vmid), _destroy(state, ask, task), task)

    return start_task(state, ask, "qmdestroy", str(ask.vmid), work)


def _destroy(state: State, ask: Ask, task: Task) -> Script[None]:
    guest = state.guest(ask.node, ask.vmid)
    if guest.lock not in {None, "suspended"}:
        raise Refused(f"VM is locked ({guest.lock})")
    if guest.running:
        raise Refused(f"VM {ask.vmid} is running - destroy failed")
    yield from erase(state, ask, task, guest, _in_use)


def _in_use(volid: str) -> str:
    return f"base volume '{volid}' is still in use by linked cloned"


def erase(
    state: State, ask: Ask, task: Task, guest: Guest, in_use: Callable[[str], str]
) -> Script[None]:
    """Remove a guest of either kind and its volumes; `in_use` is why one has to stay."""
    volids = [line.split(",")[0] for line in guest.disks().values()]
    volids += [str(v) for key, v in guest.config.items() if key.startswith("unused")]
    if ask.flag("destroy-unreferenced-disks"):
        volids += [volume.volid for volume in state.volumes_of(ask.vmid)]
    for volid in volids:
        if any(volume.parent == volid for volume in state.volumes.values()):
            raise Refused(in_use(volid))
    yield Sleep(state.settings.durations.destroy)
    for volid in dict.fromkeys(volids):
        remove_volume(state, task, volid)
    state.firewalls.pop(ask.vmid, None)
    for pool in state.pools.values():
        pool.members.discard(ask.vmid)
    label = "CT" if guest.kind == "lxc" else "VM"
    if ask.flag("purge"):
        state.ha.pop(ask.vmid, None)
        task.log.append(f"purging {label} {ask.vmid} from related configurations..")
    del state.guests[ask.vmid]


def remove_volume(state: State, task: Task, volid: str) -> None:
    """Remove a volume, or say in the log why it stays."""
    trouble = state.storage_trouble(volid.split(":", maxsplit=1)[0])
    if trouble is not None:
        task.log.append(f"Could not remove disk '{volid}', check manually: {trouble}")
    else:
        state.volumes.pop(volid, None)


def resize(state: State, ask: Ask) -> JsonValue:
    """PUT resize. Absolute sizes are idempotent, relative ones are not; shrinking fails later."""

    def work(task: Task) -> Script[None]:
        yield from with_lock(state, lock_of(ask.vmid), _resize(state, ask, task), task)

    return start_task(state, ask, "resize", str(ask.vmid), work)


def _resize(state: State, ask: Ask, task: Task) -> Script[None]:
    guest, key, wanted = state.guest(ask.node, ask.vmid), ask.text("disk"), ask.text("size")
    if guest.lock is not None:
        raise Refused(f"VM is locked ({guest.lock})")
    line = guest.disks().get(key)
    if line is None:
        raise Refused(f"disk '{key}' does not exist")
    if "media=cdrom" in line:
        raise Refused("you can't resize a cdrom")
    volume = state.volumes[line.split(",")[0]]
    trouble = state.storage_trouble(line.split(":")[0])
    if trouble is not None:
        raise Refused(trouble)
    size = parse_size(wanted.removeprefix("+")) + (volume.size if wanted[0] == "+" else 0)
    if size < volume.size:
        raise Refused("shrinking disks is not supported")
    check_extents(state, volume, size)
    yield Sleep(state.settings.durations.resize)
    if size > volume.size:
        task.log.append("Image resized.")
        _grow(state, guest, key, volume, size)


def _grow(state: State, guest: Guest, key: str, volume: Volume, size: int) -> None:
    volume.size = size
    line = str(guest.config[key])
    kept = [part for part in line.split(",") if not part.startswith("size=")]
    state.changing(guest).config[key] = ",".join([*kept, f"size={format_size(size)}"])


def template(state: State, ask: Ask) -> JsonValue:
    """POST template: from now on it can be cloned linked, and never started."""
    guest = state.guest(ask.node, ask.vmid)
    if guest.lock is not None:
        raise Refused(f"VM is locked ({guest.lock})")
    if guest.snapshots:
        raise Refused("unable to create template, because VM contains snapshots")
    if guest.template:
        raise Refused("you can't convert a template to a template")
    if guest.running:
        raise Refused("you can't convert a VM to template if VM is running.")

    def work(task: Task) -> Script[None]:
        yield from with_lock(state, lock_of(ask.vmid), _template(state, guest), task)

    return start_task(state, ask, "qmtemplate", str(ask.vmid), work)


def _template(state: State, guest: Guest) -> Script[None]:
    yield Sleep(state.settings.durations.template)
    make_template(state, guest)


def make_template(state: State, guest: Guest) -> None:
    """Turn a guest's disks into base volumes."""
    state.changing(guest).config["template"] = 1
    for key, line in guest.disks().items():
        if "cloudinit" in line:
            continue
        volid, _, options = line.partition(",")
        volume = state.volumes[volid]
        if volume.thick:
            continue
        del state.volumes[volid]
        base = base_of(volume)
        volume.volid = base
        state.volumes[base] = volume
        guest.config[key] = f"{base},{options}" if options else base


def file_row(file: StoredFile) -> dict[str, JsonValue]:
    """Return a file as a storage's content shows it."""
    row: dict[str, JsonValue] = {
        "volid": file.volid,
        "content": file.content,
        "format": file.format,
        "size": file.size,
        "ctime": file.ctime,
    }
    if file.backup is not None:
        row |= {"vmid": file.vmid, "subtype": file.backup.kind}
        row |= {"notes": file.notes.splitlines()[0]} if file.notes else {}
        row |= {"protected": 1} if file.protected else {}
    return row


def volume_row(state: State, volume: Volume) -> dict[str, JsonValue]:
    """Return a volume as a storage's content shows it: `rootdir` is a container's."""
    owner = state.guests.get(volume.vmid)
    of_container = volume.format == "subvol" if owner is None else owner.kind == "lxc"
    parent = None if volume.parent is None else f"../{volume.parent.partition(':')[2]}"
    return {
        "volid": volume.volid,
        "vmid": volume.vmid,
        "size": volume.size,
        "used": volume.written,
        "format": volume.format,
        "content": "rootdir" if of_container else "images",
        "ctime": volume.ctime,
        "parent": parent,
    }


def add_disk(state: State, guest: Guest, key: str, size: int, *, cdrom: bool = False) -> None:
    """Give a guest a disk (or its cloud-init drive) as if it had been there all along."""
    place = state.storages[state.settings.storage]
    form, stem = drive_format(place), "cloudinit" if cdrom else f"disk-{len(guest.disks())}"
    volid = volume_id(place, guest.vmid, f"vm-{guest.vmid}-{stem}", form)
    now, node, thick = int(state.timeline.now), place_on(place, guest.node), place.kind == THICK
    state.volumes[volid] = Volume(volid, guest.vmid, size, form, now, node=node, thick=thick)
    line = f"{volid},media=cdrom" if cdrom else f"{volid},size={format_size(size)}"
    assert cdrom or size_of(line) == size  # noqa: S101 - a size that has no exact text is a bug
    state.changing(guest).config[key] = line

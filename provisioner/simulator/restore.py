"""Restoring a guest from a backup: the same machine again, under the VMID that is asked for.

Name, description, uuid and MAC addresses are those of the backup (with `unique`, new MAC
addresses); so is what is inside, keys and passwords included, and its firewall. An existing guest
is only replaced with `force`, when it is stopped and not protected. Until the archive is unpacked
there is only `lock: create`; a restore that fails leaves things as they were.
"""

import re
from dataclasses import dataclass

from provisioner.backends.proxmox.api import JsonValue
from provisioner.simulator.access import Ask, allows, require
from provisioner.simulator.configrules import NAME
from provisioner.simulator.guests import ConfigValue, Guest, format_size
from provisioner.simulator.lxc.container import Container
from provisioner.simulator.params import COUNT, FLAG, TEXT, VMID, Kind, Rule
from provisioner.simulator.state import Backup, State, StoredFile
from provisioner.simulator.storages import may_use_file
from provisioner.simulator.task import Task
from provisioner.simulator.tasks import start_task
from provisioner.simulator.timeline import Script, Sleep
from provisioner.simulator.volumes import (
    cloudinit_volume,
    container_format,
    drive_format,
    new_volume,
    usable_storage,
)
from provisioner.simulator.wire import Refused

RULES: dict[str, Rule] = {
    "vmid": Rule(Kind.INTEGER, required=True, check=VMID.check),
    "archive": Rule(required=True, longest=255),
    "bwlimit": COUNT,
    "description": TEXT,
    "name": NAME,
    "force": FLAG,
    "pool": TEXT,
    "storage": TEXT,
    "unique": FLAG,
}


@dataclass(frozen=True, slots=True)
class Restore:
    """One restore under way; `old` is the guest that it replaces, `given` what overrides."""

    ask: Ask
    archive: str
    guest: Guest
    old: Guest | None
    given: dict[str, ConfigValue]

    @property
    def word(self) -> str:
        """Return what the guest is called in messages."""
        return "CT" if self.guest.kind == "lxc" else "VM"


def restore_machine(state: State, ask: Ask) -> JsonValue:
    """POST nodes/{node}/qemu with `archive`: machines are not made from nothing here."""
    given: dict[str, ConfigValue] = {
        key: ask.text(key) for key in ("name", "description") if key in ask.params
    }
    return restore(state, ask, ask.text("archive"), given)


def restore(state: State, ask: Ask, archive: str, given: dict[str, ConfigValue]) -> JsonValue:
    """Begin to restore `archive` as the path's kind of guest. Returns the UPID of a task."""
    vmid, pool, kind = ask.number("vmid", 0), ask.text("pool"), ask.path.rpartition("/")[2]
    if pool and pool not in state.pools:
        raise Refused(f"Permission check failed (pool '{pool}' does not exist)", 403)
    paths = [f"/vms/{vmid}", *([f"/pool/{pool}"] if pool else [])]
    if not any(allows(state, ask.token, path, "VM.Allocate") for path in paths):
        raise Refused("Permission check failed", 403)
    file = state.files.get(archive)
    if file is None or not file.on(ask.node) or file.backup is None:
        usable_storage(state, archive.split(":", maxsplit=1)[0], ask.node)
        raise Refused(f"volume '{archive}' does not exist")
    _refuse_without_privileges(state, ask, file)
    old = _replaced(state, ask, vmid, kind)
    guest = _reserved(state, ask, vmid, kind) if old is None else old
    state.changing(guest).config["lock"] = "create"
    job = Restore(ask, archive, guest, old, given)
    task_kind = "vzrestore" if kind == "lxc" else "qmrestore"
    return start_task(state, ask, task_kind, str(vmid), lambda task: _work(state, job, task))


def _refuse_without_privileges(state: State, ask: Ask, file: StoredFile) -> None:
    source = state.storages[file.volid.split(":")[0]]
    if not may_use_file(state, ask, source, file):
        raise Refused(f"Permission check failed (/vms/{file.vmid}, VM.Backup)", 403)
    target = ask.text("storage")
    if target:
        usable_storage(state, target, ask.node)
        require(state, ask.token, f"/storage/{target}", "Datastore.AllocateSpace")


def _replaced(state: State, ask: Ask, vmid: int, kind: str) -> Guest | None:
    """Return the guest that has the VMID, or refuse to replace it."""
    old = state.guests.get(vmid)
    if old is None:
        return None
    word, taken = ("CT" if each == "lxc" else "VM" for each in (kind, old.kind))
    wrong = f"unable to restore {word} {vmid} -"
    if (old.kind, old.node) != (kind, ask.node) or not ask.flag("force"):
        raise Refused(f"{wrong} {taken} {vmid} already exists on node '{old.node}'")
    if old.config.get("protection"):
        raise Refused(f"{wrong} protection mode enabled")
    if old.lock is not None:
        raise Refused(f"{wrong} {word} is locked ({old.lock})")
    if old.running:
        raise Refused(f"{wrong} {'container' if kind == 'lxc' else 'vm'} is running")
    return old


def _reserved(state: State, ask: Ask, vmid: int, kind: str) -> Guest:
    now, token = state.timeline.now, ask.token.id
    if kind == "lxc":
        cpus = state.settings.node_cpus
        return state.add_guest(Container(vmid, ask.node, token, now, host_cpus=cpus))
    return state.add_guest(Guest(vmid, ask.node, token, now))


def _work(state: State, job: Restore, task: Task) -> Script[None]:
    guest, before = job.guest, set(state.volumes)
    try:
        yield from _unpack(state, job, task)
    except Refused as refusal:
        for volume in state.volumes_of(guest.vmid):
            if volume.volid not in before:
                del state.volumes[volume.volid]
        state.changing(guest).config.pop("lock", None)
        if job.old is None:
            del state.guests[guest.vmid]
        raise Refused(f"unable to restore {job.word} {guest.vmid} - {refusal.reason}") from None
    pool = state.pools.get(job.ask.text("pool"))
    if pool is not None:
        pool.members.add(guest.vmid)


def _unpack(state: State, job: Restore, task: Task) -> Script[None]:
    guest, file = job.guest, state.files.get(job.archive)
    if file is None or file.backup is None:
        raise Refused(f"volume '{job.archive}' does not exist")
    backup = file.backup
    if backup.kind != guest.kind:
        raise Refused(f"'{job.archive}' is a backup of another kind of guest")
    replaced = {line.split(",")[0] for line in guest.disks().values()}
    lines = {key: _disk(state, job, backup, key) for key in backup.disks}
    task.log.append(f"restoring '{job.archive}' now..")
    yield Sleep(sum(backup.disks.values()) / 8 / state.settings.durations.restore_rate)
    for volid in replaced - {line.split(",")[0] for line in lines.values()}:
        state.volumes.pop(volid, None)
    config = {**backup.config, **job.given, **lines}
    if job.ask.flag("unique"):
        _draw_macs(state, config)
    if guest.kind == "qemu":
        config["vmgenid"] = state.draws.uuid()
    state.changing(guest).config = config
    guest.pending.clear()
    guest.snapshots.clear()
    guest.os = backup.system.copy()
    if backup.firewall is not None:
        state.firewalls[guest.vmid] = backup.firewall.copy()
    task.log.append("merging backed-up and given configuration..")


def _disk(state: State, job: Restore, backup: Backup, key: str) -> str:
    line, vmid = str(backup.config[key]), job.guest.vmid
    name = job.ask.text("storage") or line.split(":", maxsplit=1)[0]
    storage = usable_storage(state, name, job.ask.node)
    size, options = backup.disks[key], line.split(",")[1:]
    if "cloudinit" in line:
        return ",".join([cloudinit_volume(state, storage, vmid).volid, *options])
    form = container_format(storage, size) if backup.kind == "lxc" else drive_format(storage)
    volume = new_volume(state, storage, vmid, (size, form))
    kept = [option for option in options if not option.startswith("size=")]
    return ",".join([volume.volid, *kept, f"size={format_size(size)}"])


def _draw_macs(state: State, config: dict[str, ConfigValue]) -> None:
    for key in [key for key in config if re.match(r"net\d+$", key)]:
        old = re.search(r"(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}", str(config[key]))
        if old is not None:
            config[key] = str(config[key]).replace(old[0], state.draws.mac())

"""Creating a container: what is inside is put there now, from an archive, and never again.

The VMID is taken when the POST answers: the configuration holds `lock: create` and nothing else
until the archive is unpacked; then it is there in one piece. A missing OS template or too small a
root file system is only found out by the task, which then leaves nothing behind.
"""

import re
from dataclasses import dataclass

from provisioner.backends.proxmox.api import JsonValue
from provisioner.simulator.access import Ask, allows, require
from provisioner.simulator.config import check_keys
from provisioner.simulator.guestos import GuestOs, key_file
from provisioner.simulator.guests import MIB, ConfigValue
from provisioner.simulator.lxc.config import stored_value
from provisioner.simulator.lxc.container import MOUNTS, Container
from provisioner.simulator.lxc.mounts import line_of, mount_line, storage_asked
from provisioner.simulator.lxc.power import start_script
from provisioner.simulator.lxc.rules import CONFIG_RULES, privilege_for, refuse_what_is_roots
from provisioner.simulator.restore import restore
from provisioner.simulator.state import State
from provisioner.simulator.task import Task
from provisioner.simulator.tasks import container_lock, start_task, with_lock
from provisioner.simulator.timeline import Script, Sleep
from provisioner.simulator.volumes import container_format, new_volume, usable_storage
from provisioner.simulator.wire import Refused

NO_PATHS = "Only root can pass arbitrary filesystem paths. at /usr/share/perl5/PVE/Storage.pm"
NO_PATHS += " line 581."
MAY_READ = ("Datastore.AllocateSpace", "Datastore.Audit")
UNPACKED = 250 * MIB
DISK_FULL = (
    "command 'lxc-usernsexec -m u:0:100000:65536 -m g:0:100000:65536 -- tar xpf - --zstd --totals"
    " --one-file-system -p --sparse --numeric-owner --acls --xattrs '--xattrs-include=user.*'"
    " '--xattrs-include=security.capability' '--warning=no-file-ignored'"
    " '--warning=no-xattr-write' -C /var/lib/lxc/{vmid}/rootfs --skip-old-files --anchored"
    " --exclude './dev/*'' failed: exit code 2"
)


@dataclass(frozen=True, slots=True)
class Creation:
    """One container that is being made; `mounts` are its mount points as they were asked for."""

    ask: Ask
    guest: Container
    template: str
    mounts: dict[str, str]


def create(state: State, ask: Ask) -> JsonValue:
    """POST nodes/{node}/lxc. Returns the UPID of a task."""
    if ask.flag("restore"):
        return restore(state, ask, ask.text("ostemplate"), _overrides(state, ask))
    template, mounts = ask.text("ostemplate"), _mounts(ask)
    _refuse_unprivileged_asker(state, ask)
    refuse_what_is_roots(ask.params, unprivileged=ask.flag("unprivileged"))
    check_keys(ask.text("ssh-public-keys"))
    refuse_taken(state, ask.number("vmid", 0))
    if ":" not in template:
        raise Refused(NO_PATHS)
    asked = [storage_asked(text) for text in mounts.values()]
    _refuse_unreadable(state, ask, template.split(":")[0])
    names = [name for name in (template.split(":")[0], *asked) if name]
    storages = [usable_storage(state, name, ask.node) for name in names]
    for storage in storages[1:]:
        require(state, ask.token, f"/storage/{storage.name}", "Datastore.AllocateSpace")
    guest = reserve(state, ask, ask.number("vmid", 0), ask.node)
    creation = Creation(ask, guest, template, mounts)
    return start_task(
        state, ask, "vzcreate", str(guest.vmid), lambda task: _work(state, creation, task)
    )


def _refuse_unreadable(state: State, ask: Ask, storage: str) -> None:
    """Refuse an archive to whoever may not read its storage."""
    path = f"/storage/{storage}"
    if not any(allows(state, ask.token, path, privilege) for privilege in MAY_READ):
        raise Refused(f"Permission check failed ({path}, {'|'.join(MAY_READ)})", 403)


def _overrides(state: State, ask: Ask) -> dict[str, ConfigValue]:
    """Return what a restore is given besides the backup; a size of its own is not offered."""
    vmid = ask.number("vmid", 0)
    if any(MOUNTS.match(key) for key in ask.params):
        raise Refused("restoring into other mount points is not simulated: give a storage", 501)
    refuse_what_is_roots(ask.params, unprivileged=ask.flag("unprivileged"))
    return {
        key: stored_value(state, vmid, key, value)
        for key, value in ask.params.items()
        if key in CONFIG_RULES and not isinstance(value, tuple)
    }


def _mounts(ask: Ask) -> dict[str, str]:
    given = {key: ask.text(key) for key in ask.params if MOUNTS.match(key)}
    return {"rootfs": f"{ask.text('storage', 'local')}:4"} | given


def refuse_taken(state: State, vmid: int) -> None:
    """Refuse a VMID that some guest has, wherever it is."""
    taken = state.guests.get(vmid)
    if taken is not None:
        kind = "CT" if isinstance(taken, Container) else "VM"
        raise Refused(f"{kind} {vmid} already exists on node '{taken.node}'")


def reserve(state: State, ask: Ask, vmid: int, node: str) -> Container:
    """Take the VMID: from here on it exists, locked and without a configuration."""
    guest = Container(
        vmid,
        node,
        ask.token.id,
        state.timeline.now,
        config={"lock": "create"},
        host_cpus=state.settings.node_cpus,
    )
    state.add_guest(guest)
    return guest


def refuse_without_allocate(state: State, ask: Ask, vmid: int) -> None:
    """Refuse with 403 unless the asker may have the VMID, by itself or by the pool."""
    pool = ask.text("pool")
    if pool and pool not in state.pools:
        raise Refused(f"Permission check failed (pool '{pool}' does not exist)", 403)
    if not _may(state, ask, vmid, "VM.Allocate"):
        raise Refused("Permission check failed", 403)


def _may(state: State, ask: Ask, vmid: int, privilege: str) -> bool:
    pool = ask.text("pool")
    return allows(state, ask.token, f"/vms/{vmid}", privilege) or (
        pool != "" and allows(state, ask.token, f"/pool/{pool}", privilege)
    )


def _refuse_unprivileged_asker(state: State, ask: Ask) -> None:
    vmid = ask.number("vmid", 0)
    refuse_without_allocate(state, ask, vmid)
    for key in ask.params:
        if key in CONFIG_RULES and not _may(state, ask, vmid, privilege_for(key)):
            raise Refused(f"Permission check failed (/vms/{vmid}, {privilege_for(key)})", 403)
        if re.match(r"net\d+$", key) and "bridge=" in ask.text(key):
            bridge = ask.text(key).split("bridge=")[1].split(",")[0]
            require(state, ask.token, f"/sdn/zones/localnetwork/{bridge}", "SDN.Use")


def _work(state: State, creation: Creation, task: Task) -> Script[None]:
    guest, ask = creation.guest, creation.ask
    before = set(state.volumes)
    try:
        yield from _unpack(state, creation, task)
    except Refused as refusal:
        for volume in state.volumes_of(guest.vmid):
            if volume.volid not in before:
                del state.volumes[volume.volid]
        del state.guests[guest.vmid]
        raise Refused(f"unable to create CT {guest.vmid} - {refusal.reason}") from None
    pool = state.pools.get(ask.text("pool"))
    if pool is not None:
        pool.members.add(guest.vmid)
    if ask.flag("template"):
        state.changing(guest).config["template"] = 1
    if ask.flag("start"):
        _start(state, ask, guest)


def _unpack(state: State, creation: Creation, task: Task) -> Script[None]:
    guest, ask = creation.guest, creation.ask
    lines = {
        key: mount_line(state, guest.vmid, text, task=task) for key, text in creation.mounts.items()
    }
    yield Sleep(state.settings.durations.container_create)
    archive = state.files.get(creation.template)
    if archive is None or not archive.on(ask.node):
        raise Refused(f"volume '{creation.template}' does not exist")
    task.log.append(f"extracting archive '{creation.template}'")
    root = state.volumes[lines["rootfs"].split(",")[0]]
    if 0 < root.size < UNPACKED:
        raise Refused(DISK_FULL.format(vmid=guest.vmid))
    task.log.append("Detected container architecture: amd64")
    state.changing(guest).config = {**_config(state, creation), **lines}
    guest.os = _system(ask, guest)


def _config(state: State, creation: Creation) -> dict[str, ConfigValue]:
    ask, vmid = creation.ask, creation.guest.vmid
    config: dict[str, ConfigValue] = {
        "arch": "amd64",
        "hostname": f"CT{vmid}",
        "memory": 512,
        "ostype": "debian",
        "swap": 512,
    }
    for key, value in ask.params.items():
        if key in CONFIG_RULES and not MOUNTS.match(key) and not isinstance(value, tuple):
            config[key] = stored_value(state, vmid, key, value)
    if not config.get("unprivileged"):
        config.pop("unprivileged", None)
    if config.get("description") == "":
        del config["description"]
    return config


def _system(ask: Ask, guest: Container) -> GuestOs:
    """Return what the archive and the setup leave inside: a root with keys and a password."""
    system = GuestOs(default_user="root", hostname=guest.name)
    keys = ask.text("ssh-public-keys").strip()
    if keys:
        system.folders.add("/root/.ssh")
        system.files[key_file("root")] = f"{keys}\n"
    if "password" in ask.params:
        system.passwords["root"] = ask.text("password")
    return system


def _start(state: State, ask: Ask, guest: Container) -> None:
    def work(task: Task) -> Script[None]:
        script = start_script(state, guest)
        yield from with_lock(state, container_lock(guest.vmid), script, task)

    start_task(state, ask, "vzstart", str(guest.vmid), work)


def fit_out(state: State, guest: Container, size: int) -> None:
    """Make `guest` as somebody would by hand: one network card and `size` bytes of disk."""
    state.add_guest(guest)
    storage = state.storages[state.settings.storage]
    root = new_volume(state, storage, guest.vmid, (size, container_format(storage, size)))
    guest.config = {
        "arch": "amd64",
        "hostname": f"guest-{guest.vmid}",
        "memory": 512,
        "net0": f"name=eth0,bridge=vmbr0,hwaddr={state.draws.mac()},type=veth",
        "ostype": "debian",
        "rootfs": line_of(root, []),
        "swap": 512,
        "unprivileged": 1,
    }

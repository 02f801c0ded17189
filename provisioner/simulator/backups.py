"""Backups: `vzdump` writes an archive of a guest onto a storage that keeps files.

A node does one job after the other; meanwhile the guest is locked (`backup`). A guest that is
missing, locked or finds no room fails alone: the job goes on and ends with `job errors`, and only
its log says why. A running guest stays up, unless the mode is `stop`.
"""

import datetime as dt
import re

from provisioner.backends.proxmox.api import JsonValue
from provisioner.simulator.access import Ask, require
from provisioner.simulator.guests import ConfigValue, Guest
from provisioner.simulator.params import FLAG, TEXT, Rule
from provisioner.simulator.power import switch_off, switch_on
from provisioner.simulator.state import Backup, State, Storage, StoredFile
from provisioner.simulator.task import Task
from provisioner.simulator.tasks import start_task, with_lock
from provisioner.simulator.timeline import Hold, Script, Sleep
from provisioner.simulator.volumes import check_room
from provisioner.simulator.wire import Refused, bad_parameters

PATIENCE = 180 * 60.0
PACKED = 3
PLACEHOLDERS = {"cluster", "guestname", "node", "vmid"}
SUFFIXES = {"0": "", "1": ".lzo", "gzip": ".gz", "lzo": ".lzo", "zstd": ".zst"}


def notes_template(text: str) -> str | None:
    """Say what is wrong with a template of notes: a placeholder that nobody fills in."""
    unknown = set(re.findall(r"\{\{([^}]*)\}\}", text)) - PLACEHOLDERS
    return f"unexpected/unknown variable(s) {', '.join(sorted(unknown))}" if unknown else None


RULES: dict[str, Rule] = {
    "vmid": TEXT,
    "storage": TEXT,
    "mode": Rule(words=("snapshot", "suspend", "stop")),
    "compress": Rule(words=tuple(SUFFIXES)),
    "remove": FLAG,
    "protected": FLAG,
    "notes-template": Rule(longest=1024, check=notes_template),
}


def vzdump(state: State, ask: Ask) -> JsonValue:
    """POST nodes/{node}/vzdump. Returns the UPID of the job."""
    vmids = [word for word in ask.text("vmid").replace(",", " ").split() if word]
    if not vmids or not all(word.isdigit() for word in vmids):
        raise bad_parameters(vmid="property is missing and it is not optional")
    name = ask.text("storage", state.settings.storage)
    require(state, ask.token, f"/storage/{name}", "Datastore.AllocateSpace")
    for vmid in vmids:
        require(state, ask.token, f"/vms/{vmid}", "VM.Backup")

    def work(task: Task) -> Script[None]:
        refusal = "can't acquire lock '/var/run/vzdump.lock' - got timeout"
        job = _job(state, ask, task, [int(vmid) for vmid in vmids])
        yield from with_lock(state, Hold(f"vzdump-{ask.node}", refusal, PATIENCE), job)

    return start_task(state, ask, "vzdump", vmids[0] if len(vmids) == 1 else "", work)


def _job(state: State, ask: Ask, task: Task, vmids: list[int]) -> Script[None]:
    storage = _target(state, ask)
    told = "".join(f" --{key} {value}" for key, value in ask.params.items() if key != "vmid")
    numbers = " ".join(map(str, vmids))
    task.log.append(f"INFO: starting new backup job: vzdump {numbers}{told} --node {ask.node}")
    failed = 0
    for vmid in vmids:
        try:
            yield from _one(state, ask, task, storage, vmid)
        except Refused as refusal:
            task.log.append(f"ERROR: Backup of VM {vmid} failed - {refusal.reason}")
            if refusal.reason == "received interrupt":
                raise
            failed += 1
    if failed:
        task.log.append("INFO: Backup job finished with errors")
        raise Refused("job errors")
    task.log.append("INFO: Backup job finished successfully")


def _target(state: State, ask: Ask) -> Storage:
    name = ask.text("storage", state.settings.storage)
    storage = state.storages.get(name)
    if storage is None:
        missing = f"storage '{name}' does not exist"
        activate = f"could not activate storage '{name}': {missing}"
        raise Refused(f"{activate} could not get storage information for '{name}': {missing}")
    trouble = storage.trouble()
    if not storage.on(ask.node):
        trouble = f"storage '{name}' is not available on node '{ask.node}'"
    if trouble is not None:
        raise Refused(f"could not activate storage '{name}': {trouble}")
    if not storage.keeps_files:
        wrong = f"can't use storage '{name}' for backups - wrong content type"
        raise Refused(f"could not get storage information for '{name}': {wrong}")
    return storage


def _one(state: State, ask: Ask, task: Task, storage: Storage, vmid: int) -> Script[None]:
    guest = state.guests.get(vmid)
    if guest is None or guest.node != ask.node:
        raise Refused(f"unable to find VM '{vmid}'")
    if guest.lock is not None:
        word = "CT" if guest.kind == "lxc" else "VM"
        raise Refused(f"{word} is locked ({guest.lock})")
    task.log.append(f"INFO: Starting Backup of VM {vmid} ({guest.kind})")
    task.log.append(f"INFO: status = {guest.power.value}")
    file = _archive(state, ask, storage, guest)
    state.changing(guest).config["lock"] = "backup"
    again = guest.running and ask.text("mode") == "stop"
    if again:
        switch_off(state, guest)
    try:
        yield Sleep(file.size * PACKED / state.settings.durations.backup_rate)
        check_room(state, storage, ask.node, file.size)
        task.log.append(f"INFO: creating vzdump archive '{file.volid}'")
        state.files[file.volid] = file
    except Refused:
        _unlock(state, guest, again=again)
        raise
    _unlock(state, guest, again=again)
    task.log.append(f"INFO: Finished Backup of VM {vmid}")


def _unlock(state: State, guest: Guest, *, again: bool) -> None:
    state.changing(guest).config.pop("lock", None)
    if again:
        switch_on(state, guest)


def _archive(state: State, ask: Ask, storage: Storage, guest: Guest) -> StoredFile:
    now = int(state.timeline.now)
    at = dt.datetime.fromtimestamp(now, dt.UTC).strftime("%Y_%m_%d-%H_%M_%S")
    form = ("tar" if guest.kind == "lxc" else "vma") + SUFFIXES[ask.text("compress", "0")]
    volid = f"{storage.name}:backup/vzdump-{guest.kind}-{guest.vmid}-{at}.{form}"
    config: dict[str, ConfigValue] = {
        key: value for key, value in guest.config.items() if key not in {"lock", "parent"}
    }
    volumes = {key: state.volumes.get(line.split(",")[0]) for key, line in guest.disks().items()}
    disks = {key: volume.size for key, volume in volumes.items() if volume is not None}
    firewall = state.firewalls.get(guest.vmid)
    kept = None if firewall is None else firewall.copy()
    backup = Backup(guest.kind, config, disks, guest.os.copy(), kept)
    size = sum(volume.written for volume in volumes.values() if volume is not None) // PACKED
    nodes = () if storage.shared else (ask.node,)
    return StoredFile(
        *(volid, "backup", form, size, now, guest.vmid, nodes, backup),
        notes=ask.text("notes-template"),
        protected=ask.flag("protected"),
        made_by=ask.token.id,
    )

"""Reading and changing a guest's configuration.

Both `PUT` and `POST` wait for the config file lock inside the request (10 s, then a 500), check
digest and config lock under it, and only then write; `POST` does the writing in a task. What a
running machine cannot take over at once becomes pending and is applied when it stops. Values are
stored as Proxmox stores them: sorted tags, a MAC for every net, a description without its trailing
white space, a hidden password.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from urllib.parse import unquote

from provisioner.backends.proxmox.api import JsonValue
from provisioner.simulator.access import Ask, require
from provisioner.simulator.configrules import CONFIG_RULES, needs
from provisioner.simulator.guests import DISK_KEYS, ConfigValue, Guest, format_size, size_of
from provisioner.simulator.state import State
from provisioner.simulator.task import Task
from provisioner.simulator.tasks import lock_of, start_task, with_lock
from provisioner.simulator.timeline import Script
from provisioner.simulator.wire import Refused, bad_parameters

HIDDEN = "**********"
ROOT_ONLY = ("args", "hookscript", "lock", "vmgenid")
APPLIED_AT_STOP = re.compile(
    r"(acpi|agent|bios|boot|cores|cpu|kvm|machine|memory|numa|ostype|scsihw|smbios1|sockets|vga"
    r"|serial\d+)$"
)


def read_config(state: State, ask: Ask) -> JsonValue:
    """GET config: pending changes included, unless `current=1`."""
    guest = state.guest(ask.node, ask.vmid)
    shown: dict[str, JsonValue] = {**guest.shown(current=ask.flag("current"))}
    if "cipassword" in shown:
        shown["cipassword"] = HIDDEN
    shown["digest"] = guest.digest()
    return shown


def read_pending(state: State, ask: Ask) -> JsonValue:
    """GET pending: each key with its value, what it becomes, or that it goes."""
    guest = state.guest(ask.node, ask.vmid)
    return pending_rows(guest.config | {"digest": guest.digest()}, guest.pending)


def pending_rows(
    config: Mapping[str, ConfigValue], pending: Mapping[str, ConfigValue | None]
) -> JsonValue:
    """Return a configuration and what waits, as rows."""
    rows: list[JsonValue] = []
    for key in dict.fromkeys([*config, *pending]):
        row: dict[str, JsonValue] = {"key": key}
        if key in config:
            row["value"] = HIDDEN if key == "cipassword" else config[key]
        if key in pending:
            value = pending[key]
            row |= {"delete": 1} if value is None else {"pending": value}
        rows.append(row)
    return rows


def unlink(state: State, ask: Ask) -> Script[JsonValue]:
    """PUT unlink: take drives out; with `force` their volumes go too."""
    keys = [key for key in re.split(r"[,;\s]+", ask.text("idlist")) if key]

    def body() -> Script[None]:
        guest = _checked(state, ask)
        state.changing(guest)
        for key in keys:
            line = str(guest.config.get(key, ""))
            _delete(state, guest, key)
            if ask.flag("force"):
                volid = line.split(",", maxsplit=1)[0]
                state.volumes.pop(volid, None)
                for unused in [k for k, v in guest.config.items() if v == volid]:
                    del guest.config[unused]
        yield from ()

    yield from with_lock(state, lock_of(ask.vmid), body())
    return None


def put_config(state: State, ask: Ask) -> Script[JsonValue]:
    """PUT config: the change is made when the answer comes."""
    sets, deletes = _wanted(state, ask)
    yield from with_lock(state, lock_of(ask.vmid), _change(state, ask, sets, deletes))
    return None


def post_config(state: State, ask: Ask) -> Script[JsonValue]:
    """POST config: checked under the lock, then written by a task."""
    sets, deletes = _wanted(state, ask)
    hold = lock_of(ask.vmid)
    yield hold
    try:
        guest = _checked(state, ask)

        def work(task: Task) -> Script[None]:
            task.log.append(f"update VM {ask.vmid}:" + "".join(_told(sets, deletes)))
            _write(state, guest, sets, deletes)
            yield from ()

        upid = start_task(state, ask, "qmconfig", str(ask.vmid), work)
        done = state.tasks[upid].status == "OK"
        return None if done and "background_delay" in ask.params else upid
    finally:
        state.timeline.locks.release(hold)


def _told(sets: dict[str, ConfigValue], deletes: list[str]) -> list[str]:
    shown = {key: "<hidden>" if key == "cipassword" else value for key, value in sets.items()}
    told = [f" -{key} {value}" for key, value in sorted(shown.items())]
    return told + ([f" -delete {','.join(deletes)}"] if deletes else [])


def _wanted(state: State, ask: Ask) -> tuple[dict[str, ConfigValue], list[str]]:
    """Return what to set and what to delete, or refuse what can be refused without looking."""
    if "skiplock" in ask.params:
        raise bad_parameters(skiplock="Only root may use this option.")
    sets = {
        key: value
        for key, value in ask.params.items()
        if key in CONFIG_RULES and not isinstance(value, tuple)
    }
    deletes = [key for key in re.split(r"[,;\s]+", ask.text("delete")) if key]
    if not sets and not deletes and "revert" not in ask.params:
        raise Refused("no options specified")
    _refuse_bad_deletes(sets, deletes)
    if "sshkeys" in sets:
        check_keys(unquote(str(sets["sshkeys"])))
    for key in (*sets, *deletes):
        if key in ROOT_ONLY:
            raise Refused(f"only root can set '{key}' config")
        if key.startswith("hostpci") and "mapping=" not in str(sets.get(key, "")):
            raise Refused(f"only root can set '{key}' config for non-mapped devices")
        for path, privileges in needs(f"/vms/{ask.vmid}", key, str(sets.get(key, ""))):
            require(state, ask.token, path, privileges)
    return sets, deletes


def _refuse_bad_deletes(sets: dict[str, ConfigValue], deletes: list[str]) -> None:
    for key in deletes:
        if key not in CONFIG_RULES:
            raise bad_parameters(delete=f"unknown option '{key}'")
        if key in sets:
            text = f"you can't use '-{key}' and -delete {key}' at the same time"
            raise bad_parameters(delete=text)


def check_keys(text: str) -> None:
    """Refuse unless every line of `text` is a public SSH key."""
    for line in text.splitlines():
        if line.strip() and not _is_key(line):
            raise Refused("SSH public key validation error")


def _is_key(line: str) -> bool:
    words = line.split()
    if len(words) < 2:
        return False
    try:
        blob = base64.b64decode(words[1], validate=True)
    except ValueError:
        return False
    length = int.from_bytes(blob[:4], "big")
    return blob[4 : 4 + length] == words[0].encode()


def _checked(state: State, ask: Ask) -> Guest:
    guest = state.guest(ask.node, ask.vmid)
    digest = ask.text("digest")
    if digest and digest != guest.digest():
        raise Refused("checksum mismatch (file change by other user?)")
    if guest.lock is not None:
        raise Refused(f"VM is locked ({guest.lock})")
    return guest


def _change(
    state: State, ask: Ask, sets: dict[str, ConfigValue], deletes: list[str]
) -> Script[None]:
    guest = _checked(state, ask)
    for key in re.split(r"[,;\s]+", ask.text("revert")):
        guest.pending.pop(key, None)
    _write(state, guest, sets, deletes)
    yield from ()


def _write(state: State, guest: Guest, sets: dict[str, ConfigValue], deletes: list[str]) -> None:
    stored = {key: _stored(state, guest, key, value) for key, value in sets.items()}
    state.changing(guest)
    for key in deletes:
        _delete(state, guest, key)
    for key, value in stored.items():
        if value is None:
            continue
        if key == "description" and value == "":
            guest.config.pop(key, None)
        elif guest.running and APPLIED_AT_STOP.match(key) and guest.config.get(key) != value:
            guest.pending[key] = value
        else:
            guest.pending.pop(key, None)
            guest.config[key] = value


def _delete(state: State, guest: Guest, key: str) -> None:
    if guest.running and APPLIED_AT_STOP.match(key) and key in guest.config:
        guest.pending[key] = None
        return
    line = str(guest.config.get(key, ""))
    if DISK_KEYS.match(key) and guest.config.get("protection"):
        raise Refused(f"can't remove drive '{key}' - protection mode enabled")
    guest.config.pop(key, None)
    if key.startswith("unused"):
        state.volumes.pop(line, None)
    elif DISK_KEYS.match(key) and ":" in line and "media=cdrom" not in line:
        number = next(n for n in range(256) if f"unused{n}" not in guest.config)
        guest.config[f"unused{number}"] = line.split(",", maxsplit=1)[0]


def apply_pending(state: State, guest: Guest) -> None:
    """Take over what was waiting for the machine to stop."""
    state.changing(guest)
    for key, value in guest.pending.items():
        if value is None:
            guest.config.pop(key, None)
        else:
            guest.config[key] = value
    guest.pending.clear()


def _stored(state: State, guest: Guest, key: str, value: ConfigValue) -> ConfigValue | None:
    """Return `value` as Proxmox stores it; None leaves the key as it is."""
    text = str(value)
    if key == "description":
        return text.rstrip()
    if key == "sshkeys" and not text:
        return None
    if key == "tags":
        return normal_tags(text)
    if key == "cipassword":
        return f"$5${hashlib.sha256(text.encode()).hexdigest()[:43]}"
    if re.match(r"net\d+$", key):
        return normal_net(state, text)
    if DISK_KEYS.match(key):
        return _disk(state, guest, key, text)
    return value if text else " "


def normal_tags(text: str) -> str:
    """Return tags as they are stored: in small letters, each once, sorted."""
    return ";".join(sorted({t.lower() for t in re.split(r"[,;\s]+", text) if t})) or " "


def normal_net(state: State, text: str) -> str:
    """Return a net line in Proxmox's order, with a MAC address if it had none."""
    first, *rest = text.split(",")
    model, _, mac = first.partition("=")
    pairs = dict(part.partition("=")[::2] for part in rest if part)
    mac = pairs.pop("macaddr", "") or mac or state.draws.mac()
    return ",".join([f"{model}={mac.upper()}", *(f"{k}={v}" for k, v in sorted(pairs.items()))])


def _disk(state: State, guest: Guest, key: str, text: str) -> str:
    """Return a drive line: a volume keeps its size whatever the caller says."""
    volid, *options = text.split(",")
    storage = volid.split(":")[0]
    if volid not in {"none", "cdrom"} and storage not in state.storages:
        raise Refused(f"storage '{storage}' does not exist")
    kept = sorted(option for option in options if not option.startswith("size="))
    old = str(guest.config.get(key, ""))
    if old.split(",", maxsplit=1)[0] == volid and size_of(old):
        kept.append(f"size={format_size(size_of(old))}")
    return ",".join([volid, *kept])

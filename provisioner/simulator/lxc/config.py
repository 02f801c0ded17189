"""Reading and changing a container's configuration.

There is only `PUT`, which is done when it answers. Most keys change under a running container; the
rest is pending until it stops. A description comes back with a newline that nobody wrote, a digest
that is out of date is refused with other words than a virtual machine's, and a locked container is
refused at once.
"""

import re
from collections.abc import Mapping

from provisioner.backends.proxmox.api import JsonValue
from provisioner.simulator.access import Ask, allows, require
from provisioner.simulator.config import normal_tags
from provisioner.simulator.guests import MIB, ConfigValue
from provisioner.simulator.lxc.container import MOUNTS, Container
from provisioner.simulator.lxc.mounts import mount_line
from provisioner.simulator.lxc.rules import CONFIG_RULES, privilege_for, refuse_what_is_roots
from provisioner.simulator.state import State
from provisioner.simulator.tasks import container_lock, with_lock
from provisioner.simulator.timeline import Script
from provisioner.simulator.wire import Refused, Value, bad_parameters

MODIFIED = "detected modified configuration - file changed by other user? Try again."
READ_ONLY = ("unprivileged",)
REQUIRED = ("rootfs", "memory")
APPLIED_AT_ONCE = re.compile(
    r"(memory|swap|net\d+|mp\d+|rootfs|unused\d+|cores|cpulimit|cpuunits|description|onboot"
    r"|startup|protection|hostname|tags)$"
)


def list_containers(state: State, ask: Ask) -> JsonValue:
    """GET nodes/{node}/lxc: current, unlike cluster/resources."""
    return [
        status_row(state, guest)
        for guest in state.guests.values()
        if isinstance(guest, Container)
        and guest.node == ask.node
        and allows(state, ask.token, f"/vms/{guest.vmid}", "VM.Audit")
    ]


def read_config(state: State, ask: Ask) -> JsonValue:
    """GET config: pending changes included, unless `current=1`."""
    guest = state.container(ask.node, ask.vmid)
    shown: dict[str, JsonValue] = {**guest.shown(current=ask.flag("current"))}
    return shown | {"digest": guest.digest()}


def read_pending(state: State, ask: Ask) -> JsonValue:
    """GET pending: each key with its value and, if it waits for a stop, what becomes of it."""
    guest = state.container(ask.node, ask.vmid)
    rows: list[JsonValue] = []
    for key in [*guest.config, *(key for key in guest.pending if key not in guest.config)]:
        row: dict[str, JsonValue] = {"key": key}
        if key in guest.config:
            row["value"] = guest.config[key]
        if key in guest.pending:
            wanted = guest.pending[key]
            row |= {"delete": 1} if wanted is None else {"pending": wanted}
        rows.append(row)
    return [*rows, {"key": "digest", "value": guest.digest()}]


def put_config(state: State, ask: Ask) -> Script[JsonValue]:
    """PUT config: the change is made when the answer comes."""
    sets = {
        key: value
        for key, value in ask.params.items()
        if key in CONFIG_RULES and not isinstance(value, tuple)
    }
    deletes = [key for key in re.split(r"[,;\s]+", ask.text("delete")) if key]
    if not sets and not deletes and "revert" not in ask.params:
        raise Refused("no options specified")
    _refuse_bad_deletes(sets, deletes)
    for key in (*sets, *deletes):
        require(state, ask.token, f"/vms/{ask.vmid}", privilege_for(key))
    guest = state.container(ask.node, ask.vmid)
    refuse_what_is_roots(sets, unprivileged=guest.unprivileged)
    yield from with_lock(state, container_lock(ask.vmid), _change(state, ask, sets, deletes))
    return None


def _refuse_bad_deletes(sets: Mapping[str, Value], deletes: list[str]) -> None:
    for key in deletes:
        if key not in CONFIG_RULES:
            raise bad_parameters(delete=f"unknown option '{key}'")
        if key in sets:
            text = f"you can't use '-{key}' and -delete {key}' at the same time"
            raise bad_parameters(delete=text)


def _change(
    state: State, ask: Ask, sets: dict[str, ConfigValue], deletes: list[str]
) -> Script[None]:
    guest = state.container(ask.node, ask.vmid)
    refuse_locked(guest)
    if "digest" in ask.params and ask.text("digest") != guest.digest():
        raise Refused(MODIFIED)
    for key in (*sets, *deletes):
        if key in READ_ONLY:
            verb = "delete" if key in deletes else "modify"
            raise Refused(f"unable to {verb} read-only option: '{key}'")
    for key in deletes:
        if key in REQUIRED:
            raise Refused(f"unable to delete required option '{key}'")
    state.changing(guest)
    for key in re.split(r"[,;\s]+", ask.text("revert")):
        guest.pending.pop(key, None)
    for key in deletes:
        _delete(guest, key)
    for key, value in sets.items():
        _set(state, guest, key, value)
    yield from ()


def refuse_locked(guest: Container) -> None:
    """Refuse what no lock allows."""
    if guest.lock is not None:
        raise Refused(f"CT is locked ({guest.lock})")


def _set(state: State, guest: Container, key: str, value: ConfigValue) -> None:
    stored = stored_value(state, guest.vmid, key, value, str(guest.config.get(key, "")))
    if key == "description" and stored == "":
        guest.config.pop(key, None)
    elif guest.running and not APPLIED_AT_ONCE.match(key) and guest.config.get(key) != stored:
        guest.pending[key] = stored
    else:
        guest.pending.pop(key, None)
        guest.config[key] = stored


def _delete(guest: Container, key: str) -> None:
    if guest.running and not APPLIED_AT_ONCE.match(key):
        if key in guest.config:
            guest.pending[key] = None
        return
    line = guest.config.pop(key, None)
    if MOUNTS.match(key) and line is not None:
        number = next(n for n in range(256) if f"unused{n}" not in guest.config)
        guest.config[f"unused{number}"] = str(line).split(",", maxsplit=1)[0]


def stored_value(
    state: State, vmid: int, key: str, value: ConfigValue, old: str = ""
) -> ConfigValue:
    """Return `value` as Proxmox stores it."""
    text = str(value)
    if key == "description":
        return f"{text.rstrip(chr(10))}\n" if text.strip() else ""
    if key == "tags":
        return normal_tags(text)
    if re.match(r"net\d+$", key):
        return normal_net(state, text)
    if MOUNTS.match(key):
        return mount_line(state, vmid, text, old)
    return value


def normal_net(state: State, text: str) -> str:
    """Return a net line in Proxmox's order, with a MAC address if it had none."""
    pairs = dict(part.partition("=")[::2] for part in text.split(",") if part)
    name = pairs.pop("name")
    pairs["hwaddr"] = (pairs.get("hwaddr") or state.draws.mac()).upper()
    pairs["type"] = "veth"
    return ",".join([f"name={name}", *(f"{key}={pairs[key]}" for key in sorted(pairs))])


def status_row(state: State, guest: Container) -> dict[str, JsonValue]:
    """Return a container as the node's own list shows it."""
    row: dict[str, JsonValue] = {
        "vmid": guest.vmid,
        "type": "lxc",
        "status": "running" if guest.running else "stopped",
        "name": guest.name,
        "cpus": guest.cores,
        "maxmem": guest.memory,
        "mem": 6 * MIB if guest.running else 0,
        "maxswap": guest.swap,
        "maxdisk": guest.boot_disk_size(),
        "disk": guest.boot_disk_size() // 4 if guest.running else 0,
        "uptime": int(state.timeline.now - guest.started_at) if guest.running else 0,
    }
    row |= dict.fromkeys(("cpu", "netin", "netout", "diskread", "diskwrite", "swap"), 0)
    row |= {key: guest.config[key] for key in ("lock", "tags") if key in guest.config}
    if guest.template:
        row["template"] = 1
    if guest.running:
        row["pid"] = 10_000 + guest.vmid
    return row

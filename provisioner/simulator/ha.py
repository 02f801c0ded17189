"""Guests that the HA manager keeps: who asks for their power asks the manager.

A start or a stop of such a guest is a task (`hastart`, `hastop`) that ends as soon as the wish is
noted; the guest follows at the manager's next round, as a task of root@pam. A destroy without
`purge` is refused, one with it takes the guest out of HA too. The manager only acts on a wish that
changed: what a guest does by itself is not simulated.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from provisioner.backends.proxmox.api import JsonValue
from provisioner.simulator.access import Ask
from provisioner.simulator.endpoint import Route, Rules
from provisioner.simulator.guests import Guest
from provisioner.simulator.params import COUNT, TEXT, Rule
from provisioner.simulator.state import HaResource, State
from provisioner.simulator.task import Task
from provisioner.simulator.tasks import start_system_task, start_task
from provisioner.simulator.timeline import Script
from provisioner.simulator.wire import Refused

ROUND: Final = 10.0
WORDS: Final = {"vm": "qemu", "ct": "lxc"}
STATES: Final = ("started", "stopped", "enabled", "disabled", "ignored")
SETTINGS: Rules = {
    "state": Rule(words=STATES),
    "group": TEXT,
    "comment": TEXT,
    "max_restart": COUNT,
    "max_relocate": COUNT,
}
CREATE: Rules = SETTINGS | {"sid": Rule(required=True), "type": Rule(words=tuple(WORDS))}


@dataclass(frozen=True, slots=True)
class Follow:
    """What the manager has a node do: the kind of the task, and its work."""

    kind: str
    work: Callable[[Task], Script[None]]


def managed(state: State, vmid: int) -> bool:
    """Say whether the HA manager keeps a guest."""
    resource = state.ha.get(vmid)
    return resource is not None and resource.state != "ignored"


def wish(state: State, ask: Ask, guest: Guest, wanted: str, follow: Follow) -> JsonValue:
    """Note that a guest should be started or stopped. Returns the UPID of a task that ends at once.

    `follow` is the work that the manager then has done.
    """
    word, verb = ("CT" if guest.kind == "lxc" else "VM"), ("start", "stop")[wanted == "stopped"]

    def work(task: Task) -> Script[None]:
        task.log.append(f"Requesting HA {verb} for {word} {guest.vmid}")
        resource = state.ha.get(guest.vmid)
        if resource is None:
            raise Refused(f"no such resource '{ask.vmid}'")
        resource.state = wanted
        state.timeline.after(ROUND, partial(_act, state, guest, wanted, follow))
        yield from ()

    return start_task(state, ask, f"ha{verb}", str(guest.vmid), work)


def _act(state: State, guest: Guest, wanted: str, follow: Follow) -> None:
    resource = state.ha.get(guest.vmid)
    there = state.guests.get(guest.vmid) is guest and state.nodes[guest.node].online
    if resource is None or resource.state != wanted or not there:
        return
    if guest.running != (wanted == "started"):
        start_system_task(state, guest.node, follow.kind, str(guest.vmid), follow.work)


def refuse_without_purge(state: State, ask: Ask, word: str) -> None:
    """Refuse to destroy a guest that HA knows, unless it is purged from there."""
    if ask.vmid in state.ha and not ask.flag("purge"):
        text = f"unable to remove {word} {ask.vmid} - used in HA resources"
        raise Refused(f"{text} and purge parameter not set.")


def status(state: State, vmid: int) -> dict[str, JsonValue]:
    """Return what `status/current` says of a guest and HA."""
    resource = state.ha.get(vmid)
    if resource is None:
        return {"managed": 0}
    return {"managed": 1, "state": resource.state}


def current_status(state: State, _: Ask) -> JsonValue:
    """GET cluster/ha/status/current: the quorum, and every resource that is managed."""
    online = next(node.name for node in state.nodes.values() if node.online)
    rows: list[JsonValue] = [
        {
            "id": "quorum",
            "type": "quorum",
            "node": online,
            "status": "OK" if state.has_quorum else "No quorum!",
            "quorate": int(state.has_quorum),
        }
    ]
    for vmid, resource in state.ha.items():
        row: dict[str, JsonValue] = {"id": f"service:{resource.sid}", "type": "service"}
        where = state.guests[vmid].node if vmid in state.guests else online
        rows.append({**row, "node": where, "sid": resource.sid, "state": resource.state})
    return rows


# ------------------------------------------------------------------------------------ the calls


def _sid(state: State, text: str) -> tuple[str, int]:
    found = re.fullmatch(r"(?:(vm|ct):)?(\d+)", text)
    if found is None:
        raise Refused(f"unable to parse service id '{text}'")
    guest = state.guests.get(int(found[2]))
    word = found[1] or ("ct" if guest is not None and guest.kind == "lxc" else "vm")
    return f"{word}:{found[2]}", int(found[2])


def _row(resource: HaResource) -> dict[str, JsonValue]:
    row: dict[str, JsonValue] = {
        "sid": resource.sid,
        "type": resource.sid.partition(":")[0],
        "state": resource.state,
        "max_restart": resource.max_restart,
        "max_relocate": resource.max_relocate,
    }
    return row | {k: v for k, v in (("group", resource.group), ("comment", resource.comment)) if v}


def _known(state: State, ask: Ask) -> HaResource:
    sid, vmid = _sid(state, ask.names["sid"])
    resource = state.ha.get(vmid)
    if resource is None or resource.sid != sid:
        raise Refused(f"no such resource '{sid}'")
    return resource


def list_resources(state: State, ask: Ask) -> JsonValue:
    """GET cluster/ha/resources."""
    kind = ask.text("type")
    return [_row(each) for each in state.ha.values() if each.sid.startswith(kind)]


def read_resource(state: State, ask: Ask) -> JsonValue:
    """GET cluster/ha/resources/{sid}."""
    told = "".join(f"{sid}:{each.state}\n" for sid, each in sorted(state.ha.items()))
    digest = hashlib.sha1(told.encode(), usedforsecurity=False).hexdigest()
    return _row(_known(state, ask)) | {"digest": digest}


def add_resource(state: State, ask: Ask) -> JsonValue:
    """POST cluster/ha/resources."""
    sid, vmid = _sid(state, ask.text("sid"))
    if vmid in state.ha:
        raise Refused(f"resource ID '{sid}' already defined")
    guest = state.guests.get(vmid)
    if guest is None or WORDS[sid.partition(":")[0]] != guest.kind:
        raise Refused(f"cannot verify resource '{sid}': it does not exist in cluster")
    state.ha[vmid] = _changed(HaResource(sid), ask)
    return None


def change_resource(state: State, ask: Ask) -> JsonValue:
    """PUT cluster/ha/resources/{sid}."""
    _changed(_known(state, ask), ask)
    return None


def _changed(resource: HaResource, ask: Ask) -> HaResource:
    wanted = ask.text("state", resource.state)
    resource.state = "started" if wanted == "enabled" else wanted
    resource.group = ask.text("group", resource.group)
    resource.comment = ask.text("comment", resource.comment)
    resource.max_restart = ask.number("max_restart", resource.max_restart)
    resource.max_relocate = ask.number("max_relocate", resource.max_relocate)
    return resource


def remove_resource(state: State, ask: Ask) -> JsonValue:
    """DELETE cluster/ha/resources/{sid}: the guest stays as it is."""
    resource = _known(state, ask)
    del state.ha[int(resource.sid.partition(":")[2])]
    return None


RESOURCES: Final = "/cluster/ha/resources"
AUDIT, CHANGE = ("/", "Sys.Audit"), ("/", "Sys.Console")
HA_ROUTES: Final = (
    Route("GET", "/cluster/ha/status/current", current_status, {}, AUDIT),
    Route("GET", RESOURCES, list_resources, {"type": TEXT}, AUDIT, lists=True),
    Route("POST", RESOURCES, add_resource, CREATE, CHANGE),
    Route("GET", f"{RESOURCES}/{{sid}}", read_resource, {}, AUDIT),
    Route("PUT", f"{RESOURCES}/{{sid}}", change_resource, SETTINGS, CHANGE),
    Route("DELETE", f"{RESOURCES}/{{sid}}", remove_resource, {}, CHANGE),
)

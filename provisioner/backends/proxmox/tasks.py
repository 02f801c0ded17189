"""Where tasks stand: one call for one of them, and one call for all of a node's.

A task is a fact about an effect, never the effect itself: `unexpected status` and a forgotten task
prove nothing and come back as `UnknownOutcome`. Many tasks of a node are read from its task list,
which holds running and ended ones; what the list no longer shows is asked for singly.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Final

from provisioner.backends.proxmox.answers import Record, number, record, records, text
from provisioner.backends.proxmox.api import Api, ApiError, ParamValue
from provisioner.backends.proxmox.errors import sentence, task_meaning
from provisioner.errors import NodeDown, Transient, UnknownOutcome
from provisioner.ports import TaskRow, TaskState
from provisioner.taskwords import LONGEST_LIST, REPLACING, makes, over_before
from provisioner.upids import kind_of, node_of, started_at

#: A list is cut at 50 unless told otherwise.
LIMIT: Final = LONGEST_LIST
_LEFT: Final = re.compile(r"(?:WARN: )?Could not remove disk '([^']{1,200})', check manually")
_DESTROYING: Final = ("qmdestroy", "vzdestroy")


async def read_state(api: Api, upid: str) -> TaskState:
    """Ask where one task stands."""
    try:
        data = await api.call("GET", f"/nodes/{node_of(upid)}/tasks/{upid}/status")
    except ApiError as error:
        if "no such task" in sentence(error):
            return TaskState(False, UnknownOutcome(f"{upid}: the node has forgotten this task"))
        raise
    row = record(data, f"task {upid}")
    if text(row, "status") == "running":
        return TaskState(running=True)
    return TaskState(False, task_meaning(text(row, "exitstatus")))


async def read_states(api: Api, upids: Collection[str]) -> Mapping[str, TaskState]:
    """Ask where tasks of one node stand, by one list call when they are several.

    So it is of one that makes a guest: the list also tells what was destroyed meanwhile.
    """
    if len(upids) < 2 and not any(makes(kind_of(upid)) for upid in upids):
        return {upid: await read_state(api, upid) for upid in upids}
    rows = await read_rows(api, node_of(min(upids)), min(map(started_at, upids)))
    listed = {row.upid: _state(row, rows) for row in rows if row.upid in upids}
    return {upid: listed.get(upid) or await read_state(api, upid) for upid in upids}


async def read_rows(
    api: Api, node: str, since: int, kind: str | None = None, vmid: int | None = None
) -> Sequence[TaskRow]:
    """List a node's running and ended tasks since `since` (wall seconds), newest first."""
    wanted: dict[str, ParamValue] = {"source": "all", "since": since, "limit": LIMIT}
    if kind is not None:
        wanted["typefilter"] = kind
    if vmid is not None:
        wanted["vmid"] = vmid
    data = await api.call("GET", f"/nodes/{node}/tasks", wanted)
    rows = [_row(row) for row in records(data, f"tasks of {node}")]
    return sorted(rows, key=lambda row: row.started, reverse=True)


async def read_clock(api: Api, node: str) -> int:
    """Ask what time it is by the clock that dates a node's tasks (wall seconds)."""
    path = f"/nodes/{node}/time"
    now = number(record(await api.call("GET", path), path), "time")
    if not now:
        raise Transient(f"node {node} does not say what time it is")
    return now


async def read_left(api: Api, upid: str) -> Sequence[str]:
    """Return the volumes that a task said it could not remove; it says so in its log alone."""
    path = f"/nodes/{node_of(upid)}/tasks/{upid}/log"
    data = await api.call("GET", path, {"limit": LIMIT})
    lines = [text(row, "t") for row in records(data, path)] if isinstance(data, list) else []
    return [found[1] for line in lines if (found := _LEFT.match(line))]


async def read_freed(api: Api, since: int) -> Mapping[int, int]:
    """Return the VMIDs of all tasks since `since` that destroy a guest, ended or not.

    With each comes when the last of them began, by its node's clock (wall seconds).

    A node that does not answer tells of none, like one that is offline.
    """
    nodes = records(await api.call("GET", "/nodes"), "nodes")
    online = [text(row, "node") for row in nodes if text(row, "status") == "online"]
    found: dict[int, int] = {}
    for node in online:
        with suppress(NodeDown):
            for kind in _DESTROYING:
                for row in await read_rows(api, node, since, kind):
                    if row.vmid is not None:
                        found[row.vmid] = max(row.started, found.get(row.vmid, 0))
    return found


def _state(row: TaskRow, rows: Sequence[TaskRow]) -> TaskState:
    if row.status is None:
        return TaskState(running=True)
    return TaskState(False, task_meaning(row.status), _freed_since(row, rows))


def _freed_since(made: TaskRow, rows: Sequence[TaskRow]) -> frozenset[int] | None:
    """Return the VMIDs at which something may have been replaced since a task that makes began."""
    if not makes(made.kind) or len(rows) >= LIMIT:
        return None
    others = (row for row in rows if row.kind in REPLACING and row.upid != made.upid)
    return frozenset(
        row.vmid for row in others if row.vmid is not None and not over_before(row, made)
    )


def _row(row: Record) -> TaskRow:
    ended = number(row, "endtime") or None
    ident = text(row, "id")
    return TaskRow(
        upid=text(row, "upid"),
        kind=text(row, "type"),
        vmid=int(ident) if ident.isdecimal() else None,
        user=_user(row),
        started=number(row, "starttime"),
        ended=ended,
        status=text(row, "status") if ended else None,
    )


def _user(row: Record) -> str:
    """Return the identity that began a task; a token shows as `user!token` while it runs only."""
    user, token = text(row, "user"), text(row, "tokenid")
    return f"{user}!{token}" if token and "!" not in user else user

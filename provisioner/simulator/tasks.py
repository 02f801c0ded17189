"""Tasks: what a worker does after its request was answered, and how that is told afterwards.

A task's exit status is `OK`, `WARNINGS: n`, or the text of what went wrong; only that text tells a
success from a failure. A running task is in the active list under its token's name, a finished one
in the archive under its user's. A clone's task carries the VMID of its *source*.
"""

from collections.abc import Callable
from functools import partial
from itertools import takewhile

from provisioner.backends.proxmox.api import JsonValue
from provisioner.simulator.access import Ask, allows, require
from provisioner.simulator.faults import Fault, FaultName
from provisioner.simulator.sabotage import CUT_OFF_AFTER, UNEXPECTED, sabotaged
from provisioner.simulator.state import State
from provisioner.simulator.task import Task
from provisioner.simulator.timeline import Hold, Script, Sleep
from provisioner.simulator.wire import Listing, Refused, bad_parameters

RECENT = 25
#: By how many seconds a clock may be set back, so that tasks are not dated in their order.
CLOCK_SET = 3600
INTERRUPTED = "interrupted by signal"


def start_task(
    state: State, ask: Ask, kind: str, target: str, work: Callable[[Task], Script[None]]
) -> str:
    """Start `work` as a task and return its UPID."""
    task = _new_task(state, ask.node, kind, target, ask.token.id)
    run_task(state, task, work(task), ask.fault)
    return task.upid


def start_system_task(
    state: State, node: str, kind: str, target: str, work: Callable[[Task], Script[None]]
) -> Task:
    """Start `work` as a task of the node itself (user root@pam)."""
    task = _new_task(state, node, kind, target, "root@pam")
    run_task(state, task, work(task), None)
    return task


def _new_task(state: State, node_name: str, kind: str, target: str, token: str) -> Task:
    node = state.nodes[node_name]
    node.next_pid += 7
    now = state.clock(node_name)
    pstart = int((state.timeline.now - node.up_since) * 100)
    upid = f"UPID:{node.name}:{node.next_pid:08X}:{pstart:08X}:{now:08X}:{kind}:{target}:"
    upid += f"{token}:"
    task = Task(upid, node.name, node.next_pid, pstart, now, kind, target, token)
    state.tasks[upid] = task
    return task


def run_task(state: State, task: Task, script: Script[None], fault: Fault | None) -> None:
    """Run `script` as `task`, spoiled by `fault` if that is one for tasks."""

    def ended(_: None, refusal: Refused | None) -> None:
        if task.status is not None:  # its node went down under it
            return
        task.ended = state.clock(task.node)
        if refusal is not None:
            task.status = refusal.reason
            task.log.append(f"TASK ERROR: {refusal.reason}")
        else:
            warned = task.warnings + (fault is not None and fault.name is FaultName.TASK_WARNS)
            task.status = f"WARNINGS: {warned}" if warned else "OK"
            task.log.append(f"TASK {task.status}")
        if fault is not None:
            _aftermath(state, task, fault)

    task.process = state.timeline.spawn(sabotaged(script, fault), ended)
    if fault is not None and fault.name is FaultName.TASK_KILLED:
        state.timeline.after(CUT_OFF_AFTER, partial(cut_off, state, task))


def _aftermath(state: State, task: Task, fault: Fault) -> None:
    if fault.name is FaultName.TASK_FORGOTTEN:
        state.timeline.after(0.0, partial(state.tasks.__delitem__, task.upid))
    if fault.then is not None and fault.struck is not None:
        state.timeline.after(0.0, partial(fault.then, fault.struck))


def cut_off(state: State, task: Task) -> None:
    """Kill a worker: nothing is cleaned up but its file locks."""
    if task.status is None and task.process is not None:
        task.status = UNEXPECTED
        task.ended = state.clock(task.node)
        task.process.abandon()


def lock_of(vmid: int, *, shared: bool = False, patience: float = 10.0, prefix: str = "") -> Hold:
    """Return a hold on the config file lock of the virtual machine `vmid`."""
    file = f"/var/lock/qemu-server/lock-{vmid}.conf"
    refusal = f"{prefix}can't lock file '{file}' - got timeout"
    return Hold(f"config-{vmid}", refusal, patience, shared)


def container_lock(vmid: int) -> Hold:
    """Return a hold on the config file lock of the container `vmid`."""
    refusal = f"can't lock file '/run/lock/lxc/pve-config-{vmid}.lock' - got timeout"
    return Hold(f"config-{vmid}", refusal)


def with_lock(
    state: State, hold: Hold, body: Script[None], task: Task | None = None
) -> Script[None]:
    """Run `body` under `hold`; a task that has to wait says so in its log."""
    waits = not state.timeline.locks.free(hold.name, shared=hold.shared)
    if waits and task is not None:
        task.log.append("trying to acquire lock...")
    yield hold
    if waits and task is not None:
        task.log.append(" OK")
    try:
        yield from body
    finally:
        state.timeline.locks.release(hold)


def _find(state: State, ask: Ask) -> Task:
    upid = ask.names["upid"]
    if upid.count(":") != 8 or not upid.startswith("UPID:"):
        raise bad_parameters(upid="unable to parse worker upid")
    task = state.tasks.get(upid)
    if task is None or task.node != ask.node:
        raise bad_parameters(upid="no such task")
    return task


def task_status(state: State, ask: Ask) -> JsonValue:
    """GET tasks/{upid}/status."""
    task = _find(state, ask)
    if task.user != ask.token.id.split("!")[0]:
        require(state, ask.token, f"/nodes/{ask.node}", "Sys.Audit")
    row: dict[str, JsonValue] = {
        "upid": task.upid,
        "node": task.node,
        "pid": task.pid,
        "pstart": task.pstart,
        "starttime": task.started,
        "type": task.kind,
        "id": task.id,
        "user": task.user,
        "status": "running" if task.status is None else "stopped",
    }
    if task.status is not None:
        row["exitstatus"] = task.status
    return row | _tokenid(task)


def _tokenid(task: Task) -> dict[str, JsonValue]:
    _, _, name = task.token.partition("!")
    return {"tokenid": name} if name else {}


def task_log(state: State, ask: Ask) -> "JsonValue | Listing":
    """GET tasks/{upid}/log: of a task that nobody knows, a single line that is no list."""
    task = state.tasks.get(ask.names["upid"])
    if task is None:
        return Listing({"n": 1, "t": "unable to open file - No such file or directory"}, 1)
    if task.user != ask.token.id.split("!")[0]:
        require(state, ask.token, f"/nodes/{ask.node}", "Sys.Audit")
    lines = task.log
    start, limit = ask.number("start", 0), ask.number("limit", 50) or len(lines)
    shown = list(enumerate(lines, 1))[start : start + limit]
    if not lines:
        shown = [(1, "no content")]
    return Listing([{"n": n, "t": text} for n, text in shown], max(len(lines), 1))


def stop_task(state: State, ask: Ask) -> Script[JsonValue]:
    """DELETE tasks/{upid}: interrupt it; the answer comes about a second later."""
    task = _find(state, ask)
    if task.user != ask.token.id.split("!")[0]:
        require(state, ask.token, f"/nodes/{ask.node}", "Sys.Modify")
    if task.status is None and task.process is not None:
        task.process.interrupt(Refused("received interrupt"))
        yield Sleep(1.0)
    return None


def list_tasks(state: State, ask: Ask) -> "JsonValue | Listing":
    """GET nodes/{node}/tasks, newest first; the archive unless `source` says otherwise.

    A clock that was set back has later tasks begin earlier, but by no more than `CLOCK_SET`.
    """
    everything = allows(state, ask.token, f"/nodes/{ask.node}", "Sys.Audit")
    source = ask.text("source", "archive")
    since = ask.number("since", 0)
    recent = takewhile(
        lambda task: task.started >= since - CLOCK_SET, reversed(state.tasks.values())
    )
    chosen = [
        task
        for task in recent
        if task.node == ask.node
        and task.started >= since
        and (everything or task.user == ask.token.id.split("!")[0])
        and _in_source(task, source)
        and _matches(task, ask)
    ]
    running = [task for task in chosen if task.status is None]
    ended = [task for task in chosen if task.status is not None]
    ordered = running + ended
    start, limit = ask.number("start", 0), ask.number("limit", 50) or len(ordered)
    rows: list[JsonValue] = [_row(task) for task in ordered[start : start + limit]]
    return Listing(rows, len(ordered)) if ordered else []


def cluster_tasks(state: State, ask: Ask) -> JsonValue:
    """GET cluster/tasks: the newest of every node, running ones without a status."""
    seen = [
        task
        for task in state.tasks.values()
        if task.user == ask.token.id.split("!")[0]
        or allows(state, ask.token, f"/nodes/{task.node}", "Sys.Audit")
    ]
    return [_broadcast(task) for task in reversed(seen[-RECENT:])]


def _broadcast(task: Task) -> dict[str, JsonValue]:
    row: dict[str, JsonValue] = {
        "upid": task.upid,
        "node": task.node,
        "starttime": task.started,
        "type": task.kind,
        "id": task.id,
        "user": task.user,
        "saved": str(int(task.status is not None)),
    }
    if task.status is None:
        return row | _tokenid(task) | {"pid": task.pid}
    return row | _tokenid(task) | {"status": task.status, "endtime": task.ended}


def _in_source(task: Task, source: str) -> bool:
    return source == "all" or (task.status is None) == (source == "active")


def _matches(task: Task, ask: Ask) -> bool:
    params = ask.params
    return (
        ("vmid" not in params or task.id == str(params["vmid"]))
        and ("typefilter" not in params or task.kind == params["typefilter"])
        and ask.text("userfilter").lower() in task.user.lower()
        and ("until" not in params or task.started <= ask.number("until", 0))
        and (not ask.flag("errors") or task.status not in {None, "OK"})
        and ("statusfilter" not in params or _kind_of(task) in ask.text("statusfilter").split(","))
    )


def status_filter(text: str) -> str | None:
    """Say what is wrong with a list of kinds of exit status."""
    for kind in text.split(","):
        if kind not in {"ok", "error", "warning", "unknown"}:
            return f"invalid format - invalid status '{kind}'\n"
    return None


def _kind_of(task: Task) -> str:
    status = task.status or ""
    if status == "OK":
        return "ok"
    if status.startswith("WARNINGS"):
        return "warning"
    return "unknown" if status in {"", "unexpected status"} else "error"


def _row(task: Task) -> dict[str, JsonValue]:
    row: dict[str, JsonValue] = {
        "upid": task.upid,
        "node": task.node,
        "pid": task.pid,
        "pstart": task.pstart,
        "starttime": task.started,
        "type": task.kind,
        "id": task.id,
    }
    if task.status is None:
        return row | {"status": "RUNNING", "user": task.token, "saved": "0"}
    row |= {"status": task.status, "user": task.user, "endtime": task.ended}
    return row | _tokenid(task)

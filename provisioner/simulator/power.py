"""Starting and stopping: what is checked in the task, what in the request, and what the guest does.

Nearly everything is decided in the task: a start of a running machine is a 200 and a failed task.
A shutdown asks the guest, which may ignore it (it also does until it has booted), and holds the
config lock all the while. A power change has one place each, `switch_on` and `switch_off`, so that
cloud-init, sessions and the agent follow from it and from nothing else. A machine that sleeps on
disk is off and locked; any start wakes it, a resumption is one, and it can be destroyed as it is.
That is from qemu-server's source and from what an 8.4.21 did to a machine with that lock; a lock
without the memory that belongs to it stays, whatever is started.
"""

import re
from collections.abc import Callable
from functools import partial

from provisioner.backends.proxmox.api import JsonValue
from provisioner.simulator import ha
from provisioner.simulator.access import Ask
from provisioner.simulator.config import apply_pending
from provisioner.simulator.guests import Guest, Power
from provisioner.simulator.ssh.userdata import cloud_init, missing_snippet
from provisioner.simulator.state import State
from provisioner.simulator.task import Task
from provisioner.simulator.tasks import lock_of, start_task, with_lock
from provisioner.simulator.timeline import Script, Sleep
from provisioner.simulator.wire import Refused, bad_parameters

TIMED_OUT = "VM quit/powerdown failed - got timeout"
DEFAULT_SHUTDOWN = 60
ASLEEP = "suspended"
#: The key that names the memory of a machine that sleeps; there is no volume behind it here.
VMSTATE = "vmstate"
Body = Callable[[State, Ask, Guest, Task], Script[None]]


def switch_on(state: State, guest: Guest) -> None:
    """QEMU runs from now on; the guest has booted some seconds later."""
    apply_pending(state, guest)
    guest.power = Power.RUNNING
    guest.started_at = state.timeline.now
    _boot(state, guest)


def _boot(state: State, guest: Guest) -> None:
    guest.boots += 1
    guest.booted = False
    guest.os.sessions.clear()
    data = cloud_init(state, guest)

    def up(boot: int) -> None:
        if guest.boots == boot and guest.running:
            guest.booted = True
            guest.os.boot(data)

    durations = state.settings.durations
    guest.boot_takes = durations.boot if guest.kind == "qemu" else durations.container_boot
    if durations.boot_scatter:
        guest.boot_takes *= 1 + durations.boot_scatter * state.draws.share()
    state.timeline.after(guest.boot_takes, partial(up, guest.boots))


def switch_off(state: State, guest: Guest) -> None:
    """QEMU is gone, and with it every session and process inside."""
    apply_pending(state, guest)
    guest.power = Power.STOPPED
    guest.booted = False
    guest.os.sessions.clear()
    guest.processes.clear()


def _as_task(kind: str, body: Body) -> Callable[[State, Ask], JsonValue]:
    def handler(state: State, ask: Ask) -> JsonValue:
        if "skiplock" in ask.params:
            raise bad_parameters(skiplock="Only root may use this option.")

        def under_lock(task: Task) -> Script[None]:
            yield from body(state, ask, state.guest(ask.node, ask.vmid), task)

        def work(task: Task) -> Script[None]:
            yield from with_lock(state, lock_of(ask.vmid), under_lock(task), task)

        return start_task(state, ask, kind, str(ask.vmid), work)

    return handler


def _only(kind: str, body: Body, *, shutdown: bool) -> Callable[[State, Ask], JsonValue]:
    """Make a handler for what a stopped (and perhaps a paused) machine refuses at once."""
    begin = _as_task(kind, body)

    def handler(state: State, ask: Ask) -> JsonValue:
        guest = state.guest(ask.node, ask.vmid)
        if not guest.running and kind != "qmshutdown":
            raise Refused(f"VM {ask.vmid} not running")
        if shutdown and guest.power is Power.PAUSED:
            raise Refused("VM is paused - cannot shutdown")
        return begin(state, ask)

    return handler


def _refuse_locked(guest: Guest) -> None:
    if guest.lock not in {None, ASLEEP}:
        raise Refused(f"VM is locked ({guest.lock})")


def start_script(state: State, guest: Guest, task: Task) -> Script[None]:
    """Start a machine, as a task does under its lock."""
    if guest.template:
        raise Refused("you can't start a vm if it's a template")
    _refuse_locked(guest)
    if guest.running:
        raise Refused(f"VM {guest.vmid} already running")
    snippet = missing_snippet(state, guest)
    if snippet is not None:
        raise Refused(f"volume '{snippet}' does not exist")
    for line in guest.disks().values():
        trouble = state.storage_trouble(line.split(":")[0])
        if trouble is not None:
            raise Refused(trouble)
    if guest.cloud_init() is not None:
        task.log.append("generating cloud-init ISO")
    yield Sleep(state.settings.durations.start)
    if guest.lock == ASLEEP and VMSTATE in guest.config:
        for key in ("lock", VMSTATE):
            del state.changing(guest).config[key]
    switch_on(state, guest)


def _start(state: State, _: Ask, guest: Guest, task: Task) -> Script[None]:
    yield from start_script(state, guest, task)


def _stop(state: State, _: Ask, guest: Guest, __: Task) -> Script[None]:
    if guest.running:
        _refuse_locked(guest)
        yield Sleep(state.settings.durations.stop)
        switch_off(state, guest)


def _shutdown(state: State, ask: Ask, guest: Guest, task: Task) -> Script[None]:
    if not guest.running:
        return
    _refuse_locked(guest)
    yield from _power_down(state, ask, guest, task, force=ask.flag("forceStop"))


def _power_down(state: State, ask: Ask, guest: Guest, task: Task, *, force: bool) -> Script[None]:
    patience = ask.number("timeout", DEFAULT_SHUTDOWN)
    needed = state.settings.durations.shutdown
    if guest.booted and not guest.ignores_acpi and needed <= patience:
        yield Sleep(needed)
    else:
        yield Sleep(patience)
        if not force:
            raise Refused(TIMED_OUT)
        task.log.append("VM still running - terminating now with SIGTERM")
        yield Sleep(state.settings.durations.stop)
    switch_off(state, guest)


def _reboot(state: State, ask: Ask, guest: Guest, task: Task) -> Script[None]:
    _refuse_locked(guest)
    yield from _power_down(state, ask, guest, task, force=False)
    yield Sleep(state.settings.durations.start)
    switch_on(state, guest)


def _reset(state: State, _: Ask, guest: Guest, __: Task) -> Script[None]:
    _refuse_locked(guest)
    _boot(state, state.changing(guest))
    yield from ()


def _suspend(state: State, _: Ask, guest: Guest, __: Task) -> Script[None]:
    state.changing(guest).power = Power.PAUSED
    yield from ()


def _hibernate(state: State, _: Ask, guest: Guest, __: Task) -> Script[None]:
    _refuse_locked(guest)
    yield Sleep(state.settings.durations.stop)
    switch_off(state, guest)
    memory = f"local:{guest.vmid}/vm-{guest.vmid}-state-suspend.raw"
    state.changing(guest).config |= {"lock": ASLEEP, VMSTATE: memory}


def _resume(state: State, _: Ask, guest: Guest, __: Task) -> Script[None]:
    state.changing(guest).power = Power.RUNNING
    yield from ()


_start_task = _as_task("qmstart", _start)
_stop_task = _as_task("qmstop", _stop)
_shutdown_task = _only("qmshutdown", _shutdown, shutdown=True)
reboot = _only("qmreboot", _reboot, shutdown=True)
reset = _only("qmreset", _reset, shutdown=False)
_pause = _only("qmpause", _suspend, shutdown=False)
_hibernate_task = _only("qmsuspend", _hibernate, shutdown=False)
_resume_task = _only("qmresume", _resume, shutdown=False)
_wake_task = _as_task("qmresume", _start)


def _by_ha(state: State, ask: Ask, wanted: str, kind: str, body: Body) -> JsonValue:
    """Have the HA manager see to a guest's power."""
    guest = state.guest(ask.node, ask.vmid)

    def work(task: Task) -> Script[None]:
        yield from with_lock(state, lock_of(ask.vmid), body(state, ask, guest, task), task)

    return ha.wish(state, ask, guest, wanted, ha.Follow(kind, work))


def start(state: State, ask: Ask) -> JsonValue:
    """POST status/start; of a guest under HA it is a wish."""
    if ha.managed(state, ask.vmid):
        return _by_ha(state, ask, "started", "qmstart", _start)
    return _start_task(state, ask)


def shutdown(state: State, ask: Ask) -> JsonValue:
    """POST status/shutdown; of a guest under HA it is a wish."""
    if ha.managed(state, ask.vmid):
        return _by_ha(state, ask, "stopped", "qmshutdown", _shutdown)
    return _shutdown_task(state, ask)


def suspend(state: State, ask: Ask) -> JsonValue:
    """POST status/suspend: a pause; to disk it is off and locked, which HA refuses."""
    if not ask.flag("todisk"):
        return _pause(state, ask)
    if ha.managed(state, ask.vmid):
        raise Refused("Cannot suspend HA managed VM to disk")
    return _hibernate_task(state, ask)


def resume(state: State, ask: Ask) -> JsonValue:
    """POST status/resume: what is paused runs again, what sleeps on disk is started."""
    asleep = state.guest(ask.node, ask.vmid).lock == ASLEEP
    return (_wake_task if asleep else _resume_task)(state, ask)


def stop(state: State, ask: Ask) -> JsonValue:
    """POST status/stop; with `overrule-shutdown` a shutdown under way is interrupted first."""
    if ha.managed(state, ask.vmid):
        return _by_ha(state, ask, "stopped", "qmstop", _stop)
    if ask.flag("overrule-shutdown"):
        for task in state.tasks.values():
            under_way = task.status is None and task.kind == "qmshutdown"
            if under_way and task.id == str(ask.vmid) and task.process is not None:
                task.process.interrupt(Refused("received interrupt"))
    return _stop_task(state, ask)


def current(state: State, ask: Ask) -> JsonValue:
    """GET status/current: up to date, unlike cluster/resources."""
    guest = state.guest(ask.node, ask.vmid)
    told: dict[str, JsonValue] = {"ha": ha.status(state, ask.vmid)}
    if guest.agent_configured:
        told["agent"] = 1
    if "vga" in guest.config:
        told["clipboard"] = None
    return status_row(state, guest) | told_by_qemu(guest) | told


def told_by_qemu(guest: Guest) -> dict[str, JsonValue]:
    """Return what only a look at the process itself tells of a guest."""
    told: dict[str, JsonValue] = {"qmpstatus": guest.power.value}
    cards = sorted(int(key[3:]) for key in guest.config if re.fullmatch(r"net\d+", key))
    if guest.running and cards:
        quiet: JsonValue = {"netin": 0, "netout": 0}
        told["nics"] = {f"tap{guest.vmid}i{number}": quiet for number in cards}
    return told


def status_row(state: State, guest: Guest) -> dict[str, JsonValue]:
    """Return a guest as the node's own list shows it."""
    up = int(state.timeline.now - guest.started_at) if guest.running else 0
    row: dict[str, JsonValue] = {
        "vmid": guest.vmid,
        "status": "running" if guest.running else "stopped",
        "name": guest.name,
        "cpus": guest.cores,
        "maxmem": guest.memory,
        "mem": guest.memory // 2 if guest.running else 0,
        "maxdisk": guest.boot_disk_size(),
        "disk": 0,
        "cpu": 0,
        "netin": 0,
        "netout": 0,
        "uptime": up,
    }
    for key in ("lock", "tags"):
        if key in guest.config:
            row[key] = guest.config[key]
    if guest.template:
        row["template"] = 1
    if "serial0" in guest.config:
        row["serial"] = 1
    if guest.running:
        row["pid"] = 10_000 + guest.vmid
    return row

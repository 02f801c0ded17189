"""Starting and stopping a container.

More than with a virtual machine is decided in the request: a start of a running one and a stop of
a stopped one are refused at once. Locks and templates are found out by the task. Suspending needs
CRIU, which a Proxmox node does not have: the task fails, and the container runs on.
"""

from collections.abc import Callable

from provisioner.backends.proxmox.api import JsonValue
from provisioner.simulator import ha
from provisioner.simulator.access import Ask
from provisioner.simulator.lxc.config import refuse_locked, status_row
from provisioner.simulator.lxc.container import Container
from provisioner.simulator.power import switch_off, switch_on
from provisioner.simulator.state import State
from provisioner.simulator.task import Task
from provisioner.simulator.tasks import container_lock, start_task, with_lock
from provisioner.simulator.timeline import Script, Sleep
from provisioner.simulator.wire import Refused, bad_parameters

DEFAULT_SHUTDOWN = 60
NO_CRIU = "command 'lxc-checkpoint -n {vmid} -s -D /var/lib/vz/dump' failed: exit code 1"
Body = Callable[[State, Ask, Container], Script[None]]


def start_script(state: State, guest: Container) -> Script[None]:
    """Start a container, as a task does under its lock."""
    if guest.template:
        raise Refused("you can't start a CT if it's a template")
    refuse_locked(guest)
    if guest.running:
        raise Refused(f"CT {guest.vmid} already running")
    for line in guest.disks().values():
        trouble = state.storage_trouble(line.split(":")[0])
        if trouble is not None:
            raise Refused(trouble)
    yield Sleep(state.settings.durations.start)
    switch_on(state, guest)
    guest.os.hostname = guest.name


def start(state: State, ask: Ask) -> JsonValue:
    """POST status/start. Returns a UPID, even of a container that does not exist."""
    refuse_skiplock(ask)
    guest = state.guests.get(ask.vmid)
    if isinstance(guest, Container) and ha.managed(state, ask.vmid):
        return _by_ha(state, ask, "started", "vzstart", start_script(state, guest))
    if isinstance(guest, Container) and guest.node == ask.node and guest.running:
        raise Refused(f"CT {ask.vmid} already running")

    def work(task: Task) -> Script[None]:
        found = state.container(ask.node, ask.vmid)
        script = start_script(state, found)
        yield from with_lock(state, container_lock(ask.vmid), script, task)

    return start_task(state, ask, "vzstart", str(ask.vmid), work)


def refuse_skiplock(ask: Ask) -> None:
    """Refuse a parameter that only root may use."""
    if "skiplock" in ask.params:
        raise bad_parameters(skiplock="Only root may use this option.")


def _of_running(kind: str, word: str, body: Body) -> Callable[[State, Ask], JsonValue]:
    """Make a handler for what only a running container does."""

    def handler(state: State, ask: Ask) -> JsonValue:
        guest = state.container(ask.node, ask.vmid)
        refuse_skiplock(ask)
        if not guest.running:
            raise Refused(f"{word} {ask.vmid} not running")

        def work(task: Task) -> Script[None]:
            script = body(state, ask, state.container(ask.node, ask.vmid))
            yield from with_lock(state, container_lock(ask.vmid), script, task)

        return start_task(state, ask, kind, str(ask.vmid), work)

    return handler


def _stop(state: State, _: Ask, guest: Container) -> Script[None]:
    refuse_locked(guest)
    yield Sleep(state.settings.durations.stop)
    switch_off(state, guest)


def _shutdown(state: State, ask: Ask, guest: Container) -> Script[None]:
    refuse_locked(guest)
    patience = ask.number("timeout", DEFAULT_SHUTDOWN)
    needed = state.settings.durations.shutdown
    if not guest.ignores_acpi and needed <= patience:
        yield Sleep(needed)
    else:
        yield Sleep(patience)
        if not ask.flag("forceStop"):
            command = f"lxc-stop -n {guest.vmid} --nokill --timeout {patience}"
            raise Refused(f"command '{command}' failed: exit code 1")
        yield Sleep(state.settings.durations.stop)
    switch_off(state, guest)


def _reboot(state: State, ask: Ask, guest: Container) -> Script[None]:
    yield from _shutdown(state, ask, guest)
    yield Sleep(state.settings.durations.start)
    switch_on(state, guest)
    guest.os.hostname = guest.name


def _suspend(_: State, __: Ask, guest: Container) -> Script[None]:
    refuse_locked(guest)
    yield from ()
    raise Refused(NO_CRIU.format(vmid=guest.vmid))


def _by_ha(state: State, ask: Ask, wanted: str, kind: str, script: Script[None]) -> JsonValue:
    """Have the HA manager see to a container's power."""
    guest = state.container(ask.node, ask.vmid)

    def work(task: Task) -> Script[None]:
        yield from with_lock(state, container_lock(ask.vmid), script, task)

    return ha.wish(state, ask, guest, wanted, ha.Follow(kind, work))


def stop(state: State, ask: Ask) -> JsonValue:
    """POST status/stop; of a container under HA it is a wish."""
    guest = state.container(ask.node, ask.vmid)
    if guest.running and ha.managed(state, ask.vmid):
        return _by_ha(state, ask, "stopped", "vzstop", _stop(state, ask, guest))
    return _stop_task(state, ask)


def shutdown(state: State, ask: Ask) -> JsonValue:
    """POST status/shutdown; of a container under HA it is a wish."""
    guest = state.container(ask.node, ask.vmid)
    if guest.running and ha.managed(state, ask.vmid):
        return _by_ha(state, ask, "stopped", "vzshutdown", _shutdown(state, ask, guest))
    return _shutdown_task(state, ask)


_stop_task = _of_running("vzstop", "CT", _stop)
_shutdown_task = _of_running("vzshutdown", "CT", _shutdown)
reboot = _of_running("vzreboot", "VM", _reboot)
suspend = _of_running("vzsuspend", "CT", _suspend)


def current(state: State, ask: Ask) -> JsonValue:
    """GET status/current: up to date, unlike cluster/resources."""
    return status_row(state, state.container(ask.node, ask.vmid)) | {
        "ha": ha.status(state, ask.vmid)
    }


def interfaces(state: State, ask: Ask) -> JsonValue:
    """GET interfaces: what a running container's network looks like; nothing of a stopped one.

    Its init gives its cards their addresses.
    """
    guest = state.container(ask.node, ask.vmid)
    if not guest.running:
        return []
    rows = [_interface("lo", "00:00:00:00:00:00", ["127.0.0.1/8", "::1/128"])]
    for key in sorted(key for key in guest.config if key.startswith("net")):
        net = dict(part.partition("=")[::2] for part in str(guest.config[key]).split(","))
        told = ("ip", "ip6") if guest.booted else ()
        static = [net[key] for key in told if "/" in net.get(key, "")]
        rows.append(_interface(net["name"], net["hwaddr"].lower(), static))
    return [*rows]


def _interface(name: str, mac: str, addresses: list[str]) -> JsonValue:
    row: dict[str, JsonValue] = {"name": name, "hwaddr": mac, "hardware-address": mac}
    told: list[JsonValue] = []
    for text in addresses:
        address, _, prefix = text.partition("/")
        kind = "inet6" if ":" in address else "inet"
        row[kind] = text
        told.append({"ip-address": address, "prefix": prefix, "ip-address-type": kind})
    return row | {"ip-addresses": told}

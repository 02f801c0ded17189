"""Destroying, growing and templating a container.

Here a destroy looks first: protection, locks and a running container are refused at once (the
latter unless `force`). A resize is checked at once too; growing to the size it has is an error.
"""

from provisioner.backends.proxmox.api import JsonValue
from provisioner.simulator.access import Ask
from provisioner.simulator.disks import erase
from provisioner.simulator.guests import parse_size
from provisioner.simulator.ha import refuse_without_purge
from provisioner.simulator.lxc.config import refuse_locked
from provisioner.simulator.lxc.container import Container
from provisioner.simulator.lxc.mounts import line_of
from provisioner.simulator.power import switch_off
from provisioner.simulator.state import State, Volume
from provisioner.simulator.task import Task
from provisioner.simulator.tasks import container_lock, start_task, with_lock
from provisioner.simulator.timeline import Script, Sleep
from provisioner.simulator.volumes import base_of
from provisioner.simulator.wire import Refused

NO_MOUNT = dict.fromkeys(("volume", "mp"), "property is missing and it is not optional")


def destroy(state: State, ask: Ask) -> JsonValue:
    """DELETE lxc/{vmid}. Returns a UPID; HTTP 200 only means that the task was started."""
    _checked(state, ask)

    def work(task: Task) -> Script[None]:
        yield from with_lock(state, container_lock(ask.vmid), _destroy(state, ask, task), task)

    return start_task(state, ask, "vzdestroy", str(ask.vmid), work)


def _checked(state: State, ask: Ask) -> Container:
    guest = state.container(ask.node, ask.vmid)
    if guest.config.get("protection"):
        raise Refused(f"can't remove CT {ask.vmid} - protection mode enabled")
    refuse_without_purge(state, ask, "CT")
    refuse_locked(guest)
    if guest.running and not ask.flag("force"):
        raise Refused(f"unable to destroy CT {ask.vmid} - container is running")
    return guest


def _destroy(state: State, ask: Ask, task: Task) -> Script[None]:
    guest = _checked(state, ask)
    if guest.running:
        task.log.append(f"forced to stop CT {ask.vmid} before destroying!")
        yield Sleep(state.settings.durations.stop)
        switch_off(state, guest)
    yield from erase(state, ask, task, guest, _in_use)


def _in_use(volid: str) -> str:
    return f"base volume '{volid.partition(':')[2]}' is still in use by linked clones"


def resize(state: State, ask: Ask) -> JsonValue:
    """PUT resize: only ever larger. Returns a UPID."""
    guest, key = state.container(ask.node, ask.vmid), ask.text("disk")
    refuse_locked(guest)
    volume = _volume(state, guest, key)
    size = _wanted(ask, volume)

    def grow() -> Script[None]:
        yield Sleep(state.settings.durations.resize)
        options = [part for part in guest.disks()[key].split(",")[1:] if "size=" not in part]
        volume.size = size
        state.changing(guest).config[key] = line_of(volume, options)

    def work(task: Task) -> Script[None]:
        task.log.append("Image resized.")
        yield from with_lock(state, container_lock(ask.vmid), grow(), task)

    return start_task(state, ask, "resize", str(ask.vmid), work)


def _volume(state: State, guest: Container, key: str) -> Volume:
    line = guest.disks().get(key)
    if line is None:
        raise Refused("format error", errors=NO_MOUNT)
    return state.volumes[line.split(",")[0]]


def _wanted(ask: Ask, volume: Volume) -> int:
    text = ask.text("size")
    size = parse_size(text.removeprefix("+")) + (volume.size if text[0] == "+" else 0)
    if size == volume.size:
        raise Refused("disk is already at specified size")
    if size < volume.size:
        raise Refused("unable to shrink disk size")
    return size


def template(state: State, ask: Ask) -> JsonValue:
    """POST template: done by a task whose UPID nobody is told."""
    guest = state.container(ask.node, ask.vmid)
    refuse_locked(guest)
    if guest.snapshots:
        raise Refused("unable to create template, because CT contains snapshots")
    if guest.template:
        raise Refused("you can't convert a template to a template")
    if guest.running:
        raise Refused("you can't convert a CT to template if the CT is running")

    def convert() -> Script[None]:
        yield Sleep(state.settings.durations.template)
        make_template(state, guest)

    def work(task: Task) -> Script[None]:
        yield from with_lock(state, container_lock(ask.vmid), convert(), task)

    start_task(state, ask, "vztemplate", str(ask.vmid), work)
    return None


def make_template(state: State, guest: Container) -> None:
    """Turn a container's volumes into base volumes."""
    state.changing(guest).config["template"] = 1
    for key, line in guest.disks().items():
        volid, _, options = line.partition(",")
        volume = state.volumes.pop(volid)
        volume.volid = base_of(volume)
        state.volumes[volume.volid] = volume
        guest.config[key] = f"{volume.volid},{options}"

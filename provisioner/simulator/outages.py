"""A node that loses power, and what it does when it is back.

Its running tasks end without an exit status of their own (`unexpected status`), its guests stop,
and calls to it find no route. When it is back it starts the guests that have `onboot`, each as a
task of root@pam, whatever a controller wanted: a suspended machine stays off only by `onboot=0`.
"""

from functools import partial

from provisioner.simulator.lxc.container import Container
from provisioner.simulator.lxc.power import start_script as start_container
from provisioner.simulator.power import start_script, switch_off
from provisioner.simulator.state import State
from provisioner.simulator.task import Task
from provisioner.simulator.tasks import (
    container_lock,
    cut_off,
    lock_of,
    start_system_task,
    with_lock,
)
from provisioner.simulator.timeline import Script, Sleep
from provisioner.simulator.wire import Refused


def power_cycle(state: State, name: str) -> None:
    """Cut the power of node `name`; it is back after its boot time."""
    cut_power(state, name)
    restore_power(state, name)


def restore_power(state: State, name: str) -> None:
    """Have node `name` boot; it is back after its boot time."""
    state.timeline.after(state.settings.durations.node_boot, partial(_back, state, name))


def restart_network(state: State, name: str) -> None:
    """Have somebody restart the network of node `name`: what was set by hand is forgotten."""
    system = state.systems.get(name)
    if system is not None:
        system.routes.clear()
        system.isolated.clear()


def cut_power(state: State, name: str) -> None:
    """Cut the power of node `name`."""
    node = state.nodes[name]
    node.online = False
    for task in list(state.tasks.values()):
        if task.node == name:
            cut_off(state, task)
    for guest in state.guests.values():
        if guest.node == name and guest.running:
            switch_off(state, guest)


def _back(state: State, name: str) -> None:
    node = state.nodes[name]
    node.online = True
    node.up_since = state.timeline.now
    start_system_task(state, name, "startall", "", partial(_start_all, state, name))


def _start_all(state: State, name: str, task: Task) -> Script[None]:
    wanted = [
        (guest.vmid, *(("CT", "vzstart") if guest.kind == "lxc" else ("VM", "qmstart")))
        for guest in state.guests.values()
        if guest.node == name and guest.config.get("onboot") and not guest.template
    ]
    for vmid, word, kind in sorted(wanted):
        task.log.append(f"Starting {word} {vmid}")
        start_system_task(state, name, kind, str(vmid), partial(_start_one, state, vmid))
        yield Sleep(state.settings.durations.start)


def _start_one(state: State, vmid: int, task: Task) -> Script[None]:
    guest = state.guests.get(vmid)
    if guest is None:
        raise Refused(f"VM {vmid} does not exist")
    if isinstance(guest, Container):
        script = start_container(state, guest)
        yield from with_lock(state, container_lock(vmid), script, task)
    else:
        yield from with_lock(state, lock_of(vmid), start_script(state, guest, task), task)

"""What happened in the recorded scenarios without being recorded as an exchange.

`AT_FIRST` is how the world was when a scenario began, `MEANWHILE` what was done just before the
exchange of that number, `GRANTED` what a token really held where its name does not tell.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from provisioner.simulator.guestos import GuestOs, Program, Run
from provisioner.simulator.guests import Power
from provisioner.simulator.programs import PROGRAMS
from provisioner.simulator.state import Firewall, Volume
from tests.support.replayed import DRAWN, PLAIN, World

Event = Callable[[World], object]


def running(*vmids: int) -> Event:
    """Return: these guests run, and have booted."""

    def event(world: World) -> None:
        for vmid in vmids:
            if vmid not in world.state.guests:
                world.appear("qemu", vmid)
            world.cluster.start_guest(vmid)

    return event


def stopped(vmid: int) -> Event:
    """Return: a guest was stopped."""
    return lambda world: world.cluster.stop_guest(vmid)


def destroyed(vmid: int) -> Event:
    """Return: a guest was destroyed."""
    return lambda world: world.cluster.remove_guest(vmid)


def both(*events: Event) -> Event:
    """Return: all of them, in this order."""
    return lambda world: [event(world) for event in events]


def pools(*names: str) -> Event:
    """Return: these pools are there."""

    def event(world: World) -> None:
        for name in names:
            world.pool(name)

    return event


def deaf(vmid: int) -> Event:
    """Return: a guest without an operating system, which hears neither ACPI nor its agent."""

    def event(world: World) -> None:
        guest = world.state.guests.get(vmid) or world.appear("qemu", vmid)
        guest.ignores_acpi, guest.has_agent = True, False

    return event


def changed(vmid: int, **config: str | int | None) -> Event:
    """Return: a configuration was changed."""
    return lambda world: world.cluster.edit_guest(vmid, **config)


def storage(name: str, *, mounted: bool) -> Event:
    """Return: a storage was mounted, or unmounted."""

    def event(world: World) -> None:
        world.state.storages[name].active = mounted

    return event


def walls(world: World) -> None:
    """Give the guest that is cloned a firewall of its own."""
    world.appear("qemu", 9440)
    rules: list[dict[str, str | int]] = [{"type": "in", "action": "ACCEPT", "enable": 1}]
    options: dict[str, str | int] = {"enable": 1, "ipfilter": 1}
    world.state.firewalls[9440] = Firewall(options, rules, {"ipfilter-net0": {}})


def unreferenced(world: World) -> None:
    """Leave a volume that no configuration names."""
    volid = "local:9521/vm-9521-disk-7.raw"
    world.state.volumes[volid] = Volume(
        volid, 9521, 2**20, "raw", int(world.cluster.now), node="pve"
    )


def paused(world: World) -> None:
    """Pause the guest without an agent."""
    world.state.guests[9601].power = Power.PAUSED


def other_tasks(world: World) -> None:
    """Have tasks that ended well and badly in the list, and a guest that runs."""
    world.did("POST", "/nodes/pve/qemu/9860/status/start")
    world.did("POST", "/nodes/pve/qemu/9860/status/start", token="test@pve!t1")
    world.did("PUT", "/nodes/pve/qemu/9860/resize", disk="scsi5", size="+1M")


def container_runs(world: World) -> None:
    """Have the container run that is to be destroyed by force."""
    world.appear("lxc", 9703)
    world.cluster.start_guest(9703)


def member(world: World) -> None:
    """Have a new guest in the pool, which no statistics round has seen."""
    world.appear("qemu", 9802)
    world.state.guests[9802].heard = None
    world.pool("pm", 9802)


def shell(_: GuestOs, words: tuple[str, ...], __: str) -> Run:
    """`sh -c` for the few lines that were run: the recorded guest had a shell, ours has none."""
    line = words[-1]
    if "exit 3" in line:
        return Run(3, "out\n", "err\n", seconds=0.01)
    if "kill -9" in line:
        return Run(signal=9, seconds=0.01)
    if "sleep 2" in line:
        return Run(output="done\n", seconds=2.0)
    return Run(output="x", seconds=60.0 if "head" in line else 0.3)


def slowly(name: str) -> Program:
    """Return a program as slow as it was on the recorded guest, which was emulated."""
    return lambda system, words, text: replace(PROGRAMS[name](system, words, text), seconds=0.19)


def with_shell(world: World) -> None:
    """Install a shell and give both guests of the agent's scenario their agents, or none."""
    installed = world.state.guests[9100].os.installed
    installed |= {"sh": shell, "echo": slowly("echo"), "cat": slowly("cat")}
    world.appear("qemu", 9602, {**PLAIN, "agent": "0"})


SNAPPED = {
    **DRAWN,
    "name": "d9522",
    "memory": "64",
    "ide2": "local:9522/vm-9522-cloudinit.qcow2,media=cdrom",
    "scsi0": "local:9522/vm-9522-disk-0.qcow2,size=1G",
    "net0": "virtio=BC:24:11:39:40:B0,bridge=vmbr0",
}
AGENT_VM = running(9100)
AT_FIRST: Mapping[str, Event] = {
    "01-reads": lambda world: world.did("POST", "/nodes/pve/qemu/9100/status/start"),
    "02-auth": AGENT_VM,
    "03-privileges": both(AGENT_VM, pools("pp")),
    "10-create-qemu": both(AGENT_VM, pools("clp")),
    "11-config": both(AGENT_VM, pools("clp")),
    "20-clone": both(AGENT_VM, pools("clp"), changed(9000, onboot=0)),
    "21-clone-races": AGENT_VM,
    "22-clone-window": both(AGENT_VM, pools("clp"), changed(9000, description="t")),
    "30-power": both(AGENT_VM, deaf(9500)),
    "31-locks": both(deaf(9510), lambda world: world.appear("lxc", 9512)),
    "32-delete-resize-snapshot": both(
        pools("dp"), lambda world: world.appear("qemu", 9522, SNAPPED)
    ),
    "40-agent": both(AGENT_VM, deaf(9601), with_shell),
    "41-agent-power": AGENT_VM,
    "60-firewall-pools-storage": both(
        AGENT_VM,
        pools("clp"),
        lambda world: world.appear("qemu", 9800, {**PLAIN, "memory": "64"}),
        lambda world: world.appear("lxc", 9801, {"hostname": "CT9801"}),
    ),
    "71-tasks": both(
        AGENT_VM, lambda world: world.appear("qemu", 9860, {**DRAWN, "memory": "64"}), deaf(9860)
    ),
    "80-http": both(AGENT_VM, pools("clp")),
}
MEANWHILE: Mapping[tuple[str, int], Event] = {
    ("20-clone", 32): walls,
    ("20-clone", 41): stopped(9440),
    ("20-clone", 50): destroyed(9444),
    ("20-clone", 48): changed(9440, protection=0),
    ("21-clone-races", 3): changed(9000, description="t"),
    ("30-power", 75): stopped(9500),
    ("30-power", 82): stopped(9500),
    ("32-delete-resize-snapshot", 15): unreferenced,
    ("40-agent", 2): running(9602),
    ("40-agent", 3): running(9601),
    ("40-agent", 7): paused,
    ("50-lxc", 104): container_runs,
    ("60-firewall-pools-storage", 116): pools("pb"),
    ("61-storage-failures", 15): storage("small", mounted=False),
    ("61-storage-failures", 25): storage("small", mounted=True),
    ("61-storage-failures", 42): member,
    ("71-tasks", 0): other_tasks,
}
ALL = (
    "(VM.Audit on /vms/9310 /vms/9311; VM.Clone on /vms/9000; VM.Allocate on /vms/9314;"
    " Datastore.AllocateSpace on /storage/local; SDN.Use on /sdn/zones/localnetwork;"
    " VM.Allocate,Pool.Allocate,Pool.Audit on /pool/pp)"
)


def nothing(_: World) -> None:
    """Do nothing."""


GRANTED: Mapping[tuple[str, int], str] = {
    ("02-auth", 77): "all",
    ("02-auth", 79): "gone",
    ("02-auth", 81): "gone",
    **{("03-privileges", number): ALL for number in (173, 174, 175)},
}

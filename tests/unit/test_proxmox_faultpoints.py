"""Every call of a port is a place where a crash may fall, and so has its two fault points."""

import inspect

import pytest

from provisioner import faultpoints
from provisioner.archives import ArchiveStore
from provisioner.backends.proxmox.agent import AgentShell
from provisioner.backends.proxmox.archives import ProxmoxArchives
from provisioner.backends.proxmox.commands import AgentCommands
from provisioner.backends.proxmox.containershell import ContainerShell
from provisioner.backends.proxmox.controls import ProxmoxControls
from provisioner.backends.proxmox.hypervisor import ProxmoxHypervisor
from provisioner.backends.proxmox.ostemplates import ProxmoxOsTemplates
from provisioner.backends.proxmox.volumes import ProxmoxVolumes
from provisioner.controls import Controls, GuestCommands
from provisioner.guest.container import PctShell
from provisioner.guest.node import HelperShell
from provisioner.ostemplates import OsTemplateStore
from provisioner.ports import GuestShell, Hypervisor, NodeShell
from provisioner.simulator.direct import DirectApi
from provisioner.sold_storage import VolumeLists
from tests.support.nodes import Simulated, direct_node
from tests.support.pve import NODE, TEMPLATE, VMID, direct_world

PORTS = (
    ("hypervisor", Hypervisor, ProxmoxHypervisor),
    ("archive", ArchiveStore, ProxmoxArchives),
    ("ostemplate", OsTemplateStore, ProxmoxOsTemplates),
    ("volumes", VolumeLists, ProxmoxVolumes),
    ("guest", GuestShell, AgentShell),
    ("guest", GuestShell, ContainerShell),
    ("node", NodeShell, HelperShell),
    ("controls", Controls, ProxmoxControls),
    ("guest", GuestCommands, AgentCommands),
)
CONTAINER = 20001
METHODS = [
    (prefix, name, adapter)
    for prefix, port, adapter in PORTS
    for name, _ in inspect.getmembers(port, inspect.iscoroutinefunction)
]


@pytest.mark.parametrize(("prefix", "name", "adapter"), METHODS)
def test_a_ports_method_passes_the_points_of_its_own_name(
    prefix: str, name: str, adapter: type
) -> None:
    passing = inspect.getclosurevars(getattr(adapter, name)).nonlocals
    assert passing["before"] == f"{prefix}.{name}.before"
    assert passing["after"] == f"{prefix}.{name}.after"


def test_every_point_of_a_port_belongs_to_one_of_its_methods() -> None:
    called = {f"{prefix}.{name}" for prefix, name, _ in METHODS}
    prefixes = tuple(f"{prefix}." for prefix, *_ in PORTS)
    assert called == {
        call
        for call in faultpoints.CALLS + faultpoints.BY_HAND + faultpoints.TELLING
        if call.startswith(prefixes)
    }


async def test_a_call_that_fails_passes_its_first_point_only() -> None:
    world, passed = direct_world(), list[str]()
    faultpoints.arm(passed.append)
    try:
        await world.hypervisor.power(NODE, TEMPLATE)
        with pytest.raises(Exception, match="does not exist"):
            await world.hypervisor.power(NODE, VMID)
    finally:
        faultpoints.arm(None)
    power = "hypervisor.power"
    assert passed == [f"{power}.before", f"{power}.after", f"{power}.before"]


async def test_what_is_done_in_a_container_passes_the_points_of_each_name_once() -> None:
    simulated, passed = Simulated(), list[str]()
    simulated.start_container(CONTAINER)
    inside = PctShell(direct_node(simulated).shell)
    shell = ContainerShell(DirectApi(simulated.cluster), inside)
    faultpoints.arm(passed.append)
    try:
        await shell.end_sessions(NODE, CONTAINER, "root")
    finally:
        faultpoints.arm(None)
    assert passed == [
        *("guest.end_sessions.before", "node.pct_exec.before"),
        *("node.pct_exec.after", "guest.end_sessions.after"),
    ]

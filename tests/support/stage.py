"""A stage for the modes of failure: a cluster of three nodes, and the call at which each shows."""

import re
from dataclasses import dataclass
from typing import Final

from provisioner.simulator.modes.mode import (
    CLONE,
    CONFIG,
    CONTENT,
    DESTROY,
    EXEC,
    INTERFACES,
    NEXT_ID,
    RESIZE,
    SHUTDOWN,
    START,
    STOP,
    SUSPEND,
    VZDUMP,
    Call,
    Form,
    Mode,
)
from provisioner.simulator.settings import Settings
from provisioner.simulator.wire import ApiRequest, ApiResponse
from tests.support.simulated import Console

SHARED: Final = Settings(nodes=("pve", "pve2", "pve3"), storage="shared", storage_shared=True)
VM: Final = "/nodes/pve/qemu/218"
CT: Final = "/nodes/pve/lxc/300"
#: The call of each kind that is made here; a running guest is 219.
PLAYED: Final[dict[Call, tuple[str, dict[str, str]]]] = {
    CLONE: ("/nodes/pve/qemu/9000/clone", {"newid": "230"}),
    CONFIG: (f"{VM}/config", {"cores": "2"}),
    RESIZE: (f"{VM}/resize", {"disk": "scsi0", "size": "20G"}),
    START: (f"{VM}/status/start", {}),
    SHUTDOWN: ("/nodes/pve/qemu/219/status/shutdown", {"timeout": "30"}),
    STOP: ("/nodes/pve/qemu/219/status/stop", {}),
    SUSPEND: ("/nodes/pve/qemu/219/status/suspend", {"todisk": "1"}),
    DESTROY: (VM, {}),
    EXEC: ("/nodes/pve/qemu/219/agent/exec", {"command": "true"}),
    INTERFACES: ("/nodes/pve/qemu/219/agent/network-get-interfaces", {}),
    NEXT_ID: ("/cluster/nextid", {"vmid": "230"}),
    CONTENT: ("/nodes/pve/storage/shared/content", {}),
    VZDUMP: ("/nodes/pve/vzdump", {"vmid": "219", "storage": "shared"}),
}
#: Where a form is played at another call than the first that the mode strikes.
AT: Final[dict[tuple[int, int], Call]] = {
    (4, 1): NEXT_ID,
    (6, 0): CONFIG,
    (11, 0): CONFIG,
    (13, 0): START,
    (38, 2): START,
    (45, 0): DESTROY,
    (49, 1): SHUTDOWN,
    (51, 1): SHUTDOWN,
}
OF_CONTAINERS: Final = {(7, 0), (7, 1), (12, 1)}


@dataclass
class Stage:
    """A cluster of three nodes with a template and four guests."""

    console: Console

    def request(self, mode: Mode, form: int) -> ApiRequest:
        """Return the call at which a form of a mode is shown."""
        kind = AT.get((mode.number, form))
        kind = kind or next((call for call in mode.strikes if call in PLAYED), CLONE)
        path, given = PLAYED[kind]
        params = dict(given)
        if (mode.number, form) in OF_CONTAINERS:
            kind, path, params = DESTROY, CT, {}
            if (mode.number, form) == (7, 0):
                kind, path, params = CONFIG, f"{CT}/config", {"cores": "2"}
        if mode.number == 55:
            params["digest"] = self.console.cluster.guest(218).digest()
        if (mode.number, form) == (4, 1):
            params = {}
        if mode.number == 54:
            params["size"] = "20G"
        return ApiRequest(kind[0], path, params, self.console.token)

    def asked(self, request: ApiRequest) -> ApiResponse:
        """Make the call."""
        return self.console.cluster.handle(request)


def pattern(form: Form, request: ApiRequest) -> str:
    """Return what has to be said, as an expression."""
    vmid = re.search(r"/(?:qemu|lxc)/(\d+)", request.path)
    words = {
        "vmid": vmid[1] if vmid else request.params.get("vmid", ""),
        "newid": request.params.get("newid", ""),
        "node": "pve",
        "target": "pve",
        "storage": "shared",
    }
    text = form.says
    for name, value in words.items():
        text = text.replace(f"{{{name}}}", str(value))
    return re.escape(text).replace(r"\*", ".*")


def staged() -> Stage:
    """Return a cluster of three nodes with a template, two machines and a container."""
    console = Console(SHARED)
    cluster = console.cluster
    cluster.add_guest(218)
    cluster.add_guest(219, running=True)
    cluster.add_container(300)
    cluster.advance(30)
    return Stage(console)

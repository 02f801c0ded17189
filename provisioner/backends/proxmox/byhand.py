"""What the command line calls beyond the daemon, and what Proxmox wants for it.

Kept apart so that each token has what its own program uses: the daemon's opens no console and
reads no file in a guest, for it has no need to.
"""

from collections.abc import Mapping
from typing import Final

from provisioner.backends.proxmox.privileges import CALLS, Need, Scope

_VM: Final = "/nodes/{node}/qemu/{vmid}"
_CONTAINER: Final = "/nodes/{node}/lxc/{vmid}"
_UNRESTRICTED: Final = "VM.GuestAgent.Unrestricted"


def _machine(*privileges: str) -> Need:
    return Need(Scope.MACHINES, privileges)


#: The keys that limits are written into, and which privilege each takes.
KEYS: Final[Mapping[tuple[str, ...], tuple[str, ...]]] = {
    ("VM.Config.CPU",): ("cpuunits", "cpulimit"),
    ("VM.Config.Network",): ("net0",),
    ("VM.Config.Disk",): ("scsi0",),
}

#: The same of a container: Proxmox limits no operations of its root.
CONTAINER_KEYS: Final[Mapping[tuple[str, ...], tuple[str, ...]]] = {
    ("VM.Config.CPU",): ("cpuunits", "cpulimit"),
    ("VM.Config.Network",): ("net0",),
}


def _of_guests(guest: str) -> Mapping[str, tuple[Need, ...]]:
    """Return the calls that are made about a guest of either kind."""
    return {
        f"POST {guest}/status/reboot": (_machine("VM.PowerMgmt"),),
        f"POST {guest}/vncproxy": (_machine("VM.Console"),),
        f"DELETE {guest}/snapshot/{{snapname}}": (_machine("VM.Snapshot"),),
    }


BY_HAND: Final[Mapping[str, tuple[Need, ...]]] = {
    **_of_guests(_VM),
    f"GET {_VM}/agent/get-fsinfo": (
        Need(Scope.MACHINES, ("VM.Monitor",), ("VM.GuestAgent.Audit", _UNRESTRICTED)),
    ),
    **_of_guests(_CONTAINER),
}

#: Everything that the command line calls.
ALL: Final[Mapping[str, tuple[Need, ...]]] = {**CALLS, **BY_HAND}

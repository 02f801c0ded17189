"""What the command line calls beyond the daemon, and what Proxmox wants for it.

Kept apart so that each token has what its own program uses: the daemon's opens no console and
reads no file in a guest, for it has no need to.
"""

from collections.abc import Mapping
from typing import Final

from provisioner.backends.proxmox.privileges import CALLS, Need, Scope

_GUEST: Final = "/nodes/{node}/qemu/{vmid}"
_UNRESTRICTED: Final = "VM.GuestAgent.Unrestricted"


def _machine(*privileges: str) -> Need:
    return Need(Scope.MACHINES, privileges)


#: The keys that limits are written into, and which privilege each takes.
KEYS: Final[Mapping[tuple[str, ...], tuple[str, ...]]] = {
    ("VM.Config.CPU",): ("cpuunits", "cpulimit"),
    ("VM.Config.Network",): ("net0",),
    ("VM.Config.Disk",): ("scsi0",),
}

BY_HAND: Final[Mapping[str, tuple[Need, ...]]] = {
    f"POST {_GUEST}/status/reboot": (_machine("VM.PowerMgmt"),),
    f"POST {_GUEST}/vncproxy": (_machine("VM.Console"),),
    f"GET {_GUEST}/snapshot": (_machine("VM.Audit"),),
    f"POST {_GUEST}/snapshot": (_machine("VM.Snapshot"),),
    f"POST {_GUEST}/snapshot/{{snapname}}/rollback": (
        _machine("VM.Snapshot", "VM.Snapshot.Rollback"),
    ),
    f"DELETE {_GUEST}/snapshot/{{snapname}}": (_machine("VM.Snapshot"),),
    f"GET {_GUEST}/agent/get-fsinfo": (
        Need(Scope.MACHINES, ("VM.Monitor",), ("VM.GuestAgent.Audit", _UNRESTRICTED)),
    ),
    f"GET {_GUEST}/agent/file-read": (
        Need(Scope.MACHINES, ("VM.Monitor",), ("VM.GuestAgent.FileRead", _UNRESTRICTED)),
    ),
}

#: Everything that the command line calls.
ALL: Final[Mapping[str, tuple[Need, ...]]] = {**CALLS, **BY_HAND}

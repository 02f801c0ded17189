"""What the command line calls beyond the daemon, and what Proxmox wants for it.

Kept apart so that each token has what its own program uses: the daemon takes no snapshot away, and
reboots nothing, for it has no need to. Screens are opened by both, the daemon's only where that is
switched on.
"""

from collections.abc import Mapping
from typing import Final

from provisioner.backends.proxmox.privileges import CALLS, CONSOLE_CALLS, Need, Scope

_VM: Final = "/nodes/{node}/qemu/{vmid}"
_CONTAINER: Final = "/nodes/{node}/lxc/{vmid}"


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
        f"DELETE {guest}/snapshot/{{snapname}}": (_machine("VM.Snapshot"),),
    }


BY_HAND: Final[Mapping[str, tuple[Need, ...]]] = {
    **_of_guests(_VM),
    **_of_guests(_CONTAINER),
}

#: Everything that the command line calls.
ALL: Final[Mapping[str, tuple[Need, ...]]] = {**CALLS, **CONSOLE_CALLS, **BY_HAND}

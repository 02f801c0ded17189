"""What a guest's cloud-init drive says where its user-data is a snippet of its node.

Proxmox reads the snippet when the guest starts: one that is not there keeps it from starting. Only
as much of it is understood as decides who can enter.
"""

from dataclasses import replace

import yaml

from provisioner.simulator.guestos import CloudInit
from provisioner.simulator.guests import Guest
from provisioner.simulator.state import State


def missing_snippet(state: State, guest: Guest) -> str | None:
    """Return the id of a volume that the guest's cloud-init needs and its node does not have."""
    volume = _volume(guest)
    return volume if volume and _content(state, guest, volume) is None else None


def cloud_init(state: State, guest: Guest) -> CloudInit | None:
    """Return what the cloud-init drive says, or None without such a drive."""
    generated, volume = guest.cloud_init(), _volume(guest)
    if generated is None or not volume:
        return generated
    data = yaml.safe_load(_content(state, guest, volume) or b"") or {}
    account = (data.get("users") or [{}])[0]
    return replace(
        generated,
        hostname=str(data.get("hostname", generated.hostname)),
        user=account.get("name"),
        password=None,
        keys=tuple(account.get("ssh_authorized_keys") or ()),
        gecos=account.get("gecos") or "",
    )


def _volume(guest: Guest) -> str:
    parts = str(guest.config.get("cicustom", "")).split(",")
    return next((part.removeprefix("user=") for part in parts if part.startswith("user=")), "")


def _content(state: State, guest: Guest, volume: str) -> bytes | None:
    storage, _, path = volume.partition(":")
    system = state.systems.get(guest.node)
    if system is None or storage not in state.storages:
        return None
    return system.snippets.get(path.removeprefix("snippets/"))

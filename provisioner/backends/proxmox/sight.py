"""Whether a token sees the machines that are there, so that one that is not shown is not there.

A list without a machine says nothing to a token that may not see machines, though it shows the
templates. The daemon knows its machines and asks for them by their VMIDs; a command knows none but
by the list, and has to know that it is whole. What a token may do, it may ask without a privilege.
"""

from typing import Final

from provisioner.backends.proxmox.answers import flag, record
from provisioner.backends.proxmox.api import Api
from provisioner.backends.proxmox.errors import reading
from provisioner.errors import Untrusted

PATH: Final = "/access/permissions"
AUDIT: Final = "VM.Audit"
ALL: Final = "/vms"


async def require_sight(api: Api, pool: str | None) -> None:
    """Raise Untrusted unless the token sees every machine of `pool`, or of the cluster.

    What holds on a pool holds for its guests; what holds on all guests has to go on below.
    """
    with reading("what the token may see"):
        where = None if pool is None else f"/pool/{pool}"
        if where is not None and AUDIT in await _held(api, where):
            return
        if (await _held(api, ALL)).get(AUDIT):
            return
    raise Untrusted(
        "the list of the cluster may lack machines: has the token lost its permissions? It has no "
        f"{AUDIT} on {where or ALL}; `provisioner grant` prints the commands that grant it"
    )


async def _held(api: Api, path: str) -> dict[str, bool]:
    """Return the privileges on a path, and whether they go on below it."""
    told = record(await api.call("GET", PATH, {"path": path}), "permissions").get(path)
    names = record(told or {}, path)
    return {name: flag(names, name) for name in names}

"""How large the disks on a storage may grow: what Proxmox lists there, whoever's it is.

`size` is what a guest sees of its disk on every kind of storage, thin or thick, and a linked clone
has its own besides its base's. `content` takes one kind only, so nothing is asked for and what is
no disk is left out. Of a template whose own access list has no `VM.Config.Disk` no disk is listed.
Sources: the API schema of 8.4 and 9.1, what an 8.4.21 answered, and pve-storage.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from provisioner.backends.proxmox.answers import number, records, text
from provisioner.backends.proxmox.api import Api
from provisioner.backends.proxmox.bynode import ByNode
from provisioner.backends.proxmox.errors import reading
from provisioner.faultpoints import guarded

_DISKS: Final = frozenset({"images", "rootdir"})


class ProxmoxVolumes:
    """See `provisioner.sold_storage.VolumeLists`."""

    def __init__(self, api: Api) -> None:
        self._api: Api = ByNode(api)

    @guarded("volumes.sizes")
    async def sizes(self, node: str, storage: str) -> Mapping[int, int]:
        """Add up the disks by VMID; a directory of many images takes seconds to list."""
        path = f"/nodes/{node}/storage/{storage}/content"
        with reading(f"what is sold of {storage}"):
            rows = records(await self._api.call("GET", path, slow=True), path)
        found: Counter[int] = Counter()
        for row in rows:
            if text(row, "content") in _DISKS:
                found[number(row, "vmid")] += number(row, "size")
        return found

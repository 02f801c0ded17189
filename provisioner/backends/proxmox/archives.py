"""Backups on a storage: made by `vzdump`, found by listing, restored, deleted.

An archive carries a note of ours, and is protected, so that no pruning of anybody's takes it. The
list shows a note's first line only, and ours has only one. What failed inside a job is told by its
exit status (`job errors`) and its log. Sources: the API schema of 8.4 and 9.1; that a restore takes
name and description in the same call, qemu-server.
"""

from collections.abc import Sequence
from typing import Final

from provisioner.backends.proxmox.answers import flag, number, records, text, upid
from provisioner.backends.proxmox.api import Api, ApiError, ParamValue
from provisioner.backends.proxmox.bynode import ByNode
from provisioner.backends.proxmox.errors import reading, sentence, writing
from provisioner.backends.proxmox.settings import ProxmoxSettings
from provisioner.faultpoints import guarded
from provisioner.model import Archive, Kind

#: How an archive is packed: quick, and no larger than the alternatives.
COMPRESS: Final = "zstd"


class ProxmoxArchives:
    """See `provisioner.archives.ArchiveStore`."""

    def __init__(self, api: Api, settings: ProxmoxSettings) -> None:
        self._api: Api = ByNode(api)
        self._settings = settings

    @guarded("archive.archives")
    async def archives(self, node: str, storage: str) -> Sequence[Archive] | None:
        """List the backups that a node sees; None on a node without the storage."""
        path = f"/nodes/{node}/storage/{storage}/content"
        with reading(f"the backups on {storage}"):
            try:
                rows = records(await self._api.call("GET", path, {"content": "backup"}), path)
            except ApiError as error:
                if "is not available on node" in sentence(error):
                    return None
                raise
        return [
            Archive(
                volid=text(row, "volid"),
                vmid=number(row, "vmid"),
                made_at=number(row, "ctime"),
                size=number(row, "size"),
                notes=text(row, "notes"),
                kind=Kind.CONTAINER if text(row, "subtype") == "lxc" else Kind.VM,
                protected=flag(row, "protected"),
            )
            for row in rows
        ]

    @guarded("archive.back_up")
    async def back_up(self, node: str, vmid: int, storage: str, mode: str, note: str) -> str:
        """Make a backup; older ones of the VMID are left alone, they may be somebody else's."""
        params: dict[str, ParamValue] = {
            "vmid": str(vmid),
            "storage": storage,
            "mode": mode,
            "compress": COMPRESS,
            "notes-template": note,
            "protected": True,
            "remove": False,
        }
        with writing(f"backup of {vmid}"):
            data = await self._api.call("POST", f"/nodes/{node}/vzdump", params)
        return upid(data, f"backup of {vmid}")

    @guarded("archive.restore")
    async def restore(
        self,
        node: str,
        vmid: int,
        volid: str,
        name: str,
        description: str,
        *,
        storage: str,
        kind: Kind = Kind.VM,
    ) -> str:
        """Restore to a VMID that is free: Proxmox refuses one that exists."""
        container = kind is Kind.CONTAINER
        params: dict[str, ParamValue] = {
            "vmid": vmid,
            "storage": storage,
            "unique": False,
            "description": description.rstrip(),
        }
        params |= (
            {"ostemplate": volid, "restore": True, "hostname": name}
            if container
            else {"archive": volid, "name": name}
        )
        if self._settings.pool is not None:
            params["pool"] = self._settings.pool
        with writing(f"restore of {vmid}"):
            path = f"/nodes/{node}/{'lxc' if container else 'qemu'}"
            return upid(await self._api.call("POST", path, params), f"restore of {vmid}")

    @guarded("archive.protect")
    async def protect(self, node: str, storage: str, volid: str) -> None:
        """Put the protection of a backup on, be it there already."""
        path = f"/nodes/{node}/storage/{storage}/content/{volid}"
        with writing(f"protect {volid}"):
            await self._api.call("PUT", path, {"protected": True})

    @guarded("archive.drop")
    async def drop(self, node: str, storage: str, volid: str) -> str | None:
        """Take the protection off a backup and delete it; returns the UPID, if there is a task."""
        path = f"/nodes/{node}/storage/{storage}/content/{volid}"
        with writing(f"delete {volid}"):
            await self._api.call("PUT", path, {"protected": False})
            data = await self._api.call("DELETE", path)
        return data if isinstance(data, str) else None

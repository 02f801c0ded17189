"""The archives that containers are made of: which node sees one, and a warning where some do not.

A storage that is not shared has its own files on each node, under the same volume's id. Source: the
API schema of 8.4 and 9.1; that a create fails where the volume is not, pve-storage.
"""

from collections.abc import Sequence
from typing import Final

from provisioner.backends.proxmox.answers import Record, records, text
from provisioner.backends.proxmox.api import Api
from provisioner.backends.proxmox.bynode import ByNode
from provisioner.backends.proxmox.errors import reading
from provisioner.backends.proxmox.remarks import Remark
from provisioner.backends.proxmox.settings import ProxmoxSettings
from provisioner.backends.proxmox.snapshot import archive_rows
from provisioner.faultpoints import guarded
from provisioner.ostemplates import OsTemplate

SUBJECT: Final = "OS template"


class ProxmoxOsTemplates:
    """See `provisioner.ostemplates.OsTemplateStore`."""

    def __init__(self, api: Api) -> None:
        self._api: Api = ByNode(api)

    @guarded("ostemplate.holds")
    async def holds(self, node: str, volume: str) -> bool:
        """List the archives on the volume's storage as a node sees it."""
        path = f"/nodes/{node}/storage/{volume.partition(':')[0]}/content"
        with reading(f"the archives for containers on {node}"):
            rows = records(await self._api.call("GET", path, {"content": "vztmpl"}), path)
        return any(text(row, "volid") == volume for row in rows)


def os_template(api: Api, settings: ProxmoxSettings) -> OsTemplate:
    """Return the archive that containers are made of by these settings."""
    return OsTemplate(ProxmoxOsTemplates(api), settings.os_template, settings.container_storage)


async def about(
    api: Api, settings: ProxmoxSettings, rows: Sequence[Record], allowed: frozenset[str]
) -> list[Remark]:
    """Warn where none or not all of the nodes have it; `allowed` nodes alone, unless empty.

    `rows` are the cluster's resources.
    """
    volume, nodes = settings.os_template, _online(rows, allowed)
    if volume is None or not nodes:
        return []
    template = os_template(api, settings)
    sought = await template.seek(nodes, archive_rows(rows), 0)
    if not sought.lacks:
        return [Remark(SUBJECT, ok=True, text=f"{volume} is on {', '.join(nodes)}")]
    some = f"containers are made only on {', '.join(sorted(sought.there))}"
    made = some if sought.there else "no container can be made"
    others = [f"{node}: {why}" for node, why in sought.lacks.items() if node not in sought.missing]
    told = "; ".join(each for each in (*others, template.remedy(sought)) if each)
    return [Remark(SUBJECT, ok=True, text=f"{made}: {told}", warning=True)]


def _online(rows: Sequence[Record], allowed: frozenset[str]) -> list[str]:
    named = (
        text(row, "node")
        for row in rows
        if text(row, "type") == "node" and text(row, "status") == "online"
    )
    return sorted(name for name in named if not allowed or name in allowed)

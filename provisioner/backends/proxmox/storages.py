"""What the storages of a cluster have to be like for the disks that are meant for them.

A linked clone hangs on its template's disk, which not every kind of storage can do; Proxmox says so
when the first one is asked for. Which kinds cannot is known from the source of 8 and 9: thick LVM
and plain iSCSI; a kind that is not known here gets the benefit of the doubt.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from provisioner.backends.proxmox.answers import Record, text
from provisioner.backends.proxmox.remarks import DRIVE, Remark

#: Kinds of storage without linked clones.
UNLINKED: Final = frozenset({"lvm", "iscsi", "iscsidirect"})
_DISKS: Final = frozenset({"images", "rootdir"})


def about(wanted: Sequence[str], rows: Sequence[Record]) -> Iterator[Remark]:
    """Say of each storage that disks are copied to whether it is there and takes disks."""
    shown = {text(row, "storage"): row for row in rows if text(row, "type") == "storage"}
    for name in wanted:
        if name not in shown:
            what = (
                "the cluster does not show it: is it there and enabled, and may the token see it?"
            )
        elif _DISKS.isdisjoint(text(shown[name], "content").split(",")):
            what = "it takes no disks: on a node, pvesm set NAME --content images,rootdir"
        else:
            continue
        yield Remark(f"storage {name}", ok=False, text=what.replace("NAME", name))


def unlinked(template: Record | str, rows: Sequence[Record]) -> Iterator[str]:
    """Yield why no linked clone can be made of a template."""
    if isinstance(template, str):
        return
    kinds = {text(row, "storage"): text(row, "plugintype") for row in rows}
    for key in sorted(key for key in template if DRIVE.fullmatch(key)):
        line = text(template, key)
        name = line.partition(":")[0]
        if kinds.get(name) in UNLINKED and "media=cdrom" not in line:
            yield (
                f"its disk {key} lies on {name} ({kinds[name]}), which has no linked clones: write "
                'clone = "full", or move the disk'
            )

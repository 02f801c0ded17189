"""A guest's snapshots as the API has them: what may be one's name, and which there are."""

import re
from collections.abc import Sequence
from typing import Final

from provisioner.backends.proxmox.answers import number, records, text
from provisioner.backends.proxmox.api import Api
from provisioner.errors import Declined
from provisioner.ports import SnapshotRow

#: What may be a snapshot's name.
_NAME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]{1,39}")
#: What Proxmox calls the guest as it is now, in its list of snapshots.
_NOW: Final = "current"


def named(name: str) -> str:
    """Return a snapshot's name; one that is none must not reach a path. Raises Declined."""
    if not _NAME.fullmatch(name) or name == _NOW:
        raise Declined(
            f"{name!r} is no name for a snapshot: a letter, then letters, digits, - and _, "
            "2 to 40 in all"
        )
    return name


async def read_snapshots(api: Api, guest: str) -> Sequence[SnapshotRow]:
    """List the snapshots of the guest at the path `guest`, the oldest first."""
    path = f"{guest}/snapshot"
    rows = records(await api.call("GET", path), path)
    found = [
        SnapshotRow(text(row, "name"), text(row, "description"), number(row, "snaptime"))
        for row in rows
        if text(row, "name") != _NOW
    ]
    return sorted(found, key=lambda row: row.taken_at)

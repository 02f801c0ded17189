"""Cloud-init snippets: which one a machine has, and what is in it. Pure.

A snippet's name carries its machine's VMID and a hash of its content, so that one name never stands
for two contents, and whoever finds one knows whose it is.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from provisioner.model import DesiredMachine

_NAME: Final = re.compile(r"chainwatch-([1-9][0-9]{2,8})-[0-9a-f]{8,64}\.yaml")


@dataclass(frozen=True, slots=True)
class Snippets:
    """How machines get user-data of ours: `storage` keeps it, `render` makes it.

    `render` gets the machine that is wanted, its VMID and its uuid, and may raise Permanent. It
    returns None for a machine that has none of ours.
    """

    storage: str
    render: Callable[[DesiredMachine, int, str], str | None]

    def content(self, want: DesiredMachine, vmid: int, uuid: str) -> bytes | None:
        """Return the user-data of `want` at `vmid`, None where it has none of ours."""
        text = self.render(want, vmid, uuid)
        return None if text is None else text.encode()

    def cicustom(self, want: DesiredMachine, vmid: int, uuid: str) -> str:
        """Return the setting that names the user-data of `want` at `vmid`; empty without any."""
        content = self.content(want, vmid, uuid)
        if content is None:
            return ""
        digest = hashlib.sha256(content).hexdigest()[:16]
        return f"user={self.storage}:snippets/chainwatch-{vmid}-{digest}.yaml"


def name_in(cicustom: str) -> str:
    """Return the name of the snippet that a setting of ours names, empty for any other."""
    name = cicustom.rpartition("/")[2]
    return name if _NAME.fullmatch(name) else ""


def vmid_of(name: str) -> int:
    """Return whose snippet it is. Raises ValueError for a name that is none of ours."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise ValueError(f"{name!r} is no name of a snippet")
    return int(found[1])

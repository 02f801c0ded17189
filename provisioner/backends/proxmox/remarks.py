"""What an inspection says of a cluster: a remark for each thing that was looked at. Pure words."""

import re
from dataclasses import dataclass
from typing import Final

#: The key of a disk in a virtual machine's configuration.
DRIVE: Final = re.compile(r"(ide|sata|scsi|virtio)\d+")


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing that was looked at; a `warning` is nothing that keeps machines from working."""

    subject: str
    ok: bool
    text: str
    warning: bool = False

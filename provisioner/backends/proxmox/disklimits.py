"""What a disk may take, as it stands in the line that names the disk's volume.

Of Proxmox's many keys those for reading and for writing are ours; whatever else limits (totals,
bursts and how long they last) is kept as one text, `other`. QEMU takes no total beside a limit for
one direction and no burst below it, so whoever writes limits of his own leaves none of these. The
rest of the line is never touched: it says which volume it is.
"""

import re
from typing import Final

from provisioner.backends.proxmox.values import limit, plain, properties
from provisioner.terms import DiskLimits

_OURS: Final = ("mbps_rd", "mbps_wr", "iops_rd", "iops_wr")
_LIMIT: Final = re.compile(r"(mbps|bps|iops)(_rd|_wr)?(_max)?(_length)?")


def read(line: str) -> DiskLimits:
    """Return the limits that a disk's line says."""
    told = properties(line)
    mbps_read, mbps_write, iops_read, iops_write = (limit(told.get(key, "")) for key in _OURS)
    other = [part for part in line.split(",") if _is_limit(part) and _key(part) not in _OURS]
    return DiskLimits(
        mbps_read, mbps_write, int(iops_read), int(iops_write), ",".join(sorted(other))
    )


def write(line: str, limits: DiskLimits) -> str:
    """Return a disk's line with exactly these limits; as it is where it says them already."""
    if read(line) == limits:
        return line
    ours = (limits.mbps_read, limits.mbps_write, limits.iops_read, limits.iops_write)
    kept = [part for part in line.split(",") if not _is_limit(part)]
    said = [f"{key}={plain(value)}" for key, value in zip(_OURS, ours, strict=True) if value]
    return ",".join([*kept, *said, *filter(None, [limits.other])])


def _key(part: str) -> str:
    return part.partition("=")[0]


def _is_limit(part: str) -> bool:
    return bool(_LIMIT.fullmatch(_key(part)))

"""What is said where nothing can be made: why of each node, and what to do. Pure."""

from collections.abc import Sequence
from typing import Final

from provisioner.placement import NO_STORAGE, Demand, NodeState, Openings

STORAGE_BACK: Final = "bring the storage back: enable it, mount it, give it to the node"


def unpacked_nowhere(demand: Demand, found: Openings, remedy: str, *, elsewhere: bool) -> str:
    """Say why no container can be made where some nodes lack what it is made of."""
    said = f"no node has what a container of {_size(demand)} needs ({'; '.join(_reasons(found))})"
    more = ", or add capacity where it is" if elsewhere else ""
    return f"{said}: {remedy}{more}; it then goes on by itself"


def nowhere(demand: Demand, found: Openings, missing: Sequence[int]) -> str:
    """Say why no machine can be made; `missing` are templates that the cluster does not show."""
    said = _reasons(found)
    if missing:
        said.append(f"the cluster does not show template {', '.join(map(str, missing))}")
    return f"no node has room for {_size(demand)} ({'; '.join(said)}): add capacity, or wait"


def _reasons(found: Openings) -> list[str]:
    """Return why each node takes no machine, and what brings back what is away."""
    said = list(found.reasons)
    if any(each.endswith(f": {NodeState.OFFLINE}") for each in said):
        said.append("where a node is away now, bring it back")
    if any(each.endswith(NO_STORAGE) for each in said):
        said.append(f"where a storage is away now, {STORAGE_BACK}")
    return said


def _size(demand: Demand) -> str:
    return f"{demand.memory_mib} MiB of memory and {demand.disk_gib} GiB of disk"

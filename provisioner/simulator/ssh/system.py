"""What of a node's own system is simulated: its snippets, its routes, and isolated bridge ports.

A route lasts until the node boots, the isolation of a guest's ports until the guest starts again,
for its ports are made anew then: both are kept with the boot that they belong to.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class HelperRules:
    """The configuration of the helper: what its user may touch."""

    vmid_first: int = 100
    vmid_last: int = 999_999_999
    prefix: str = "2001:db8::/32"
    bridges: tuple[str, ...] = ("vmbr0",)


@dataclass(slots=True)
class NodeSystem:
    """One node's; `routes` maps an address to its bridge and the node's boot (virtual seconds).

    `isolated` maps a VMID to the boot of the guest that its ports belong to.
    """

    rules: HelperRules = HelperRules()
    snippets: dict[str, bytes] = field(default_factory=dict)
    routes: dict[str, tuple[str, float]] = field(default_factory=dict)
    isolated: dict[int, int] = field(default_factory=dict)

"""What a look at the cluster comes to: where one machine can be made, and how full all is."""

from collections.abc import Sequence
from dataclasses import dataclass

from provisioner.placement import Demand, Limits, Spot, View, pick, places


@dataclass(frozen=True, slots=True)
class Offer:
    """The spots with room for one machine, the best first, and how full everything is."""

    seen: View
    spots: Sequence[Spot]
    limits: Limits
    demand: Demand

    @property
    def places(self) -> int:
        """How many clones may be begun now on the storages that have room."""
        return places(self.seen, (spot.shelf for spot in self.spots), self.limits)

    def pick(self) -> Spot | None:
        """Return the best spot where a clone may be begun now."""
        return pick(self.seen, self.spots, self.limits)


@dataclass(frozen=True, slots=True)
class Fullness:
    """How full everything was when the cluster was last looked at (monotonic s).

    `missing` are the configured templates that the cluster does not show.
    """

    at: float
    seen: View
    missing: tuple[int, ...]

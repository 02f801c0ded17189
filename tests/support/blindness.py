"""What nobody may ask for while he cannot tell what there is: that a guest be made, or destroyed.

Whether the cluster would refuse it does not count: it is the asking that is judged, by the record
of calls. The call that the mode struck was under way, and is no question of what was known. What
is made, and what is done to a backup that proves by itself whose it is, may rest on a list that is
no older than `EVIDENCE`. No guest is destroyed even then, for its own configuration has to be read;
that it may be asked for, where the cluster refuses it, is how a lost quorum shows.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from provisioner.machines import EVIDENCE
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.faults import Struck
from provisioner.simulator.state import CALL_LOG, CallRecord

#: Modes, and those of their forms, in which nothing may be made, and nothing destroyed.
BLIND: Final = frozenset({(13, 0), (29, 0), (29, 1)})
#: Those in which the lists show something, so that what is missing is asked for by its number.
PURBLIND: Final = frozenset({(29, 2)})
_MAKES: Final = re.compile(r"/nodes/[^/]+/(qemu|lxc)(/\d+/clone)?")
_GUEST: Final = re.compile(r"/nodes/[^/]+/(qemu|lxc)/\d+")
_VOLUME: Final = re.compile(r"/nodes/[^/]+/storage/[^/]+/content/.+")


@dataclass(frozen=True, slots=True)
class Strike:
    """When a mode struck, and which call; `calls` had been answered before."""

    at: float
    method: str
    path: str
    calls: int

    @classmethod
    def now(cls, cluster: Cluster, struck: Struck) -> "Strike":
        """Return the strike that happens right now."""
        return cls(cluster.now, struck.method, struck.path, len(cluster.state.calls))

    def forbidden(self, cluster: Cluster, mode: int, form: int) -> Sequence[str]:
        """Return what was asked for since then and must not have been."""
        return [
            f"{call.method} {call.path} after {call.at - self.at:.1f} s"
            for call in self._since(cluster)
            if self._wrong(call, (mode, form))
        ]

    def _wrong(self, call: CallRecord, struck_by: tuple[int, int]) -> bool:
        late = call.at > self.at + EVIDENCE
        if destroys(call):
            return struck_by in BLIND | PURBLIND and (late or call.status == 200)
        return (makes(call) or drops(call)) and struck_by in BLIND and late

    def _since(self, cluster: Cluster) -> Sequence[CallRecord]:
        """Return the calls since then, without the one that was struck."""
        log = cluster.inventory().call_log
        assert len(log) < CALL_LOG, f"{len(log)} calls or more: the first ones are forgotten"
        since = [call for call in log[self.calls :] if call.at >= self.at]
        struck = (call for call in since if (call.method, call.path) == (self.method, self.path))
        first = next(struck, None)
        return [call for call in since if call is not first]


def makes(call: CallRecord) -> bool:
    """Say whether a call asks for a guest to be made."""
    return call.method == "POST" and _MAKES.fullmatch(call.path) is not None


def destroys(call: CallRecord) -> bool:
    """Say whether a call asks for a guest to be destroyed."""
    return call.method == "DELETE" and _GUEST.fullmatch(call.path) is not None


def drops(call: CallRecord) -> bool:
    """Say whether a call asks for a backup to be deleted."""
    return call.method == "DELETE" and _VOLUME.fullmatch(call.path) is not None

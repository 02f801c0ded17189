"""Our way to a cluster on which somebody lies in wait for a call of ours, and acts right before it.

A call whose answer was given up arrives all the same: by `arrived` all have that do not say whom
they mean, and until then nobody may stand where they are bound for.
"""

from collections.abc import Callable, Mapping
from typing import Final

from provisioner.backends.proxmox.api import JsonValue, ParamValue, ReplyLost
from provisioner.simulator.direct import DirectApi

#: Within how many seconds a call arrives whose answer was given up.
LATEST: Final = 10


class Ambushed(DirectApi):
    """`ambush` is a call's method and the end of its path, and what is done before it, once."""

    ambush: tuple[str, str, Callable[[], None]] | None = None
    arrived: float = 0

    async def call(
        self,
        method: str,
        path: str,
        params: Mapping[str, ParamValue] | None = None,
        *,
        slow: bool = False,
    ) -> JsonValue:
        """Call, but not before who waits for it has done what he waits for."""
        if self.ambush is not None and (method, True) == (
            self.ambush[0],
            path.endswith(self.ambush[1]),
        ):
            act, self.ambush = self.ambush[2], None
            act()
        try:
            return await super().call(method, path, params, slow=slow)
        except ReplyLost:
            if "digest" not in (params or {}):
                self.arrived = self._cluster.now + LATEST
            raise

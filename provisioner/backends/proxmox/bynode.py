"""What concerns one node is that node's trouble, and not the hypervisor's.

Whoever we call passes a call for `/nodes/NODE/…` on to that node. That it finds no way there (595),
or does not know it, is its own answer, so the cluster can be asked and only what stands on that
node has to wait. How it fails: a cluster that answers for a node's name with a 595 for ever, which
the alarm about the node then tells.
"""

import re
from collections.abc import Mapping
from typing import Final

from provisioner.backends.proxmox.api import Api, ApiError, JsonValue, ParamValue
from provisioner.errors import NodeDown

_PATH: Final = re.compile(r"/nodes/([^/]+)")
_UNKNOWN: Final = re.compile(r"hostname lookup '.*' failed|no such cluster node")


class ByNode:
    """An `Api` that raises NodeDown where another one says that it does not reach a node."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def call(
        self,
        method: str,
        path: str,
        params: Mapping[str, ParamValue] | None = None,
        *,
        slow: bool = False,
    ) -> JsonValue:
        """Do one call and return its `data`; see `Api.call`. Raises NodeDown."""
        try:
            return await self._api.call(method, path, params, slow=slow)
        except ApiError as error:
            node = _PATH.match(path)
            if node is not None and (error.status == 595 or _UNKNOWN.search(error.reason)):
                raise NodeDown(node[1], error.reason.strip() or "595") from error
            raise

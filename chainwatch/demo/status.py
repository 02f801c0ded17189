"""What the daemon says about itself, asked where an operator asks: its status socket."""

from dataclasses import dataclass
from pathlib import Path

import aiohttp
from pydantic import TypeAdapter

from chainwatch.control.readings import LeaseLine
from chainwatch.control.survey import Orphan

_LEASES = TypeAdapter(list[LeaseLine])
_ORPHANS = TypeAdapter(list[Orphan])


@dataclass(frozen=True, slots=True)
class StatusSocket:
    """The socket at `path`; a daemon that does not answer knows nothing and is not ready."""

    path: Path

    async def ready(self) -> bool:
        """Say whether a daemon answers and finds itself ready for work."""
        return await self._get("readyz") is not None

    async def leases(self) -> dict[str, LeaseLine]:
        """Return every lease that the daemon knows, by its id."""
        found = await self._get("leases")
        return {line.id: line for line in _LEASES.validate_json(found or b"[]")}

    async def orphans(self) -> dict[int, Orphan]:
        """Return the machines that the daemon will not touch, by VMID."""
        found = await self._get("orphans")
        return {each.vmid: each for each in _ORPHANS.validate_json(found or b"[]")}

    async def _get(self, what: str) -> bytes | None:
        connector = aiohttp.UnixConnector(str(self.path))
        async with aiohttp.ClientSession(connector=connector) as session:
            try:
                async with session.get(f"http://chainwatch/{what}") as answer:
                    return await answer.read() if answer.status == 200 else None
            except (aiohttp.ClientError, OSError):
                return None

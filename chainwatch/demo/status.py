"""What the daemon says about itself, asked where an operator asks: its status socket."""

from dataclasses import dataclass
from pathlib import Path

import aiohttp
from pydantic import TypeAdapter

from chainwatch.control.readings import LeaseLine
from chainwatch.control.resync import Orphan

_LEASES = TypeAdapter(list[LeaseLine])
_ORPHANS = TypeAdapter(list[Orphan])


@dataclass(frozen=True, slots=True)
class StatusSocket:
    """The socket at `path`, which is only there while a daemon runs."""

    path: Path

    async def ready(self) -> bool:
        """Say whether a daemon answers and finds itself ready for work."""
        try:
            status, _ = await self._get("readyz")
        except OSError:
            return False
        return status == 200

    async def leases(self) -> dict[str, LeaseLine]:
        """Return every lease that the daemon knows, by its id."""
        return {line.id: line for line in _LEASES.validate_json(await self._read("leases"))}

    async def orphans(self) -> dict[int, Orphan]:
        """Return the machines that the daemon will not touch, by VMID."""
        return {each.vmid: each for each in _ORPHANS.validate_json(await self._read("orphans"))}

    async def _read(self, what: str) -> bytes:
        status, body = await self._get(what)
        if status != 200:
            raise RuntimeError(f"GET /{what}: {status} {body.decode()}")
        return body

    async def _get(self, what: str) -> tuple[int, bytes]:
        connector = aiohttp.UnixConnector(str(self.path))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(f"http://chainwatch/{what}") as answer,
        ):
            return answer.status, await answer.read()

"""The one shape in which Proxmox is called, whatever carries the call.

A call either returns the `data` of the answer or raises one of three errors that differ in what is
known afterwards: `ApiError` (Proxmox said no), `Unreachable` (it was never asked), `ReplyLost` (it
was asked, and may have obeyed). Two transports exist: proxmoxer over TLS, and the simulator in the
same process. Whoever adds a third must keep these three apart: taking a lost reply for a refusal is
how machines leak.
"""

from collections.abc import Mapping
from typing import Protocol, TypeAlias

#: A parameter; a tuple is one that is repeated (the words of an agent's command).
ParamValue: TypeAlias = str | int | bool | tuple[str, ...]
JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"


class ApiError(Exception):
    """Proxmox answered with an error: `status`, the text of the `reason` phrase, and the body."""

    def __init__(self, status: int, reason: str, body: str = "") -> None:
        super().__init__(f"{status} {reason}".strip())
        self.status = status
        self.reason = reason
        self.body = body


class Unreachable(Exception):
    """No connection was made, so nothing happened (595, refused, no route)."""


class ReplyLost(Exception):
    """The request went out and no answer came back: it may have happened (596, reset, timeout)."""


class Api(Protocol):
    """A way to call the API of one cluster as one token."""

    async def call(
        self,
        method: str,
        path: str,
        params: Mapping[str, ParamValue] | None = None,
        *,
        slow: bool = False,
    ) -> JsonValue:
        """Do `method` on `path` (below `/api2/json`, no leading host) and return its `data`.

        `slow` asks for a thread of its own, for calls that Proxmox holds for seconds (agent).
        Raises ApiError, Unreachable or ReplyLost.
        """
        ...

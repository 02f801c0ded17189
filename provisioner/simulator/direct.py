"""The in-process transport: a simulated cluster called on virtual time.

It answers what the HTTPS front would, without sockets: a call that has to wait moves the cluster's
clock, and one that waits longer than the client's patience is a `ReplyLost` whose effect still
comes. A test that needs two calls at once uses `Cluster.submit`.
"""

import json
from collections.abc import Awaitable, Callable, Mapping

from provisioner.backends.proxmox.api import (
    ApiError,
    JsonValue,
    ParamValue,
    ReplyLost,
    Unreachable,
)
from provisioner.simulator.cluster import Call, Cluster
from provisioner.simulator.wire import ApiRequest, ApiResponse, Fate, ParamText


class DirectApi:
    """An `Api` over `cluster` as one token; `patience` is the client's timeout in seconds.

    `sleep` lets the caller's own clock pass while a call waits, so that others get their turn.
    """

    def __init__(
        self,
        cluster: Cluster,
        token: str | None = None,
        *,
        patience: float = 35.0,
        sleep: Callable[[float], Awaitable[None]] | None = None,
    ) -> None:
        self._cluster = cluster
        self._sleep = sleep
        self._token = token or cluster.default_token()
        self._patience = patience

    async def call(
        self,
        method: str,
        path: str,
        params: Mapping[str, ParamValue] | None = None,
        *,
        slow: bool = False,  # noqa: ARG002 - threads are the other transport's affair
    ) -> JsonValue:
        """Do `method` on `path` and return its data; raises as `Api.call` says."""
        given = {name: as_text(value) for name, value in (params or {}).items()}
        call = self._cluster.submit(ApiRequest(method, path, given, self._token))
        return _data(await self._waited(call))

    async def _waited(self, call: Call) -> ApiResponse:
        end = call.asked_at + self._patience
        while not call.answered() and self._cluster.now < end:
            due = self._cluster.state.timeline.next_due()
            until = end if due is None else min(due, end)
            if self._sleep is not None:
                await self._sleep(until - self._cluster.now)
            self._cluster.advance_to(until)
        if call.response is None:
            raise ReplyLost(f"no answer within {self._patience:g} s")
        return call.response


def as_text(value: ParamValue) -> ParamText:
    """Return a parameter as a form would carry it."""
    if isinstance(value, tuple):
        return value
    return str(int(value)) if isinstance(value, bool) else str(value)


def _data(response: ApiResponse) -> JsonValue:
    if response.fate is Fate.UNREACHABLE:
        raise Unreachable(response.reason)
    if response.fate is Fate.LOST or response.status == 596:
        raise ReplyLost(response.reason)
    if response.status >= 400:
        body = json.dumps(response.body()) if response.raw is None else response.raw
        raise ApiError(response.status, response.reason, body)
    return response.data

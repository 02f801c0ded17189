"""JSON-RPC to the nodes of one source: who is asked, who answered, who rests.

An answer is either the node's (a result, or an `RpcError` with its own code and text) or there was
none (`RpcUnavailable`). A step of reading stays with one endpoint, so that what it compares comes
from one view of the chain; the caller goes on to the next one of `ranked()`. An endpoint that
failed or contradicted itself rests and is asked last. An address may hold an API key: only its host
is ever shown, and causes that would repeat the address are cut off.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from chainwatch.chain.transport import Transport, host_of, secrets_of
from chainwatch.errors import RpcUnavailable, Transient

Call: TypeAlias = tuple[str, Sequence[object]]

BATCH: Final = 100
"""Calls in one request: more gains nothing, and providers begin to refuse."""

_REST_S: Final = 1.0
_LONGEST_REST_S: Final = 60.0
_DISTRUST_S: Final = 30.0


class RpcError(Transient):
    """The node's own answer is an error: its code, its text and, for a revert, its data."""

    def __init__(self, code: int, message: str, data: str = "") -> None:
        super().__init__(f"the node answered error {code}: {message}")
        self.code = code
        self.message = message
        self.data = data


class Rpc(Protocol):
    """One endpoint, asked in its own words."""

    @property
    def name(self) -> str:
        """The host, which is all of the address that may be shown."""

    async def call(self, method: str, *params: object) -> object:
        """The result; raises `RpcError` with the node's answer, `RpcUnavailable` without one."""

    async def batch(self, calls: Sequence[Call]) -> list[object | RpcError]:
        """The results in the order of `calls`, errors among them; raises `RpcUnavailable`."""

    def saw_head(self, number: int) -> None:
        """Remember the highest block that it has shown."""

    def distrust(self, why: str) -> None:
        """Ask it last for a while: its answers did not fit together."""


class Endpoints(Protocol):
    """The endpoints of a source."""

    def ranked(self) -> Sequence[Rpc]:
        """All of them, those that may be asked now first, in the order of the configuration."""

    def health(self) -> Sequence["Health"]:
        """How each of them does, in the order of the configuration."""


@dataclass(frozen=True, slots=True)
class Health:
    """How an endpoint does: its host, failures in a row, the last one's text, its head."""

    host: str
    failures: int
    last_error: str | None
    head: int | None
    resting: bool


class Endpoint:
    """One HTTP endpoint and its health."""

    def __init__(self, url: str, timeout: float) -> None:
        self._name = host_of(url)
        self._secrets = secrets_of(url)
        self._transport = Transport(url, timeout)
        self._failures = 0
        self._last_error: str | None = None
        self._head: int | None = None
        self._rests_until = 0.0
        self._silent_until = 0.0

    @property
    def name(self) -> str:
        return self._name

    async def call(self, method: str, *params: object) -> object:
        answer = self._result(await self._send_one(method, params))
        if isinstance(answer, RpcError):
            raise answer
        return answer

    async def batch(self, calls: Sequence[Call]) -> list[object | RpcError]:
        results: list[object | RpcError] = []
        for start in range(0, len(calls), BATCH):
            part = calls[start : start + BATCH]
            answers = await self._send_many(part)
            results += [self._result(answer) for answer in answers]
        return results

    async def _send_one(self, method: str, params: Sequence[object]) -> object:
        self._refuse_while_limited()
        try:
            answer = await self._transport.one(method, params)
        except RpcUnavailable as failed:
            self._failed(failed)
            raise
        self._failures = 0
        return answer

    async def _send_many(self, calls: Sequence[Call]) -> list[object]:
        self._refuse_while_limited()
        try:
            answers = await self._transport.many(calls)
        except RpcUnavailable as failed:
            self._failed(failed)
            raise
        self._failures = 0
        return answers

    def _result(self, answer: object) -> object | RpcError:
        """What an answer says: the result, or the node's error, without our key if it names it."""
        match answer:
            case {"error": {"code": int(code), "message": str(message), **rest}}:
                for secret in self._secrets:
                    message = message.replace(secret, "…")
                return RpcError(code, message[:500], _revert_data(rest.get("data")))
            case {"result": result}:
                found: object = result
                return found
        raise RpcUnavailable(f"{self._name} answered something that is not JSON-RPC")

    def _refuse_while_limited(self) -> None:
        left = self._silent_until - asyncio.get_running_loop().time()
        if left > 0:
            raise RpcUnavailable(f"{self._name} limits our rate; it is asked again in {left:.0f} s")

    def _failed(self, failed: RpcUnavailable) -> None:
        now = asyncio.get_running_loop().time()
        self._failures += 1
        self._last_error = str(failed)
        self._rests_until = now + min(_REST_S * 2.0**self._failures, _LONGEST_REST_S)
        if self._transport.retry_after is not None:
            self._silent_until = now + min(self._transport.retry_after, _LONGEST_REST_S)

    def saw_head(self, number: int) -> None:
        self._head = number

    def distrust(self, why: str) -> None:
        self._failures += 1
        self._last_error = why
        self._rests_until = asyncio.get_running_loop().time() + _DISTRUST_S

    def rests(self, now: float) -> bool:
        """Whether it is to be asked after those that do not rest; `now` is the loop's time."""
        return now < self._rests_until

    def health(self, now: float) -> Health:
        """How it does; `now` is the loop's time."""
        return Health(self._name, self._failures, self._last_error, self._head, self.rests(now))

    async def close(self) -> None:
        await self._transport.close()


class RpcPool:
    """The HTTP endpoints of one source."""

    def __init__(self, urls: Sequence[str], *, timeout: float) -> None:
        self._endpoints = tuple(Endpoint(url, timeout) for url in urls)

    def ranked(self) -> Sequence[Rpc]:
        now = asyncio.get_running_loop().time()
        return sorted(self._endpoints, key=lambda endpoint: endpoint.rests(now))

    def health(self) -> Sequence[Health]:
        now = asyncio.get_running_loop().time()
        return tuple(endpoint.health(now) for endpoint in self._endpoints)

    async def close(self) -> None:
        """Close all connections; nothing can be asked afterwards."""
        for endpoint in self._endpoints:
            await endpoint.close()


def _revert_data(data: object) -> str:
    """The revert's data as hex: some nodes give it bare, some within an object."""
    match data:
        case {"data": str(text)}:
            return text
        case str(text):
            return text
    return ""

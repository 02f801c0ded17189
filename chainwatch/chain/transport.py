"""HTTP to one node: web3's provider for the words, a kept-alive connection of our own beneath.

web3's own session manager takes a process-wide lock through a thread for every request (a cancelled
request can leave it locked for ever), opens a new connection each time, retries by itself and
drops the body of an HTTP error, where some providers put the text that says how much may be asked.
So the provider forms requests and numbers them, and everything below is one aiohttp session. What
is not an answer to what was asked becomes `RpcUnavailable`, naming the host only.
"""

import json
import logging
import re
from collections.abc import Sequence
from typing import Final, cast
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSession, ClientTimeout
from web3.types import RPCEndpoint

from chainwatch.chain.ethereum import AsyncHTTPProvider
from chainwatch.errors import RpcUnavailable

_RETRY_AFTER_S: Final = 5.0
_SHORTEST_KEY: Final = 8
_SEPARATORS: Final = re.compile(r"[/?&=:]")

_SILENT = logging.getLogger("chainwatch.chain.transport.silent")
_SILENT.disabled = True  # web3 logs whole addresses, and an address may hold an API key


def host_of(url: str) -> str:
    """The part of an address that may be shown: host and port."""
    parts = urlsplit(url)
    host = parts.hostname or "an endpoint without a host"
    return f"{host}:{parts.port}" if parts.port else host


def secrets_of(url: str) -> tuple[str, ...]:
    """The parts of an address that may be keys: the long words beside its scheme and host."""
    parts = urlsplit(url)
    beside = f"{parts.netloc.rpartition('@')[0]}/{parts.path}/{parts.query}"
    return tuple(word for word in _SEPARATORS.split(beside) if len(word) >= _SHORTEST_KEY)


class _Provider(AsyncHTTPProvider):
    logger = _SILENT


class Transport:
    """Sends JSON-RPC requests to one address; `retry_after` is what its last 429 asked for."""

    def __init__(self, url: str, timeout: float) -> None:
        self.retry_after: float | None = None
        self._url = url
        self._host = host_of(url)
        self._timeout = ClientTimeout(total=timeout)
        self._words = _Provider(url)
        self._session: ClientSession | None = None

    async def one(self, method: str, params: Sequence[object]) -> object:
        """The answer object to one request; raises `RpcUnavailable`."""
        return await self._post(self._words.encode_rpc_request(RPCEndpoint(method), list(params)))

    async def many(self, calls: Sequence[tuple[str, Sequence[object]]]) -> list[object]:
        """The answer objects to a batch, in its order; raises `RpcUnavailable`."""
        requests = [self._words.form_request(RPCEndpoint(m), list(params)) for m, params in calls]
        answer = await self._post(self._words.encode_batch_request_dicts(requests))
        if isinstance(answer, dict):
            return [answer] * len(calls)  # one error for the whole batch
        return self._in_order([cast("int", request["id"]) for request in requests], answer)

    def _in_order(self, ids: Sequence[int], answer: object) -> list[object]:
        items = answer if isinstance(answer, list) else []
        by_id = {item.get("id"): item for item in items if isinstance(item, dict)}
        if len(items) != len(ids) or not all(number in by_id for number in ids):
            raise RpcUnavailable(f"{self._host} did not answer every call of a batch")
        return [by_id[number] for number in ids]

    async def _post(self, body: bytes) -> object:
        if self._session is None:
            headers = {"Content-Type": "application/json"}
            self._session = ClientSession(timeout=self._timeout, headers=headers)
        try:
            async with self._session.post(self._url, data=body, allow_redirects=False) as response:
                self.retry_after = _seconds(response.headers.get("Retry-After"), response.status)
                return self._parse(response.status, await response.read())
        except TimeoutError:
            message = f"{self._host} did not answer within {self._timeout.total} s"
            raise RpcUnavailable(message) from None
        except (ClientError, OSError) as failed:
            raise RpcUnavailable(f"{self._host}: {type(failed).__name__}") from None

    def _parse(self, status: int, body: bytes) -> object:
        """The JSON of a body; an HTTP error counts as an answer only if it is a JSON-RPC error."""
        try:
            answer: object = json.loads(body)
        except (ValueError, RecursionError):
            raise RpcUnavailable(f"{self._host}: HTTP {status} without JSON") from None
        if status == 429 or (status != 200 and not _is_error(answer)):
            raise RpcUnavailable(f"{self._host}: HTTP {status}")
        return answer

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def _is_error(answer: object) -> bool:
    return isinstance(answer, dict) and isinstance(answer.get("error"), dict)


def _seconds(header: str | None, status: int) -> float | None:
    """How long a 429 wants us to be silent; a date or nothing counts as a few seconds."""
    if status != 429:
        return None
    return float(header) if header is not None and header.isdecimal() else _RETRY_AFTER_S

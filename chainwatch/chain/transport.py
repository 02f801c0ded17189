"""HTTP to one node: web3's provider for the words, a kept-alive connection of our own beneath.

web3's own session manager takes a process-wide lock through a thread for every request (a cancelled
request can leave it locked for ever), opens a new connection each time, retries by itself and
drops the body of an HTTP error, where some providers put the text that says how much may be asked.
So the provider forms requests and numbers them, and everything below is one aiohttp session. An
answer is read piece by piece and no further than is sane, however small it came packed. What is not
an answer to what was asked becomes `RpcUnavailable`, naming the host only.
"""

import logging
import re
from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Final, cast
from urllib.parse import urlsplit

import msgspec
from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout
from web3.types import RPCEndpoint

from chainwatch.chain.ethereum import AsyncHTTPProvider
from chainwatch.errors import RpcUnavailable

MOST_BYTES: Final = 32 * 2**20
"""The largest answer, unpacked: more than the receipts of a few full blocks. What a range too wide
for a dense stretch answers with is held for a moment in five times that much memory."""

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


class RateLimited(RpcUnavailable):
    """It was asked too often; `after` is for how many seconds it wants to be left alone, if told.

    Nothing is wrong with what was asked: asking for less would not help.
    """

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class TooSlow(RpcUnavailable):
    """It was waited for as long as a request may take, and in vain."""


class Transport:
    """Sends JSON-RPC requests to one address, which errors call by its `name`."""

    def __init__(self, url: str, name: str, timeout: float) -> None:
        self._url = url
        self._name = name
        self._timeout = ClientTimeout(total=timeout)
        self._words = _Provider(url)
        self._session: ClientSession | None = None

    async def one(self, method: str, params: Sequence[object]) -> object:
        """The answer object to one request; raises `RpcUnavailable`."""
        request = self._words.form_request(RPCEndpoint(method), list(params))
        answer = await self._post(self._words.encode_rpc_dict(request))
        if not isinstance(answer, dict) or not _is_to(answer, cast("int", request["id"])):
            raise RpcUnavailable(f"{self._name} answered something else than what was asked")
        return answer

    async def many(self, calls: Sequence[tuple[str, Sequence[object]]]) -> list[object]:
        """The answer objects to a batch, in its order; raises `RpcUnavailable`."""
        requests = [self._words.form_request(RPCEndpoint(m), list(params)) for m, params in calls]
        answer = await self._post(self._words.encode_batch_request_dicts(requests))
        if isinstance(answer, list) and len(answer) == 1 < len(calls) and _is_error(answer[0]):
            answer = answer[0]
        if _is_error(answer):
            return [answer] * len(calls)  # one error for the whole batch
        return self._in_order([cast("int", request["id"]) for request in requests], answer)

    def _in_order(self, ids: Sequence[int], answer: object) -> list[object]:
        items = answer if isinstance(answer, list) else []
        by_id = {
            item["id"]: item
            for item in items
            if isinstance(item, dict) and isinstance(item.get("id"), int)
        }
        if len(items) != len(ids) or not all(number in by_id for number in ids):
            raise RpcUnavailable(f"{self._name} did not answer every call of a batch")
        return [by_id[number] for number in ids]

    async def _post(self, body: bytes) -> object:
        if self._session is None:
            headers = {"Content-Type": "application/json"}
            self._session = ClientSession(timeout=self._timeout, headers=headers)
        try:
            async with self._session.post(self._url, data=body, allow_redirects=False) as response:
                self._refuse_limits(response)
                return self._parse(response.status, await self._body(response))
        except TimeoutError:
            message = f"{self._name} did not answer within {self._timeout.total} s"
            raise TooSlow(message) from None
        except (ClientError, OSError) as failed:
            raise RpcUnavailable(f"{self._name}: {type(failed).__name__}") from None

    def _refuse_limits(self, response: ClientResponse) -> None:
        """Raise `RateLimited` for a 429, and for a 503 that says when to come back."""
        after = _seconds(response.headers)
        if response.status == 429 or (response.status == 503 and after is not None):
            raise RateLimited(
                f"{self._name}: HTTP {response.status}, we ask too often: set requests_per_second "
                "of the source to what it allows",
                after,
            )

    async def _body(self, response: ClientResponse) -> bytearray:
        body = bytearray()
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > MOST_BYTES:
                raise RpcUnavailable(
                    f"{self._name} answers with more than {MOST_BYTES >> 20} MiB: "
                    "lower max_range of the source"
                )
        return body

    def _parse(self, status: int, body: bytearray) -> object:
        """The JSON of a body; an HTTP error counts as an answer only if it is a JSON-RPC error.

        Half a surrogate pair is no text: nothing that is told or stored could hold it.
        """
        try:
            marked = body.startswith(BOM_UTF8)
            answer: object = msgspec.json.decode(body[len(BOM_UTF8) :] if marked else body)
        except (msgspec.DecodeError, ValueError, RecursionError):
            raise RpcUnavailable(f"{self._name}: HTTP {status} without JSON") from None
        if status != 200 and not _is_error(answer):
            raise RpcUnavailable(f"{self._name}: HTTP {status}")
        return answer

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def _is_error(answer: object) -> bool:
    return isinstance(answer, dict) and isinstance(answer.get("error"), dict)


def _is_to(answer: Mapping[str, object], asked: int) -> bool:
    """Whether an answer is to the request of that id; an error may leave open to which."""
    number = answer.get("id")
    return number == asked or (number is None and _is_error(answer))


def _seconds(headers: Mapping[str, str]) -> float | None:
    """What Retry-After asks for; a date counts from the answer's own, so that clocks may differ."""
    wanted = headers.get("Retry-After", "")
    if wanted.isascii() and wanted.isdecimal():
        return float(wanted)
    try:
        until, sent = parsedate_to_datetime(wanted), parsedate_to_datetime(headers.get("Date", ""))
        return max(0.0, (until - sent).total_seconds())
    except (ValueError, TypeError):
        return None

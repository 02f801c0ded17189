"""The simulated API over HTTP: what the wire adds to the state machine.

Error text travels in the reason phrase, a 401 has an empty body and closes the connection, a
connection lives for 100 requests or 5 idle seconds, and a DELETE takes its parameters from the
query only. Real time, multiplied by `speed`, drives virtual time: one driver sleeps until the next
thing is due. A fault that loses a reply, or leaves nobody to connect to, cuts the connection:
over a socket the caller cannot tell the two apart, and must not pretend to.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import parse_qsl
from weakref import WeakKeyDictionary

from aiohttp import web

from provisioner.simulator.cluster import Cluster
from provisioner.simulator.screen import console, is_console
from provisioner.simulator.wire import ApiRequest, ApiResponse, Fate, ParamText

REQUESTS_PER_CONNECTION = 100
IDLE_SECONDS = 5.0
LARGEST_BODY = 512 * 1024
JSON_TYPE = "application/json;charset=UTF-8"
METHODS = {"GET", "POST", "PUT", "DELETE"}
AUTH_PREFIX = "PVEAPIToken="


class Front:
    """The HTTP side of one cluster."""

    def __init__(self, cluster: Cluster, speed: float, record: Path | None = None) -> None:
        self.cluster = cluster
        self._record = record.open("a", buffering=1) if record else None
        self._speed = speed
        self._poke = asyncio.Event()
        self._zero = asyncio.get_running_loop().time()
        self._start = cluster.now
        self._served: WeakKeyDictionary[asyncio.BaseTransport, int] = WeakKeyDictionary()

    def skip(self, seconds: float) -> None:
        """Let virtual `seconds` pass at once."""
        self.catch_up()
        self._start += seconds
        self.catch_up()

    def catch_up(self) -> None:
        """Bring virtual time to where real time says it is."""
        real = asyncio.get_running_loop().time() - self._zero
        self.cluster.advance_to(self._start + real * self._speed)
        self._poke.set()

    async def drive(self) -> None:
        """Run what is due when it is due, for ever."""
        while True:
            self.catch_up()
            self._poke.clear()
            due = self.cluster.state.timeline.next_due()
            wait = None if due is None else max(0.0, (due - self.cluster.now) / self._speed)
            try:
                async with asyncio.timeout(wait):
                    await self._poke.wait()
            except TimeoutError:
                continue

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request below `/api2/json`."""
        if request.method not in METHODS:
            return _plain(501, f"method '{request.method}' not available")
        body = await request.read()
        if len(body) > LARGEST_BODY:
            return _plain(501, "for data too large")
        if body and request.method == "DELETE":
            return _plain(501, "Unexpected content for method 'DELETE'")
        try:
            params = parameters(request.query.items(), request.content_type, body)
        except ValueError as wrong:
            return _plain(500, f"malformed JSON string: {wrong}".splitlines()[0])
        path = request.rel_url.raw_path.removeprefix("/api2/json") or "/"
        if self._record:
            told = {"method": request.method, "path": path, "params": params}
            self._record.write(f"{json.dumps(told)}\n")
        response = await self._ask(ApiRequest(request.method, path, params, _token(request)))
        if is_console(request, response):
            return await console(request)
        return self._told(request, response)

    async def _ask(self, request: ApiRequest) -> ApiResponse:
        self.catch_up()
        call = self.cluster.submit(request)
        self._poke.set()
        if call.response is None:
            answered = asyncio.Event()
            call.when_answered = answered.set
            await answered.wait()
        if call.response is None:
            raise RuntimeError("answered without an answer")
        return call.response

    def _told(self, request: web.Request, response: ApiResponse) -> web.StreamResponse:
        transport = request.transport
        if response.fate is not Fate.ANSWERED and transport is not None:
            transport.abort()
        text = json.dumps(response.body()) if response.raw is None else response.raw
        told = web.Response(
            status=response.status,
            reason=" ".join(response.reason.split()),
            body=text.encode(),
            headers={"Content-Type": JSON_TYPE if response.raw is None else "text/html"},
        )
        if transport is not None:
            self._served[transport] = self._served.get(transport, 0) + 1
            last = self._served[transport] >= REQUESTS_PER_CONNECTION
            if last or response.status == 401:
                told.force_close()
        return told


def _token(request: web.Request) -> str | None:
    header = request.headers.get("Authorization", "")
    return header.removeprefix(AUTH_PREFIX).strip() if header.startswith(AUTH_PREFIX) else None


def parameters(
    query: Iterable[tuple[str, str]], content_type: str, body: bytes
) -> Mapping[str, ParamText]:
    """Return what a query and a body (a form or JSON) say; what is said twice, twice."""
    pairs = list(query)
    if body and content_type == "application/json":
        given = json.loads(body)
        if not isinstance(given, dict):
            raise ValueError("not a JSON object")
        pairs += [(key, text) for key, value in given.items() for text in _texts(value)]
    elif body:
        pairs += parse_qsl(body.decode(errors="replace"), keep_blank_values=True)
    found: dict[str, list[str]] = {}
    for key, text in pairs:
        found.setdefault(key, []).append(text)
    return {key: texts[0] if len(texts) == 1 else tuple(texts) for key, texts in found.items()}


def _texts(value: object) -> list[str]:
    if isinstance(value, list):
        return [text for part in value for text in _texts(part)]
    if isinstance(value, bool):
        return [str(int(value))]
    return [str(value)]


def _plain(status: int, reason: str) -> web.Response:
    return web.Response(status=status, reason=reason, body=b"")

"""What stands between a reader and a node and may spoil whatever passes: HTTP and WebSocket.

Several of them in front of one chain are several endpoints, of which one may lie while the others
are honest. Each call of a batch passes by itself, so a fault strikes one answer among many; what
the whole reply suffers (its bytes, its status, its connection) comes after. Chance is seeded, and
an `Armed` fault counts how often it struck: one that never did has shown nothing.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from random import Random
from typing import Final, TypeAlias

from aiohttp import ClientError, ClientSession, ClientWebSocketResponse, WSMsgType, web

Json: TypeAlias = dict[str, object]

_FOR_EVER: Final = 1e9


@dataclass(frozen=True, slots=True)
class Ask:
    """One call as it was asked."""

    method: str
    params: tuple[object, ...]


class Refusal(Exception):
    """The node's own error in answer to a call."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    def as_json(self) -> Json:
        said: Json = {"code": self.code, "message": self.message}
        return said if self.data is None else said | {"data": self.data}


GoOn: TypeAlias = Callable[[Ask], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class CallFault:
    """Spoils single answers: gets the call and the way to the node, gives the result or refuses.

    One that is `whole` strikes all calls of a request or none: it is another node that answered.
    """

    name: str
    methods: frozenset[str]
    act: Callable[[Ask, GoOn], Awaitable[object]]
    whole: bool = False


@dataclass(frozen=True, slots=True)
class ReplyFault:
    """Spoils a whole reply: gets the HTTP request and the true answer."""

    name: str
    methods: frozenset[str]
    act: Callable[[web.BaseRequest, object], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class SocketFault:
    """Spoils what a subscription says: one message becomes several; at None it hangs up.

    What it holds back of a connection it keeps in the list that it is given.
    """

    name: str
    act: Callable[[list[str], str], Sequence[str | None]]


Fault: TypeAlias = CallFault | ReplyFault | SocketFault


@dataclass(slots=True)
class Armed:
    """A fault in force: how likely it strikes and how often yet (None: for ever), once `spared`
    chances have passed; `struck` is how often it has.
    """

    fault: Fault
    probability: float = 1.0
    left: int | None = None
    spared: int = 0
    struck: int = 0

    def strikes(self, random: Random) -> bool:
        """Whether it strikes now, which counts."""
        if self.spared:
            self.spared -= 1
            return False
        if self.left == 0 or random.random() >= self.probability:
            return False
        self.left = None if self.left is None else self.left - 1
        self.struck += 1
        return True


class FaultProxy:
    """An endpoint in front of the node at `target`; made by `proxy`."""

    def __init__(self, session: ClientSession, target: str, seed: int) -> None:
        self.port = 0
        self.connections = 0
        self._session = session
        self._target = target
        self._random = Random(seed)
        self._armed: list[Armed] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def lead_to(self, target: str) -> None:
        """Ask another node from now on."""
        self._target = target

    def arm(
        self, fault: Fault, *, probability: float = 1.0, count: int | None = None, spared: int = 0
    ) -> Armed:
        """Put a fault in force, on top of those that are."""
        self._armed.append(Armed(fault, probability, count, spared))
        return self._armed[-1]

    def disarm(self) -> None:
        """Be honest again."""
        self._armed.clear()

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; a subscription is carried to its end."""
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._subscription(request)
        asked = json.loads(await request.read())
        methods = {call["method"] for call in (asked if isinstance(asked, list) else [asked])}
        try:
            answer = await self._answer(asked)
        except ClientError:
            return web.Response(status=502, text="no node behind")
        for armed in self._armed:
            fault = armed.fault
            if (
                isinstance(fault, ReplyFault)
                and (not fault.methods or methods & fault.methods)
                and armed.strikes(self._random)
            ):
                return await fault.act(request, answer)
        return web.json_response(answer)

    async def _answer(self, asked: Json | list[Json]) -> object:
        """The answers, call by call where a fault strikes any of them, else as the node gives."""
        calls = asked if isinstance(asked, list) else [asked]
        faults = self._striking([str(call["method"]) for call in calls])
        if not any(faults):
            return await self._post(asked)
        pairs = zip(calls, faults, strict=True)
        answers = [await self._spoilt(call, struck) for call, struck in pairs]
        return answers if isinstance(asked, list) else answers[0]

    def _striking(self, methods: Sequence[str]) -> list[list[CallFault]]:
        """The faults that strike, for each call of a request."""
        struck: list[list[CallFault]] = [[] for _ in methods]
        for armed in self._armed:
            if isinstance(fault := armed.fault, CallFault):
                hit = [place for place, method in enumerate(methods) if method in fault.methods]
                if fault.whole:
                    hit = hit if hit and armed.strikes(self._random) else []
                else:
                    hit = [place for place in hit if armed.strikes(self._random)]
                for place in hit:
                    struck[place].append(fault)
        return struck

    async def _spoilt(self, call: Json, faults: Sequence[CallFault]) -> Json:
        way: GoOn = self._honest
        for fault in faults:
            way = _past(fault, way)
        params = call["params"]
        ask = Ask(str(call["method"]), tuple(params) if isinstance(params, list) else ())
        said: Json = {"jsonrpc": "2.0", "id": call["id"]}
        try:
            return said | {"result": await way(ask)}
        except Refusal as refusal:
            return said | {"error": refusal.as_json()}

    async def _honest(self, ask: Ask) -> object:
        request: Json = {"jsonrpc": "2.0", "id": 1, "method": ask.method, "params": [*ask.params]}
        match await self._post(request):
            case {"error": {"code": int(code), "message": str(message), **rest}}:
                raise Refusal(code, message, rest.get("data"))
            case {"result": result}:
                found: object = result
                return found
            case answer:
                raise AssertionError(f"the node answered {answer!r}")

    async def _post(self, body: object) -> object:
        async with self._session.post(self._target, json=body) as response:
            return await response.json(content_type=None)

    # ------------------------------------------------------------------------------ subscriptions

    async def _subscription(self, request: web.BaseRequest) -> web.WebSocketResponse:
        self.connections += 1
        client = web.WebSocketResponse()
        await client.prepare(request)
        with suppress(ClientError, ConnectionError):
            async with self._session.ws_connect(self._target) as node, asyncio.TaskGroup() as ways:
                listening = ways.create_task(self._listen(client, node))
                await self._announce(node, client)
                listening.cancel()
        await client.close()
        return client

    async def _listen(self, client: web.WebSocketResponse, node: ClientWebSocketResponse) -> None:
        async for message in client:
            if message.type is WSMsgType.TEXT:
                await node.send_str(message.data)
        await node.close()

    async def _announce(self, node: ClientWebSocketResponse, client: web.WebSocketResponse) -> None:
        held: list[str] = []
        async for message in node:
            if message.type is not WSMsgType.TEXT:
                return
            for text in self._told(held, message.data):
                if text is None:
                    return
                await client.send_str(text)

    def _told(self, held: list[str], text: str) -> Sequence[str | None]:
        for armed in self._armed:
            if isinstance(armed.fault, SocketFault) and armed.strikes(self._random):
                return armed.fault.act(held, text)
        return [text]


def _past(fault: CallFault, way: GoOn) -> GoOn:
    """The way to the node past one more fault."""

    async def go_on(ask: Ask) -> object:
        return await fault.act(ask, way)

    return go_on


@asynccontextmanager
async def proxy(target: str, seed: int = 0) -> AsyncIterator[FaultProxy]:
    """Listen on a port of the kernel's choice, for as long as the block lasts."""
    async with ClientSession() as session:
        made = FaultProxy(session, target, seed)
        runner = web.ServerRunner(
            web.Server(made.serve, handler_cancellation=True, keepalive_timeout=_FOR_EVER),
            shutdown_timeout=0,
        )
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            made.port = runner.addresses[0][1]
            yield made
        finally:
            await runner.cleanup()

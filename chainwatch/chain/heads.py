"""The wake-up call: a WebSocket subscription to new heads, and nothing more than a hint.

What a head says is never used for anything else; truth is the cursor and what the scanner asks. So
messages need no order, no completeness and no queue: each one wakes, and so does each new
subscription, since something may have happened in the gap. A plain aiohttp socket is enough, and
safer than web3's provider, whose listener feeds bounded queues that nobody would empty. A
connection that owes a head which polling has shown, or whose ping stays unanswered, is dropped and
made again, to the next address if there is one; polling goes on meanwhile.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Final

from aiohttp import (
    ClientError,
    ClientSession,
    ClientTimeout,
    ClientWebSocketResponse,
    ClientWSTimeout,
    WSMessage,
    WSMsgType,
)

from chainwatch.chain.stalls import Owed
from chainwatch.chain.transport import host_of, secrets_of
from chainwatch.chain.wire import count
from chainwatch.domain.events import Block
from chainwatch.errors import NotAChain

_PING_S: Final = 10.0
_CONNECT_S: Final = 10.0
_CLOSE_S: Final = 1.0
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
_LARGEST_MESSAGE: Final = 2**20
_SUBSCRIBE: Final = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "eth_subscribe",
    "params": ["newHeads"],
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FeedHealth:
    """How a feed does: where it listens, and for how many seconds it has been connected, or not.

    `why` is what ended the last connection, None while there is one; `head` the last announced.
    """

    host: str
    connected: bool
    why: str | None
    seconds: int
    head: int | None
    reconnects: int


class HeadFeed:
    """Calls `wake` on every new head of whichever of `urls` is connected.

    `poll` is after how many seconds heads are looked for without it.
    """

    def __init__(self, urls: Sequence[str], wake: Callable[[], None], *, poll: float) -> None:
        self._urls = tuple(urls)
        self._wake = wake
        self._owed = Owed(poll)
        self._limit: asyncio.Timeout | None = None
        self._pause = _FIRST_PAUSE_S
        self._host = host_of(urls[0]) if urls else ""
        self._connected = False
        self._why: str | None = None
        self._since: float | None = None
        self._head: int | None = None
        self._reconnects = 0

    async def run(self) -> None:
        """Feed until cancelled; returns at once when there is no address."""
        if not self._urls:
            return
        async with ClientSession(timeout=ClientTimeout(total=None)) as session:
            for url in cycle(self._urls):
                self._host = host_of(url)
                self._lost(await self._listen(session, url), secrets_of(url))
                await asyncio.sleep(self._pause)
                self._pause = min(self._pause * 2, _LONGEST_PAUSE_S)
                self._reconnects += 1

    def saw(self, head: int, cursor: Block | None) -> None:
        """Note that polling has shown `head`, and read up to `cursor`."""
        self._owed.shown(head, cursor, _now())
        self._set_limit()

    def health(self) -> FeedHealth | None:
        """How it does; None when there is no address to listen to."""
        if not self._urls:
            return None
        seconds = 0 if self._since is None else int(_now() - self._since)
        return FeedHealth(
            self._host, self._connected, self._why, seconds, self._head, self._reconnects
        )

    async def _listen(self, session: ClientSession, url: str) -> str:
        """Follow one connection to its end, and say what ended it."""
        try:
            async with (
                asyncio.timeout(_CONNECT_S) as limit,
                session.ws_connect(
                    url,
                    heartbeat=_PING_S,
                    max_msg_size=_LARGEST_MESSAGE,
                    timeout=ClientWSTimeout(ws_close=_CLOSE_S),
                ) as socket,
            ):
                limit.reschedule(None)
                return await self._follow(socket)
        except TimeoutError:
            return f"no connection within {_CONNECT_S:.0f} s"
        except (ClientError, OSError, ValueError, RecursionError) as failed:
            return type(failed).__name__

    async def _follow(self, socket: ClientWebSocketResponse) -> str:
        try:
            async with asyncio.timeout(_CONNECT_S) as self._limit:
                await socket.send_json(_SUBSCRIBE)
                while (ended := self._heard(await socket.receive())) is None:
                    pass
                return ended
        except TimeoutError:
            if self._owed.number is None:
                return f"it did not confirm the subscription within {_CONNECT_S:.0f} s"
            return f"it stalled before block {self._owed.number}, which others have shown"
        finally:
            self._limit = None

    def _heard(self, message: WSMessage) -> str | None:
        """Take one message; returns why the connection can't go on, None when it can."""
        if message.type is not WSMsgType.TEXT:
            return f"the connection ended ({message.type.name.lower()})"
        match message.json():
            case {"error": error}:
                return f"it refused the subscription: {error!r:.200}"
            case {"id": 1, "result": _}:
                self._subscribed()
                self._wake()
            case {"method": "eth_subscription", "params": {"result": {"number": number}}}:
                return self._announced(number)
        return None

    def _subscribed(self) -> None:
        self._connected, self._why, self._since = True, None, _now()
        self._owed.subscribed()
        self._set_limit()

    def _announced(self, number: object) -> str | None:
        try:
            self._head = count(number)
        except NotAChain:
            return "it announced a head without a number"
        if not self._connected:
            self._subscribed()
        self._pause = _FIRST_PAUSE_S
        self._owed.announced(self._head)
        self._set_limit()
        self._wake()
        return None

    def _set_limit(self) -> None:
        """Let the connection end when what it owes is due."""
        if self._connected and self._limit is not None and not self._limit.expired():
            self._limit.reschedule(self._owed.deadline)

    def _lost(self, why: str, secrets: Sequence[str]) -> None:
        for secret in secrets:
            why = why.replace(secret, "…")
        if self._connected or self._since is None:
            self._since = _now()
        self._connected, self._why = False, why
        _log.info("no new heads from %s: %s; again in %.1f s", self._host, why, self._pause)


def _now() -> float:
    return asyncio.get_running_loop().time()

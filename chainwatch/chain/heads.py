"""The wake-up call: a WebSocket subscription to new heads, and nothing more than a hint.

What a head says is never used; truth is the cursor and what the scanner asks. So messages need no
order, no completeness and no queue: each one wakes, and so does each new connection, since
something may have happened in the gap. A plain aiohttp socket is enough, and safer than web3's
provider, whose listener feeds bounded queues that nobody would empty. A connection that is silent
for too long, or whose ping stays unanswered, is dropped and made again, to the next address if
there is one.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Final

from aiohttp import ClientError, ClientSession, ClientTimeout, ClientWebSocketResponse, WSMsgType

from chainwatch.chain.transport import host_of

_PING_S: Final = 10.0
_CONNECT_S: Final = 10.0
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
_SUBSCRIBE: Final = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "eth_subscribe",
    "params": ["newHeads"],
}

_log = logging.getLogger(__name__)


class HeadFeed:
    """Calls `wake` on every new head of whichever of `urls` is connected.

    `silence` is how many seconds without a head make a connection suspect.
    """

    def __init__(
        self, urls: Sequence[str], wake: Callable[[], None], *, silence: float = 60.0
    ) -> None:
        self._urls = tuple(urls)
        self._wake = wake
        self._silence = silence
        self._pause = _FIRST_PAUSE_S

    async def run(self) -> None:
        """Feed until cancelled; returns at once when there is no address."""
        for url in cycle(self._urls):
            reason = await self._listen(url)
            _log.info(
                "no new heads from %s: %s; again in %.1f s", host_of(url), reason, self._pause
            )
            await asyncio.sleep(self._pause)
            self._pause = min(self._pause * 2, _LONGEST_PAUSE_S)

    async def _listen(self, url: str) -> str:
        """Follow one connection to its end, and say what ended it."""
        try:
            async with (
                ClientSession(timeout=ClientTimeout(total=None, connect=_CONNECT_S)) as session,
                session.ws_connect(url, heartbeat=_PING_S) as socket,
            ):
                await socket.send_json(_SUBSCRIBE)
                return await self._follow(socket)
        except TimeoutError:
            return f"silent for {self._silence:.0f} s"
        except (ClientError, OSError, ValueError, RecursionError) as failed:
            return type(failed).__name__

    async def _follow(self, socket: ClientWebSocketResponse) -> str:
        while True:
            message = await socket.receive(timeout=self._silence)
            if message.type is not WSMsgType.TEXT:
                return f"the connection ended ({message.type.name.lower()})"
            match message.json():
                case {"error": {"message": str(why)}}:
                    return f"it refused the subscription: {why:.200}"
                case {"id": 1} | {"method": "eth_subscription"}:
                    self._pause = _FIRST_PAUSE_S
                    self._wake()

"""A WebSocket that stalls while the chain goes on: polling shows it, and a new one is made."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from chainwatch.chain import heads, stalls
from chainwatch.chain.heads import HeadFeed
from tests.support.realm import realm


class Stalling:
    """A node's WebSocket that confirms subscriptions and says nothing more."""

    def __init__(self) -> None:
        self.subscribed = asyncio.Semaphore(0)

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive_json()
        await socket.send_json({"id": 1, "result": "0x1"})
        self.subscribed.release()
        await socket.receive()
        return socket


async def test_what_the_reading_of_a_source_sees_betrays_a_stalled_websocket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stalls, "_SHORTEST_S", 0.0)
    monkeypatch.setattr(heads, "_FIRST_PAUSE_S", 0.0)
    stalling = Stalling()
    app = web.Application()
    app.router.add_get("/", stalling.handle)
    server = TestServer(app)
    await server.start_server()
    url = str(server.make_url("/")).replace("http", "ws", 1)
    try:
        async with realm(tmp_path) as made, asyncio.TaskGroup() as group:
            (ingest,) = made.daemon.supervisor.ingests
            ingest = replace(ingest, feed=HeadFeed([url], ingest.hint.set, poll=1.0))
            running = group.create_task(ingest.feed.run())
            await stalling.subscribed.acquire()
            await ingest.hint.wait()
            for _ in range(5):
                made.chain.mine(seconds=0)
                while await ingest.step():
                    pass
            await stalling.subscribed.acquire()
            running.cancel()
            assert made.chain.head.number == (await ingest.journal.state(ingest.name)).head
    finally:
        await server.close()

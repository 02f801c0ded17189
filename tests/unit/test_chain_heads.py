"""The wake-up call over a real WebSocket: every new head wakes, whatever the node does to us."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer, unused_port

from chainwatch.chain import heads
from chainwatch.chain.heads import HeadFeed

Node = Callable[[web.WebSocketResponse], Awaitable[None]]
HEAD = {"jsonrpc": "2.0", "method": "eth_subscription", "params": {"result": {"number": "0x1"}}}


class Sleeper:
    """Counts the wake-ups, and lets a test wait for one."""

    def __init__(self) -> None:
        self.woken = 0
        self._event = asyncio.Event()

    def wake(self) -> None:
        self.woken += 1
        self._event.set()

    async def until(self, times: int) -> None:
        while self.woken < times:
            self._event.clear()
            await self._event.wait()


@asynccontextmanager
async def node(behave: Node) -> AsyncIterator[tuple[str, list[object]]]:
    """A node's WebSocket; every connection is a new `behave`. Gives its address and what it got."""
    got: list[object] = []

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        got.append(await socket.receive_json())
        await behave(socket)
        return socket

    app = web.Application()
    app.router.add_get("/secret-key", handle)
    server = TestServer(app)
    await server.start_server()
    try:
        yield str(server.make_url("/secret-key")).replace("http", "ws", 1), got
    finally:
        await server.close()


@asynccontextmanager
async def feeding(*urls: str, silence: float = 5.0) -> AsyncIterator[Sleeper]:
    sleeper = Sleeper()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(HeadFeed(urls, sleeper.wake, silence=silence).run())
        try:
            yield sleeper
        finally:
            task.cancel()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "_FIRST_PAUSE_S", 0.001)


async def _to_the_end(socket: web.WebSocketResponse) -> None:
    while (await socket.receive()).type not in (
        WSMsgType.CLOSE,
        WSMsgType.CLOSING,
        WSMsgType.CLOSED,
    ):
        pass


async def test_a_subscription_and_each_head_wake() -> None:
    async def behave(socket: web.WebSocketResponse) -> None:
        await socket.send_json({"jsonrpc": "2.0", "id": 1, "result": "0xabc"})
        await socket.send_json(HEAD)
        await socket.send_json(HEAD)
        await _to_the_end(socket)

    async with node(behave) as (url, got), feeding(url) as sleeper:
        await sleeper.until(3)
    assert got[0] == {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "eth_subscribe",
        "params": ["newHeads"],
    }


async def test_a_closed_connection_is_made_again_and_subscribed_again() -> None:
    async def behave(socket: web.WebSocketResponse) -> None:
        await socket.send_json({"id": 1, "result": "0x1"})
        await socket.close()

    async with node(behave) as (url, got), feeding(url) as sleeper:
        await sleeper.until(20)
    assert len(got) >= 20


async def test_a_connection_that_falls_silent_is_made_again() -> None:
    async def behave(socket: web.WebSocketResponse) -> None:
        await socket.send_json({"id": 1, "result": "0x1"})
        await _to_the_end(socket)

    async with node(behave) as (url, _), feeding(url, silence=0.02) as sleeper:
        await sleeper.until(3)


@pytest.mark.parametrize(
    "garbage", ["<html>", "[" * 100_000, "[1, 2]", '{"error": {"message": "no subscriptions"}}']
)
async def test_garbage_ends_no_feed_and_wakes_nobody(garbage: str) -> None:
    connections = 0

    async def behave(socket: web.WebSocketResponse) -> None:
        nonlocal connections
        connections += 1
        if connections < 3:
            await socket.send_str(garbage)
            await socket.close()
        await socket.send_json(HEAD)
        await _to_the_end(socket)

    async with node(behave) as (url, _), feeding(url) as sleeper:
        await sleeper.until(1)
        assert connections == 3
        assert sleeper.woken == 1


async def test_an_address_where_nobody_listens_is_left_for_the_next_and_named_by_host(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def behave(socket: web.WebSocketResponse) -> None:
        await socket.send_json(HEAD)
        await _to_the_end(socket)

    nobody = f"ws://127.0.0.1:{unused_port()}/secret-key"
    with caplog.at_level("DEBUG", logger="chainwatch"):
        async with node(behave) as (url, _), feeding(nobody, url) as sleeper:
            await sleeper.until(1)
    assert "no new heads from 127.0.0.1" in caplog.text
    assert "secret-key" not in caplog.text


async def test_without_an_address_there_is_nothing_to_run() -> None:
    await HeadFeed((), lambda: None).run()

"""The wake-up call over a real WebSocket: every new head wakes, whatever the node does to us."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer, unused_port

from chainwatch.chain import heads, stalls
from chainwatch.chain.heads import HeadFeed
from chainwatch.domain.events import Block

Node = Callable[[web.WebSocketResponse], Awaitable[None]]
SUBSCRIBED = {"jsonrpc": "2.0", "id": 1, "result": "0xabc"}


def head(number: int) -> dict[str, object]:
    params = {"subscription": "0xabc", "result": {"number": hex(number)}}
    return {"jsonrpc": "2.0", "method": "eth_subscription", "params": params}


HEAD = head(1)


class Sleeper:
    """Counts the wake-ups by a feed, and lets a test wait for one."""

    def __init__(self, urls: Sequence[str]) -> None:
        self.feed = HeadFeed(urls, self.wake, poll=1.0)
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
async def node(behave: Node, *, autoping: bool = True) -> AsyncIterator[tuple[str, list[object]]]:
    """A node's WebSocket; every connection is a new `behave`. Gives its address and what it got."""
    got: list[object] = []

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=autoping)
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
async def feeding(*urls: str) -> AsyncIterator[Sleeper]:
    sleeper = Sleeper(urls)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(sleeper.feed.run())
        try:
            yield sleeper
        finally:
            task.cancel()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "_FIRST_PAUSE_S", 0.001)


async def _undisturbed(sleeper: Sleeper) -> bool:
    """Whether the connection still stands when everything that is due has happened."""
    for _ in range(5):
        await asyncio.sleep(0)
    health = sleeper.feed.health()
    return health is not None and health.connected


async def _to_the_end(socket: web.WebSocketResponse) -> None:
    while (await socket.receive()).type not in (
        WSMsgType.CLOSE,
        WSMsgType.CLOSING,
        WSMsgType.CLOSED,
    ):
        pass


async def test_a_subscription_and_each_head_wake() -> None:
    async def behave(socket: web.WebSocketResponse) -> None:
        await socket.send_json(SUBSCRIBED)
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
        await socket.send_json(SUBSCRIBED)
        await socket.send_json(HEAD)
        await socket.close()

    async with node(behave) as (url, got), feeding(url) as sleeper:
        await sleeper.until(20)
        health = sleeper.feed.health()
    assert len(got) >= 10
    assert health is not None
    assert health.reconnects == len(got) - 1


async def test_a_connection_that_owes_a_head_which_others_have_shown_is_made_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stalls, "_SHORTEST_S", 0.02)

    async def behave(socket: web.WebSocketResponse) -> None:
        await socket.send_json(SUBSCRIBED)
        await _to_the_end(socket)

    with caplog.at_level("INFO", logger="chainwatch"):
        async with node(behave) as (url, got), feeding(url) as sleeper:
            await sleeper.until(1)
            for number in (100, 101, 102):
                sleeper.feed.saw(number, Block(number, "0x", "0x", 1000 + number))
            await sleeper.until(2)
    assert len(got) == 2
    assert "it stalled before block 101, which others have shown" in caplog.text


async def test_a_connection_that_announces_what_others_show_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stalls, "_SHORTEST_S", 0.0)
    shown = asyncio.Queue[int]()

    async def behave(socket: web.WebSocketResponse) -> None:
        await socket.send_json(SUBSCRIBED)
        while True:
            await socket.send_json(head(await shown.get()))

    async with node(behave) as (url, got), feeding(url) as sleeper:
        await sleeper.until(1)
        sleeper.feed.saw(100, None)
        for number in range(101, 151):
            shown.put_nowait(number)
            await sleeper.until(number - 99)
            sleeper.feed.saw(number, Block(number, "0x", "0x", 1000))
            assert await _undisturbed(sleeper)
    assert len(got) == 1


async def test_a_chain_that_stands_still_costs_no_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stalls, "_SHORTEST_S", 0.0)

    async def behave(socket: web.WebSocketResponse) -> None:
        await socket.send_json(SUBSCRIBED)
        await _to_the_end(socket)

    async with node(behave) as (url, got), feeding(url) as sleeper:
        await sleeper.until(1)
        for _ in range(50):
            sleeper.feed.saw(100, Block(100, "0x", "0x", 1000))
            assert await _undisturbed(sleeper)
    assert len(got) == 1


async def test_a_subscription_that_is_never_confirmed_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(heads, "_CONNECT_S", 0.05)
    connections = 0

    async def behave(socket: web.WebSocketResponse) -> None:
        nonlocal connections
        connections += 1
        if connections > 2:
            await socket.send_json(SUBSCRIBED)
        await _to_the_end(socket)

    with caplog.at_level("INFO", logger="chainwatch"):
        async with node(behave) as (url, got), feeding(url) as sleeper:
            await sleeper.until(1)
    assert len(got) == 3
    assert "did not confirm the subscription" in caplog.text


async def test_a_node_that_answers_no_ping_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "_PING_S", 0.05)

    async def behave(socket: web.WebSocketResponse) -> None:
        await socket.send_json(SUBSCRIBED)
        await _to_the_end(socket)

    async with node(behave, autoping=False) as (url, got), feeding(url) as sleeper:
        await sleeper.until(2)
    assert len(got) == 2


async def test_what_is_no_message_of_a_feed_ends_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    connections = 0

    async def behave(socket: web.WebSocketResponse) -> None:
        nonlocal connections
        connections += 1
        if connections == 1:
            await socket.send_bytes(b"0")
        elif connections == 2:
            await socket.send_str(" " * 2**21)
        elif connections == 3:
            await socket.send_json({**HEAD, "params": {"result": {"number": "one"}}})
        else:
            await socket.send_json(HEAD)
        await _to_the_end(socket)

    with caplog.at_level("INFO", logger="chainwatch"):
        async with node(behave) as (url, _), feeding(url) as sleeper:
            await sleeper.until(1)
    assert connections == 4
    assert "ended (binary)" in caplog.text
    assert "ended (error)" in caplog.text
    assert "a head without a number" in caplog.text


async def test_the_pause_grows_while_connections_give_no_head_and_starts_anew_with_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(heads, "_FIRST_PAUSE_S", 0.001)
    connections = 0

    async def behave(socket: web.WebSocketResponse) -> None:
        nonlocal connections
        connections += 1
        await socket.send_json(SUBSCRIBED)
        if connections >= 5:
            await socket.send_json(HEAD)
        await socket.close()

    with caplog.at_level("INFO", logger="chainwatch"):
        async with node(behave) as (url, _), feeding(url) as sleeper:
            await sleeper.until(4 + 3 * 2)
    pauses = [record.args[2] for record in caplog.records if isinstance(record.args, tuple)]
    assert pauses[:6] == [0.001, 0.002, 0.004, 0.008, 0.001, 0.001]


async def test_a_feed_tells_where_it_listens_and_what_ended_it() -> None:
    leave, back, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def behave(socket: web.WebSocketResponse) -> None:
        if leave.is_set():
            back.set()
            await go_on.wait()
        await socket.send_json(head(7))
        await leave.wait()
        if not back.is_set():
            await socket.close()
        await _to_the_end(socket)

    async with node(behave) as (url, _), feeding(url) as sleeper:
        assert told(sleeper.feed) == (False, None, None, 0)
        await sleeper.until(1)
        assert told(sleeper.feed) == (True, 7, None, 0)
        leave.set()
        await back.wait()
        assert told(sleeper.feed) == (False, 7, "the connection ended (close)", 1)
        go_on.set()
        await sleeper.until(2)
        assert told(sleeper.feed) == (True, 7, None, 1)


def told(feed: HeadFeed) -> tuple[bool, int | None, str | None, int]:
    health = feed.health()
    assert health is not None
    assert health.host.startswith("127.0.0.1:")
    return health.connected, health.head, health.why, health.reconnects


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


async def test_a_thousand_disconnects_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "_FIRST_PAUSE_S", 0.0)

    async def behave(socket: web.WebSocketResponse) -> None:
        await socket.send_json(HEAD)
        await socket.close()

    async with node(behave) as (url, got), feeding(url) as sleeper:
        await sleeper.until(200)
        got.clear()
        before = Held.now()
        await sleeper.until(1200)
        assert len(got) >= 1000
        got.clear()
        after = Held.now()
    assert after.tasks - before.tasks <= 5
    assert after.files - before.files <= 5
    assert after.objects - before.objects <= 500


@dataclass(frozen=True, slots=True)
class Held:
    """How many tasks, open files and objects there are."""

    tasks: int
    files: int
    objects: int

    @classmethod
    def now(cls) -> "Held":
        gc.collect()
        files = sum(1 for _ in Path("/proc/self/fd").iterdir())
        return cls(len(asyncio.all_tasks()), files, len(gc.get_objects()))


async def test_without_an_address_there_is_nothing_to_run() -> None:
    feed = HeadFeed((), lambda: None, poll=1.0)
    await feed.run()
    assert feed.health() is None


async def test_a_node_that_takes_the_connection_and_never_answers_makes_room_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heads, "_CONNECT_S", 0.2)

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def behave(socket: web.WebSocketResponse) -> None:
        await socket.send_json(SUBSCRIBED)
        await _to_the_end(socket)

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    address = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, node(behave) as (url, _), feeding(address, url) as sleeper:
        await sleeper.until(1)
        health = sleeper.feed.health()
        assert health is not None
        assert (health.connected, health.reconnects) == (True, 1)

"""Who limits our rate is left alone, and our own ceiling keeps us from being limited."""

import asyncio
import json
from contextlib import AsyncExitStack

import pytest
from aiohttp import web

from chainwatch.chain.logs import in_range
from chainwatch.chain.pace import Paces
from chainwatch.chain.ranges import Span
from chainwatch.chain.rpc import Call, RpcError, RpcPool
from chainwatch.chain.standing import Standing
from chainwatch.errors import RpcUnavailable
from tests.support.chain_model import CONTRACT
from tests.support.rpc_server import Handler, answering, echo, echoing, serving, serving_at

DATED = {
    "Date": "Sun, 22 Nov 2026 12:00:00 GMT",
    "Retry-After": "Sun, 22 Nov 2026 12:02:00 GMT",
}


def counting(handler: Handler, asked: list[int]) -> Handler:
    """The same answers; `asked` takes how many calls each request had."""

    async def handle(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        asked.append(len(body) if isinstance(body, list) else 1)
        return await handler(request)

    return handle


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"Retry-After": "30"}, 30),
        (429, DATED, 120),
        (429, {"Retry-After": "tomorrow"}, 5),
        (429, {"Retry-After": "99999999"}, 300),
        (429, {}, 5),
        (503, {"Retry-After": "7"}, 7),
    ],
)
async def test_who_limits_our_rate_is_left_alone_for_as_long_as_it_asks(
    status: int, headers: dict[str, str], seconds: int
) -> None:
    asked: list[int] = []
    limiting = answering('{"error": {"code": 1}}', status, headers)
    async with serving(counting(limiting, asked)) as pool:
        rpc = pool.ranked()[0]
        with pytest.raises(RpcUnavailable, match=f"HTTP {status}.* set requests_per_second"):
            await rpc.call("eth_chainId")
        with pytest.raises(RpcUnavailable, match=f"asked again in {seconds} s"):
            await rpc.call("eth_chainId")
        with pytest.raises(RpcUnavailable, match="limits our rate"):
            await rpc.batch([("eth_chainId", ())])
        assert pool.health()[0].resting
    assert asked == [1]


async def test_a_node_that_is_down_for_no_stated_time_may_be_asked_at_once() -> None:
    asked: list[int] = []
    async with serving(counting(answering("<html>", 503), asked)) as pool:
        for _ in range(2):
            with pytest.raises(RpcUnavailable, match="HTTP 503"):
                await pool.ranked()[0].call("eth_chainId")
    assert asked == [1, 1]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (429, "Your app has exceeded its compute units per second capacity"),
        (-32005, "project ID request rate exceeded, rate limited"),
        (-32029, "try again"),
        (-32000, "Too Many Requests"),
    ],
)
async def test_an_error_that_speaks_of_our_rate_silences_the_endpoint(
    code: int, message: str
) -> None:
    asked: list[int] = []

    async def partly(request: web.Request) -> web.Response:
        body = await request.json()
        error = {"code": code, "message": message}
        served = [{"id": one["id"], "result": "0x1"} for one in body[:-1]]
        return web.json_response([*served, {"id": body[-1]["id"], "error": error}])

    async with serving(counting(partly, asked)) as pool:
        rpc = pool.ranked()[0]
        with pytest.raises(RpcUnavailable, match=f"limits our rate: {message}"):
            await rpc.batch([("eth_chainId", ())] * 3)
        with pytest.raises(RpcUnavailable, match="asked again in 5 s"):
            await rpc.call("eth_chainId")
    assert asked == [3]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (3, "execution reverted: rate limit"),
        (-32000, "execution reverted: quota"),
        (-32005, "query returned more than 10000 results"),
    ],
)
async def test_what_is_not_about_our_rate_silences_nobody(code: int, message: str) -> None:
    answer = json.dumps({"error": {"code": code, "message": message}})
    async with serving(answering(answer)) as pool:
        for _ in range(2):
            with pytest.raises(RpcError, match=message):
                await pool.ranked()[0].call("eth_call")


def test_who_limits_us_again_and_again_without_a_time_is_left_alone_for_longer() -> None:
    standing = Standing()
    silences = []
    for _ in range(20):
        standing.limited("HTTP 429", None, 0.0)
        silences.append(standing.silent_for(0.0))
    assert silences[:4] == [5, 10, 20, 40]
    assert silences[-1] == 300
    assert standing.rests(299.0)
    standing.answered(0.1)
    standing.limited("HTTP 429", None, 1000.0)
    assert standing.silent_for(1000.0) == 5


async def test_no_request_has_more_calls_than_our_ceiling_and_the_next_waits_for_its_turn() -> None:
    asked: list[int] = []
    first = asyncio.Event()

    async def noticing(request: web.Request) -> web.StreamResponse:
        first.set()
        return await echoing(request)

    async with (
        serving(counting(noticing, asked), ceiling=7.5) as pool,
        asyncio.TaskGroup() as group,
    ):
        batch = group.create_task(pool.ranked()[0].batch([("eth_something", ())] * 20))
        await first.wait()
        batch.cancel()
    assert asked == [7]


async def test_below_our_ceiling_a_request_is_as_large_as_without_one() -> None:
    asked: list[int] = []
    calls: list[Call] = [("eth_something", (number,)) for number in range(150)]
    async with serving(counting(echoing, asked), ceiling=200) as pool:
        assert await pool.ranked()[0].batch(calls) == [[number] for number in range(150)]
    assert asked == [100, 50]


async def test_sources_that_share_an_address_share_its_ceiling() -> None:
    asked: list[int] = []
    async with serving_at(counting(echoing, asked)) as url, AsyncExitStack() as held:
        paces = Paces({url: 0.01})
        first, second = (RpcPool([url], timeout=5, paces=paces) for _ in range(2))
        held.push_async_callback(first.close)
        held.push_async_callback(second.close)
        await first.ranked()[0].call("eth_something")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await second.ranked()[0].call("eth_something")
    assert asked == [1]


@pytest.mark.parametrize(("status", "blocks"), [(429, 32), (500, 16)])
async def test_who_limits_our_rate_is_not_asked_for_less_and_who_fails_is(
    status: int, blocks: int
) -> None:
    span = Span(1000)
    async with serving(answering("no", status)) as pool:
        with pytest.raises(RpcUnavailable):
            await in_range(pool.ranked()[0], CONTRACT, 1, 1000, span)
    assert span.blocks == blocks


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize(
    "refusal",
    [
        "maximum 10 calls in 1 batch",
        "Batch of more than 3 requests are not allowed on free tier",
        "too many requests in batch",
    ],
)
async def test_who_refuses_a_batch_for_its_size_is_asked_for_less_at_once(
    refusal: str, listed: bool
) -> None:
    sizes: list[int] = []

    async def narrow(request: web.Request) -> web.Response:
        body = await request.json()
        sizes.append(len(body))
        if len(body) <= 3:
            return web.json_response([echo(one) for one in body])
        error = {"jsonrpc": "2.0", "id": None, "error": {"code": -32014, "message": refusal}}
        return web.json_response([error] if listed else error)

    async with serving(narrow) as pool:
        calls: list[Call] = [("eth_something", (number,)) for number in range(30)]
        for _ in range(2):
            assert await pool.ranked()[0].batch(calls) == [[number] for number in range(30)]
        assert sizes[:4] == [30, 15, 7, 3]
        assert set(sizes[4:]) == {3}
        assert pool.health()[0].failures == 0

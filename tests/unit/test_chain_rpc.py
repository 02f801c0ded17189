"""Endpoints over real HTTP: what is an answer, what is none, who is asked next."""

import asyncio
import json
import logging
import subprocess
import sys
from contextlib import suppress

import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port

from chainwatch.chain import rpc, transport
from chainwatch.chain.rpc import BATCH, Call, Rpc, RpcError, RpcPool
from chainwatch.chain.transport import host_of, secrets_of
from chainwatch.errors import RpcUnavailable
from tests.support.rpc_server import SECRET, Handler, answering, echo, echoing, serving


async def test_a_call_gets_the_nodes_result() -> None:
    async with serving(echoing) as pool:
        assert await pool.ranked()[0].call("eth_something", "0x1", False) == ["0x1", False]


async def test_a_batch_keeps_its_order_whatever_order_the_answers_come_in() -> None:
    calls: list[Call] = [("eth_something", (number,)) for number in range(2 * BATCH + 7)]
    async with serving(echoing) as pool:
        assert await pool.ranked()[0].batch(calls) == [[n] for n in range(2 * BATCH + 7)]


async def test_an_empty_batch_asks_nothing() -> None:
    async with serving(answering("never asked", 500)) as pool:
        assert await pool.ranked()[0].batch([]) == []


async def test_the_nodes_error_is_an_answer_with_its_code_text_and_data() -> None:
    error = {"code": 3, "message": "execution reverted", "data": "0x7e27"}
    async with serving(answering(json.dumps({"id": 0, "error": error}))) as pool:
        with pytest.raises(RpcError) as failed:
            await pool.ranked()[0].call("eth_call")
        assert (failed.value.code, failed.value.data) == (3, "0x7e27")
        both = await pool.ranked()[0].batch([("eth_call", ()), ("eth_call", ())])
        assert [isinstance(one, RpcError) for one in both] == [True, True]
        assert pool.health()[0].failures == 0


@pytest.mark.parametrize(
    ("words", "there"),
    [
        *(("already known", True), ("err: AlreadyKnown", True), ("Known transaction", True)),
        *(("Transaction with the same hash was already imported.", True), ("OldNonce", True)),
        *(("nonce too low: next nonce 1", True), ("Transaction nonce is too low.", True)),
        *(("unknown transaction type", False), ("unknown transaction", False)),
        *(("nonce too high", False), ("announce too low", False), ("insufficient funds", False)),
    ],
)
def test_a_transaction_is_there_by_whole_words_alone(words: str, there: bool) -> None:
    assert RpcError(-32000, words).there is there


async def test_a_whole_surrogate_pair_is_text() -> None:
    error = '{"id": 0, "error": {"code": 1, "message": "no \\ud83d\\ude00"}}'
    async with serving(answering(error)) as pool:
        with pytest.raises(RpcError, match="no \N{GRINNING FACE}"):
            await pool.ranked()[0].call("eth_call")


async def test_an_error_in_a_refused_requests_body_is_still_the_nodes_answer() -> None:
    error = {"id": 0, "error": {"code": -32602, "message": "range is limited to 10 blocks"}}
    async with serving(answering(json.dumps(error), 400)) as pool:
        with pytest.raises(RpcError, match="limited to 10 blocks"):
            await pool.ranked()[0].call("eth_getLogs")


@pytest.mark.parametrize(
    "handler",
    [
        answering("<html>bad gateway</html>", 502),
        answering("<html>welcome</html>"),
        answering('{"result": "0x1"}', 500),
        answering('{"id": 0, "resu'),
        answering("[]"),
        answering("[" * 100_000),
        answering('{"id": 0}'),
        answering("", 302, {"Location": "http://127.0.0.1:1/elsewhere"}),
        answering("\xff"),
        answering('{"id": 0, "error": {"code": 1, "message": "half a pair: \\ud800"}}'),
        answering(b'{"id": 0, "error": {"code": 1, "message": "half a pair: \xed\xa0\x80"}}'),
    ],
)
async def test_what_is_no_json_rpc_answer_is_unavailable_and_names_the_host_only(
    handler: Handler,
) -> None:
    async with serving(handler) as pool:
        rpc = pool.ranked()[0]
        with pytest.raises(RpcUnavailable) as failed:
            await rpc.call("eth_chainId")
        assert rpc.name in str(failed.value)
        assert SECRET not in str(failed.value)
        with pytest.raises(RpcUnavailable):
            await rpc.batch([("eth_chainId", ()), ("eth_chainId", ())])


@pytest.mark.parametrize(
    "answer",
    [
        '{"id": 7, "result": "0x1"}',
        '{"result": "0x1"}',
        '{"id": "0", "result": "0x1"}',
        '{"id": [0], "result": "0x1"}',
        '{"id": 7, "error": {"code": -32000, "message": "no"}}',
        '{"id": 0, "error": {"code": "many"}, "result": null}',
        '{"id": 0, "error": "no", "result": "0x1"}',
    ],
)
async def test_an_answer_to_something_else_is_none(answer: str) -> None:
    async with serving(answering(answer)) as pool:
        with pytest.raises(RpcUnavailable, match="something"):
            await pool.ranked()[0].call("eth_chainId")
        assert pool.health()[0].failures == 1


@pytest.mark.parametrize(
    "answer",
    [
        '{"id": 0, "result": "0x1"}',
        '[{"id": 0, "result": "0x1"}, {"id": 0, "result": "0x2"}]',
        '[{"id": 0, "result": 1}, {"id": 1, "result": 2}, {"id": 1, "result": 3}]',
        '[{"id": 0, "result": "0x1"}, {"id": [1], "result": "0x2"}]',
        '[{"id": 0, "result": "0x1"}, {"id": 2, "result": "0x2"}]',
        '[{"id": 0, "result": "0x1"}, null]',
    ],
)
async def test_a_batch_whose_answers_cannot_be_told_apart_is_not_answered(answer: str) -> None:
    async with serving(answering(answer)) as pool:
        with pytest.raises(RpcUnavailable, match="did not answer every call"):
            await pool.ranked()[0].batch([("eth_a", ()), ("eth_b", ())])


async def test_an_answer_that_says_no_id_is_an_error_for_whatever_was_asked() -> None:
    error = {"id": None, "error": {"code": -32700, "message": "parse error"}}
    async with serving(answering(json.dumps(error))) as pool:
        with pytest.raises(RpcError, match="parse error"):
            await pool.ranked()[0].call("eth_chainId")


@pytest.mark.parametrize("compressed", [False, True])
async def test_an_answer_larger_than_sane_is_refused_before_it_is_held(
    compressed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MOST_BYTES", 2**20)
    sent = 0

    async def pouring(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        if compressed:
            response.enable_compression(web.ContentCoding.gzip)
        await response.prepare(request)
        with suppress(ConnectionError):
            for _ in range(4096):
                await response.write(b" " * 2**18)
                sent += 2**18
        return response

    async with serving(pouring) as pool:
        with pytest.raises(RpcUnavailable, match="more than 1 MiB: lower max_range"):
            await pool.ranked()[0].call("eth_getLogs")
    assert sent < 2**30


async def test_a_body_that_ends_early_or_cannot_be_unpacked_is_none() -> None:
    async def short(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"id": 0, "result": "0x1"}')
        assert request.transport is not None
        request.transport.close()
        return response

    packed = answering("not gzip", headers={"Content-Encoding": "gzip"})
    async with serving(short, packed) as pool:
        for rpc in pool.ranked():
            with pytest.raises(RpcUnavailable, match=rpc.name):
                await rpc.call("eth_chainId")


async def test_an_answer_that_trickles_in_past_the_timeout_is_none() -> None:
    over = asyncio.Event()

    async def trickling(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"id": 0, ')
        await over.wait()
        return response

    async with serving(trickling, patience=0.05) as pool:
        with pytest.raises(RpcUnavailable, match=r"did not answer within 0\.05 s"):
            await pool.ranked()[0].call("eth_chainId")
        over.set()


async def test_a_batch_that_is_answered_in_part_is_not_answered() -> None:
    async def partly(request: web.Request) -> web.Response:
        body = await request.json()
        return web.json_response([echo(one) for one in body[1:]])

    async with serving(partly) as pool:
        with pytest.raises(RpcUnavailable, match="did not answer every call"):
            await pool.ranked()[0].batch([("eth_a", ()), ("eth_b", ())])


async def test_a_connection_that_is_refused_or_cut_is_unavailable() -> None:
    async def cutting(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with serving(cutting) as pool:
        with pytest.raises(RpcUnavailable, match=r"127\.0\.0\.1:\d+: \w+"):
            await pool.ranked()[0].call("eth_chainId")
    nobody = RpcPool([f"http://127.0.0.1:{unused_port()}/{SECRET}"], timeout=5)
    try:
        with pytest.raises(RpcUnavailable) as failed:
            await nobody.ranked()[0].call("eth_chainId")
    finally:
        await nobody.close()
    assert SECRET not in str(failed.value)


async def test_an_answer_past_the_timeout_is_none() -> None:
    too_late = asyncio.Event()

    async def hanging(_: web.Request) -> web.Response:
        await too_late.wait()
        return web.Response()

    async with serving(hanging, patience=0.05) as pool:
        with pytest.raises(RpcUnavailable, match=r"did not answer within 0\.05 s"):
            await pool.ranked()[0].call("eth_chainId")
        too_late.set()


async def test_one_that_lets_us_wait_in_vain_is_not_waited_for_while_another_one_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    too_late = asyncio.Event()
    asked: list[web.Request] = []

    async def hanging(request: web.Request) -> web.Response:
        asked.append(request)
        await too_late.wait()
        return web.Response()

    async with serving(hanging, echoing, patience=0.05) as pool:
        first, second = pool.ranked()
        with pytest.raises(RpcUnavailable, match="did not answer within"):
            await first.call("eth_chainId")
        with pytest.raises(RpcUnavailable, match=r"did not answer; it is asked again in . s"):
            await first.batch([("eth_chainId", ())])
        assert len(asked) == 1
        later = asyncio.get_running_loop().time() + 3
        monkeypatch.setattr(rpc, "_now", lambda: later)
        with pytest.raises(RpcUnavailable, match="did not answer within"):
            await first.call("eth_chainId")
        second.quarantine("it made up a log")
        with pytest.raises(RpcUnavailable, match="did not answer within"):
            await first.call("eth_chainId")
        assert len(asked) == 3
        too_late.set()


def test_json_that_nests_without_end_is_an_error_and_no_crash() -> None:
    program = "import sys, chainwatch.chain.scanner; print(sys.getrecursionlimit())"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert int(told.stdout) <= 1000


async def test_an_endpoint_that_failed_is_asked_after_those_that_did_not() -> None:
    async with serving(answering("no", 503), echoing) as pool:
        first, second = pool.ranked()
        with pytest.raises(RpcUnavailable):
            await first.call("eth_chainId")
        assert list(pool.ranked()) == [second, first]
        failing = pool.health()[0]
        assert failing.resting
        assert failing.failures == 1
        assert "HTTP 503" in str(failing.last_error)


async def test_an_endpoint_that_contradicted_itself_is_asked_last_and_the_reason_is_shown() -> None:
    async with serving(echoing, echoing) as pool:
        first, second = pool.ranked()
        first.saw_head(17)
        first.distrust("block 5 is not block 5")
        await first.call("eth_chainId")
        assert list(pool.ranked()) == [second, first]
        assert pool.health()[0].head == 17
        assert pool.health()[0].last_error == "block 5 is not block 5"


async def test_one_that_was_proven_wrong_is_not_asked_while_anybody_else_can_be() -> None:
    async with serving(echoing, echoing, echoing) as pool:
        first, second, third = pool.ranked()
        first.quarantine("it left out a log of block 5")
        second.distrust("it contradicted itself")
        assert list(pool.ranked()) == [third, second]
        assert [health.quarantined for health in pool.health()] == [
            "it left out a log of block 5",
            None,
            None,
        ]
        second.quarantine("it made up a log")
        third.quarantine("it has another block 7")
        assert list(pool.ranked()) == [first, third, second]


async def test_after_a_quarantine_an_endpoint_is_asked_last_and_later_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(echoing, echoing) as pool:
        first, second = pool.ranked()
        monkeypatch.setattr(rpc, "_now", lambda: 0.0)
        first.quarantine("it left out a log")
        second.distrust("it contradicted itself")
        later: dict[float, list[Rpc]] = {}
        for after in (599.0, 600.0, 1199.0, 1200.0):
            monkeypatch.setattr(rpc, "_now", lambda after=after: after)
            later[after] = list(pool.ranked())
    assert later == {
        599: [second],
        600: [second, first],
        1199: [second, first],
        1200: [first, second],
    }


async def test_endpoints_of_one_host_are_told_apart() -> None:
    url = f"http://127.0.0.1:{unused_port()}/{SECRET}"
    pool = RpcPool([url, f"{url}/2", url], timeout=5)
    host = host_of(url)
    try:
        assert [each.host for each in pool.health()] == [host, f"{host} #2", f"{host} #3"]
        with pytest.raises(RpcUnavailable, match=f"{host} #2: ClientConnectorError"):
            await pool.ranked()[1].call("eth_chainId")
    finally:
        await pool.close()


async def test_an_endpoint_that_lags_beyond_the_confirmations_goes_after_one_that_does_not() -> (
    None
):
    async with serving(echoing, echoing, echoing) as pool:
        first, second, third = pool.ranked()
        third.saw_head(103)
        second.saw_head(100)
        first.saw_head(101)
        assert [health.lag for health in pool.health()] == [2, 3, 0]
        assert list(pool.ranked()) == [first, third, second]


async def test_latency_is_told_once_there_was_an_answer() -> None:
    async with serving(echoing) as pool:
        assert pool.health()[0].latency_ms is None
        await pool.ranked()[0].call("eth_chainId")
        assert (pool.health()[0].latency_ms or 0) > 0


async def test_an_error_that_repeats_our_key_is_told_without_it() -> None:
    error = {"code": -32000, "message": "project id an-api-key is over its quota"}
    async with serving(answering(json.dumps({"error": error}))) as pool:
        with pytest.raises(RpcUnavailable, match="project id … is over its quota"):
            await pool.ranked()[0].call("eth_chainId")


def test_what_may_be_a_key_is_every_long_word_beside_scheme_and_host() -> None:
    url = "https://someone:password@node.example.org:8545/v3/0123456789abcdef?token=fedcba98&x=1"
    assert secrets_of(url) == ("password", "0123456789abcdef", "fedcba98")
    assert host_of(url) == "node.example.org:8545"


async def test_no_log_line_holds_the_address(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.DEBUG, logger="chainwatch"),
        caplog.at_level(logging.DEBUG, "web3"),
    ):
        async with serving(answering("no", 503), echoing) as pool:
            with pytest.raises(RpcUnavailable):
                await pool.ranked()[0].call("eth_chainId")
            await pool.ranked()[0].batch([("eth_chainId", ())])
    assert SECRET not in caplog.text

"""What providers say when they are asked for too much, and what is made of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.chain.ranges import Span, is_rate_limit, suggested

FIRST = 0x100


ALCHEMY = (
    "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range and "
    "no limit on the response size, or you can request any block range with a cap of 10K logs in "
    "the response. Based on your parameters and the response size limit, this block range should "
    "work: [0x100, 0x12c]"
)
ALCHEMY_FREE = (
    "You can make eth_getLogs requests with up to a 500 block range. Based on your parameters, "
    "this block range should work: [0x100, 0x2f3]"
)
MORPH = "block range is larger than max block range, block range = 5120, max block range = 5000"
THIRDWEB = "Log response size exceeded. Maximum allowed number of requested blocks is 1000"


@pytest.mark.parametrize(
    ("provider", "message", "blocks"),
    [
        ("Alchemy", ALCHEMY, 45),
        ("Alchemy on Arbitrum", ALCHEMY.partition(" Based")[0], 2000),
        ("Alchemy, free", ALCHEMY_FREE, 500),
        ("Ankr", "block range is too wide", None),
        ("Arbitrum", "logs matched by query exceeds limit of 10000", None),
        ("Aurora", "up to a 2,000 block range", 2000),
        (
            "Avalanche",
            "requested too many blocks from 256 to 10256, maximum is set to 2048",
            2048,
        ),
        ("Base", "block range too large", None),
        ("Besu", "Requested range exceeds maximum RPC range limit", None),
        ("BlastAPI", "eth_getLogs exceeds the range allowed for your plan (5000 > 1000)", 1000),
        ("BlockPI", "eth_getLogs is limited to 1024 block range.", 1024),
        ("BNB Smart Chain", "exceed maximum block range: 5000", 5000),
        ("BNB Smart Chain, public", "limit exceeded", None),
        ("Chainstack", "Block range limit exceeded. See more details at limits#evm", None),
        ("Cloudflare", "Max range: 800", 800),
        ("Coinbase", "please limit the query to at most 1,000 blocks", 1000),
        ("Cronos", "maximum [from, to] blocks distance: 2000", 2000),
        ("dRPC", "ranges over 10000 blocks are not supported on free plan", 10_000),
        ("Erigon, CDK", "block range too large, max range: 1500", 1500),
        ("Harmony", "query must be smaller than size 1024", 1024),
        ("Infura", "range 1000000 exceeds limit of 10000", 10_000),
        (
            "Infura, by results",
            "query returned more than 10000 results. Try with this block range [0x100, 0x1ff].",
            256,
        ),
        ("LlamaNodes", "query exceeds max results 20000", None),
        ("Merkle", "eth_getLogs range is too large, max is 10k blocks", 10_000),
        ("Moonbeam", "block range is too wide (maximum 1024)", 1024),
        ("Morph", MORPH, 5000),
        ("1RPC", "response size should not greater than 10000000 bytes", None),
        ("1RPC, by range", "eth_getLogs is limited to 0 - 1000 blocks range", 1000),
        ("OP Mainnet", "backend response too large", None),
        (
            "Pocket",
            "query block range exceeds server limit, narrow your filter: 5000",
            5000,
        ),
        ("PublicNode", "exceed maximum block range: 50000", 50_000),
        ("QuickNode", "eth_getLogs is limited to a 10,000 range", 10_000),
        ("Reth", "query exceeds max block range 100000", 100_000),
        (
            "Reth, by results",
            "query exceeds max results 20000, retry with the range 256-319",
            64,
        ),
        ("Scroll", "block range is bigger than maxBlockRange", None),
        ("Somnia", "block range exceeds 1000", 1000),
        ("Swell", "block range greater than 10000 max", 10_000),
        ("Tenderly", "range 9009594 is bigger than range limit 2000", 2000),
        ("Thirdweb", THIRDWEB, 1000),
        ("zkEVM", "query returned more than 10000 results", None),
        (
            "ZKsync",
            "Query returned more than 10000 results. Try with this block range [0x100, 0x133].",
            52,
        ),
    ],
)
def test_what_a_provider_says_would_work_is_understood(
    provider: str, message: str, blocks: int | None
) -> None:
    assert suggested(message, FIRST) == blocks, provider


@pytest.mark.parametrize(
    ("message", "blocks"),
    [
        ("block range limit exceeded: maximum allowed range: 2000", 2000),
        ("max block range is 500", 500),
        ("block range is too wide, the maximum is 3000", 3000),
        ("requested range of 9999 is larger than 1024 blocks", 1024),
        ("getLogs has a 800 block limit", 800),
        ("response size should not be greater than 10000000 bytes", None),
        ("query timeout exceeded", None),
        ("Try with this block range [0x50, 0xff].", None),
        ("retry with the range 80-90", None),
        ("maximum is 0", None),
    ],
)
def test_other_words_for_it_are_understood_and_numbers_of_logs_are_not_taken_for_blocks(
    message: str, blocks: int | None
) -> None:
    assert suggested(message, FIRST) == blocks


def test_an_answer_that_suggests_what_was_asked_is_a_bare_refusal() -> None:
    span = Span(100)
    assert span.refused(100, "query exceeds max results 20000, retry with the range 256-355", FIRST)
    assert span.blocks == 50
    span = Span(1000)
    assert span.refused(101, "ranges over 10000 blocks are not supported on free plan", FIRST)
    assert span.blocks == 50


@pytest.mark.parametrize(
    ("message", "limited"),
    [
        ("Too Many Requests", True),
        ("daily request count exceeded, request rate limited", True),
        ("Your app has exceeded its compute units per second capacity", True),
        ("15/second request limit reached - reduce calls per second", True),
        ("project ID request rate exceeded", True),
        ("query returned more than 10000 results", False),
        ("block range is too wide", False),
        ("limit exceeded", False),
        (ALCHEMY, False),
    ],
)
def test_asking_too_often_is_told_from_asking_too_much(message: str, limited: bool) -> None:
    assert is_rate_limit(message) is limited


def test_a_suggestion_is_taken_at_once_and_a_bare_refusal_halves() -> None:
    span = Span(10_000)
    assert span.refused(10_000, "eth_getLogs is limited to a 800 range", FIRST)
    assert span.blocks == 800
    assert span.refused(800, "no", FIRST)
    assert span.blocks == 400


def test_a_suggestion_that_is_no_less_than_was_asked_does_not_stop_the_halving() -> None:
    span = Span(100)
    assert span.refused(100, "max block range is 5000", FIRST)
    assert span.blocks == 50


def test_many_logs_narrow_the_span_and_few_widen_it_up_to_the_most() -> None:
    span = Span(1000)
    span.answered(1000, 40_000)
    assert span.blocks == 100
    for _ in range(200):
        span.answered(span.blocks, 10)
    assert span.blocks == 1000


def test_a_span_starts_small_and_doubles_until_the_first_refusal() -> None:
    span = Span(100_000)
    assert span.blocks == 32
    span.answered(32, 10)
    assert span.blocks == 65
    assert span.refused(65, "no", FIRST)
    span.answered(32, 10)
    assert span.blocks == 34


@given(answers=st.lists(st.sampled_from(["refused", "slow", "few", "many"]), max_size=60))
def test_a_span_stays_between_one_block_and_the_most(answers: list[str]) -> None:
    span = Span(5000)
    for answer in answers:
        asked = span.blocks
        match answer:
            case "refused":
                assert span.refused(asked, "no", FIRST) is (asked > 1)
            case "slow":
                span.halve()
            case "few":
                span.answered(asked, 0)
            case _:
                span.answered(asked, 1_000_000)
        assert 1 <= span.blocks <= 5000

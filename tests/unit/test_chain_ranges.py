"""What providers say when they are asked for too much, and what is made of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.chain.ranges import Span, is_rate_limit, suggested

FIRST = 0x100


@pytest.mark.parametrize(
    ("message", "blocks"),
    [
        ("query returned more than 10000 results. Try with this block range [0x100, 0x1ff].", 256),
        ("Log response size exceeded. this block range should work: [0x100, 0x12c]", 45),
        ("exceed maximum block range: 5000", 5000),
        ("eth_getLogs is limited to a 10,000 range", 10_000),
        ("eth_getLogs range is limited to 1000 blocks", 1000),
        ("block range limit exceeded: maximum allowed range: 2000", 2000),
        ("You can make eth_getLogs requests with up to a 2K block range", 2000),
        ("max block range is 500", 500),
        ("block range is too wide, the maximum is 3000", 3000),
        ("requested range of 9999 is larger than 1024 blocks", 1024),
        ("getLogs has a 800 block limit", 800),
        ("query returned more than 10000 results", None),
        ("response size should not be greater than 10000000 bytes", None),
        ("block range too large", None),
        ("query timeout exceeded", None),
        ("Try with this block range [0x50, 0xff].", None),
        ("maximum is 0", None),
    ],
)
def test_a_stated_limit_is_understood_and_numbers_of_logs_are_not_taken_for_one(
    message: str, blocks: int | None
) -> None:
    assert suggested(message, FIRST) == blocks


@pytest.mark.parametrize(
    ("message", "limited"),
    [
        ("Too Many Requests", True),
        ("daily request count exceeded, request rate limited", True),
        ("Your app has exceeded its compute units per second capacity", True),
        ("query returned more than 10000 results", False),
        ("block range is too wide", False),
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
    assert span.blocks == 250
    for _ in range(200):
        span.answered(span.blocks, 10)
    assert span.blocks == 1000


def test_a_span_starts_small_and_doubles_until_the_first_refusal() -> None:
    span = Span(100_000)
    assert span.blocks == 128
    span.answered(128, 10)
    assert span.blocks == 257
    assert span.refused(257, "no", FIRST)
    span.answered(128, 10)
    assert span.blocks == 135


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

"""Answers and the logs in them mean what a plain reading says, and what is not in order is refused.

The plain readings here are the standard library's and one field after the other: slow, and easy to
believe.
"""

import json
import math
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.chain.transport import Transport
from chainwatch.chain.wire import RawLog, raw_logs
from chainwatch.errors import NotAChain, RpcUnavailable
from tests.support.chain_model import CONTRACT

TRANSPORT: Final = Transport("http://node.invalid", "node", 1.0)
TEXTS: Final = st.text() | st.text(st.characters(exclude_categories=[]))
JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**300), 2**300) | st.floats() | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=20,
)
PIECES: Final = (
    *('"', "\\", "\\u", "d800", "\\udc00", "{", "}", "[", "]", ",", ":", "0", "-", "1e5", "."),
    *(
        "true",
        "null",
        "NaN",
        "Infinity",
        "1e999",
        " ",
        "\t",
        "\x00",
        "\x7f",
        "é",
        "'",
        "//",
        "\ufeff",
    ),
)


def plainly(text: bytes) -> object:
    """What the standard library makes of a body; ValueError for what nothing could store."""
    found = json.loads(text.decode("utf-8-sig"), parse_constant=_refused)
    json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    return found


def _refused(word: str) -> object:
    raise ValueError(word)


def agrees(body: bytes) -> None:
    """Read a body both ways: the same comes of it, or both refuse it."""
    try:
        expected = plainly(body)
    except (ValueError, RecursionError):
        with pytest.raises(RpcUnavailable):
            TRANSPORT._parse(200, bytearray(body))
        return
    found = TRANSPORT._parse(200, bytearray(body))
    assert repr(found) == repr(expected)


@given(value=JSON, ascii_only=st.booleans(), marked=st.booleans())
def test_what_is_json_is_read_as_it_was_meant(
    value: object, ascii_only: bool, marked: bool
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    agrees((b"\xef\xbb\xbf" if marked else b"") + text.encode(errors="surrogatepass"))


@given(pieces=st.lists(st.sampled_from(PIECES), max_size=12))
def test_what_looks_like_json_is_read_or_refused_as_by_a_plain_reader(pieces: list[str]) -> None:
    agrees("".join(pieces).encode())


@given(value=JSON, place=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
def test_a_body_with_one_wrong_byte_is_read_or_refused_as_by_a_plain_reader(
    value: object, place: float, byte: int
) -> None:
    body = bytearray(json.dumps(value).encode())
    body[math.floor(place * len(body))] = byte
    agrees(bytes(body))


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b" ", b'{"id": 0', b'{"id": 0}}', b"{'id': 0}", b"[1,]", b"01", b'"\t"', b"nul"),
        *(b"NaN", b"-Infinity", b"1e999", b'"\\x41"', b'"\\ud800"', b'"\\udc00"', b'"\xff"'),
        *(b"9" * 5000, b"[" * 100_000, b"\xff\xfe{\x00}\x00", b"\xef\xbb\xbf\xef\xbb\xbf{}"),
    ],
)
def test_what_is_no_json_is_no_answer(body: bytes) -> None:
    with pytest.raises(RpcUnavailable, match="without JSON"):
        TRANSPORT._parse(200, bytearray(body))


def test_of_two_parts_of_one_name_the_last_counts() -> None:
    assert TRANSPORT._parse(200, bytearray(b'{"id": 1, "id": 2}')) == {"id": 2}


# ---------------------------------------------------------------------------------------- the logs


def _spelled(raw: bytes, upper: bool) -> str:
    return f"0x{raw.hex().upper() if upper else raw.hex()}"


HEX: Final = st.builds(_spelled, st.binary(max_size=70), st.booleans())
WORDS: Final = st.builds(_spelled, st.binary(min_size=32, max_size=32), st.booleans())
PARTS: Final[dict[str, st.SearchStrategy[object]]] = {
    "address": st.builds(_spelled, st.just(bytes.fromhex(CONTRACT[2:])), st.booleans()),
    "blockNumber": st.integers(0, 3).map(hex),
    "blockHash": WORDS,
    "logIndex": st.integers(0, 2**32 - 1).map(hex),
    "transactionHash": WORDS,
    "topics": st.lists(WORDS | HEX, max_size=4),
    "data": HEX,
}
MORE: Final[dict[str, st.SearchStrategy[object]]] = {
    "removed": st.just(value=False),
    "transactionIndex": st.just("0x0"),
}
SAID: Final = st.fixed_dictionaries(PARTS, optional=MORE)
BROKEN: Final[st.SearchStrategy[object]] = st.sampled_from(
    [
        *(None, 7, True, 1.5, "", "0x", "0xzz", "0x123", "12", "0X12", " 0x12", "0x1 2", "0x-1"),
        *(
            "0x1_0",
            "0x\u0661",
            [],
            {},
            ["0x"],
            "0x" + "00" * 31,
            "0x" + "00" * 33,
            hex(2**32),
            hex(2**63),
        ),
    ]
)


def plain_log(said: dict[str, object]) -> RawLog:
    """A log read by the book, one part after the other; ValueError for what is none."""
    topics = said["topics"]
    if not isinstance(topics, list) or said.get("removed"):
        raise ValueError(said)
    return RawLog(
        _text(said["address"]).lower(),
        _number(said["blockNumber"]),
        _hash(said["blockHash"]),
        _number(said["logIndex"], below=2**32),
        _hash(said["transactionHash"]),
        tuple(_raw(topic) for topic in topics),
        _raw(said["data"]),
    )


def _text(value: object) -> str:
    match value:
        case str(text):
            return text
    raise ValueError(value)


def _digits(value: object) -> str:
    text = _text(value)
    if text[:2] != "0x" or not {*text[2:]} <= {*"0123456789abcdefABCDEF"}:
        raise ValueError(value)
    return text[2:]


def _number(value: object, *, below: int = 2**63) -> int:
    number = int(_digits(value), 16)
    if number >= below:
        raise ValueError(value)
    return number


def _raw(value: object) -> bytes:
    return bytes.fromhex(_digits(value))


def _hash(value: object) -> str:
    if len(_raw(value)) != 32:
        raise ValueError(value)
    return _text(value).lower()


@given(said=st.lists(SAID, max_size=8, unique_by=lambda log: (log["blockNumber"], log["logIndex"])))
def test_logs_are_read_whole_and_in_the_chains_order(said: list[dict[str, object]]) -> None:
    expected = sorted(map(plain_log, said), key=lambda log: (log.block, log.log_index))
    assert raw_logs(said, CONTRACT) == expected


@given(said=st.lists(SAID, min_size=1, max_size=4), field=st.sampled_from([*PARTS]), put=BROKEN)
def test_logs_with_a_broken_part_are_no_answer_unless_it_is_right_after_all(
    said: list[dict[str, object]], field: str, put: object
) -> None:
    said[-1] = said[-1] | {field: put}
    try:
        expected = plain_log(said[-1])
    except ValueError:
        with pytest.raises(NotAChain):
            raw_logs(said, CONTRACT)
        return
    if expected.address == CONTRACT:
        assert raw_logs(said[-1:], CONTRACT) == [expected]


@given(said=SAID, field=st.sampled_from([*PARTS]))
def test_a_log_that_lacks_a_part_is_no_answer(said: dict[str, object], field: str) -> None:
    del said[field]
    with pytest.raises(NotAChain):
        raw_logs([said], CONTRACT)


@pytest.mark.parametrize("told", [None, {}, "0x", 7, [None], [7], ["0x"], [[]], [()]])
def test_what_is_no_list_of_logs_is_no_answer(told: object) -> None:
    with pytest.raises(NotAChain):
        raw_logs(told, CONTRACT)


@given(said=SAID)
def test_a_log_that_was_removed_or_is_of_another_address_is_no_answer(
    said: dict[str, object],
) -> None:
    for wrong in ({"removed": True}, {"address": "0x" + "11" * 20}):
        with pytest.raises(NotAChain):
            raw_logs([said | wrong], CONTRACT)

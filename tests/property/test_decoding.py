"""What is cut out of a log by hand is what eth-abi makes of it, or nothing at all.

Logs are written by eth-abi, and then some of their bytes are changed, added or taken away, as a
node that errs or lies would have it; eth-abi is the judge of what they say then.
"""

from collections.abc import Callable, Sequence

from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError
from hypothesis import example, given
from hypothesis import strategies as st

from chainwatch.chain import profiles
from chainwatch.chain.decode import LAST_SECOND
from chainwatch.chain.wire import RawLog
from chainwatch.domain.events import (
    Event,
    ExpiryUpdated,
    KeysChanged,
    LeaseMinted,
    PlanTerms,
    Transferred,
)
from tests.support.telling import ADDRESSES, AMOUNTS, TOKENS, U32, log_of, only, raw_log

TIMES = st.integers(0, LAST_SECOND)
TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=100)
BLOBS = st.binary(max_size=100).map(lambda raw: f"0x{raw.hex()}" if raw else "")
KEYS = st.builds(KeysChanged, TOKENS, TEXTS, BLOBS)
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(Transferred, TOKENS, ADDRESSES, ADDRESSES),
    st.builds(LeaseMinted, TOKENS, TOKENS, ADDRESSES, AMOUNTS, AMOUNTS),
    st.builds(ExpiryUpdated, TOKENS, TIMES),
    st.builds(PlanTerms, TOKENS, ADDRESSES, AMOUNTS, U32, st.booleans()),
    KEYS,
)
IN_A_TOPIC = st.lists(st.tuples(st.integers(0, 31), st.integers(0, 255)), max_size=3)
IN_DATA = st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255)), max_size=3)
OWNER = "0x" + "a1" * 20

_Make = Callable[..., Event]


def _keys(token: int, ssh: bytes, encryption: bytes) -> Event:
    text = ssh.decode("ascii", errors="replace").strip(" ")
    return KeysChanged(token, text, f"0x{encryption.hex()}" if encryption else "")


READ: dict[type[Event], tuple[Sequence[str], Sequence[str], _Make]] = {
    Transferred: (
        ("address", "address", "uint256"),
        (),
        lambda sender, recipient, token: Transferred(token, sender, recipient),
    ),
    LeaseMinted: (("uint256", "uint256", "address"), ("uint256", "uint256"), LeaseMinted),
    ExpiryUpdated: (
        ("uint256",),
        ("uint64",),
        lambda token, until: ExpiryUpdated(token, min(until, LAST_SECOND)),
    ),
    KeysChanged: (("uint256",), ("bytes", "bytes"), _keys),
    PlanTerms: (("uint256",), ("address", "uint256", "uint32", "bool"), PlanTerms),
}


def judged(kind: type[Event], log: RawLog) -> Event | None:
    """What eth-abi makes of a log of some kind; None when it refuses."""
    indexed, types, make = READ[kind]
    try:
        topics = [abi_decode([t], raw)[0] for t, raw in zip(indexed, log.topics[1:], strict=True)]
        return make(*topics, *abi_decode(types, log.data))
    except (DecodingError, OverflowError):
        return None


def edited(raw: bytes, edits: Sequence[tuple[int, int]], length: int) -> bytes:
    """Bytes with some of them changed, and cut or filled up by `length`."""
    changed = bytearray(raw)
    for place, value in edits:
        if place < len(changed):
            changed[place] = value
    return bytes(changed[:length]) if length < 0 else bytes(changed) + bytes(length)


@given(event=EVENTS)
def test_what_compilers_write_is_read_as_eth_abi_reads_it(event: Event) -> None:
    log = log_of(event)
    found, doubt = only(profiles.get("lease"), log)
    assert judged(type(event), log) is not None
    assert doubt is not None or found == judged(type(event), log)


@given(event=EVENTS, topic=IN_A_TOPIC, data=IN_DATA, length=st.sampled_from([0, 0, -32, -1, 1, 32]))
@example(event=Transferred(1, OWNER, OWNER), topic=[(11, 1)], data=[], length=0)
@example(event=PlanTerms(1, OWNER, 1, 1, on_sale=True), topic=[], data=[(11, 1)], length=0)
@example(event=KeysChanged(1, "", ""), topic=[], data=[(31, 96), (63, 64)], length=0)
@example(event=KeysChanged(1, "a", "0x01"), topic=[], data=[(128, 1)], length=0)
def test_whatever_is_read_of_changed_bytes_is_what_eth_abi_reads(
    event: Event, topic: list[tuple[int, int]], data: list[tuple[int, int]], length: int
) -> None:
    log = log_of(event)
    first, *others = log.topics
    changed = raw_log(
        (first, *(edited(other, topic, 0) for other in others)), edited(log.data, data, length)
    )
    found, doubt = only(profiles.get("lease"), changed)
    truth = judged(type(event), changed)
    if found is not None and doubt is None:
        assert found == truth
    if found is None:
        assert truth is None or log_of(truth) != changed

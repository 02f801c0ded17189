"""One log at a time, told to a profile: what it makes of it, and what it says against it."""

from hypothesis import strategies as st
from msgspec.structs import replace

from chainwatch.chain.decode import Profile, decode
from chainwatch.chain.wire import RawLog
from chainwatch.domain.events import Event
from tests.support.chain_model import CONTRACT, RawEvent, encoded

ADDRESSES = st.integers(0, 2**160 - 1).map(lambda number: f"0x{number:040x}")
TOKENS = st.integers(0, 2**256 - 1)
AMOUNTS = st.integers(0, 2**256 - 1)
U32 = st.integers(0, 2**32 - 1)


def raw_log(topics: tuple[bytes, ...], data: bytes) -> RawLog:
    """A log of the watched contract: index 3 of block 7."""
    return RawLog(CONTRACT, 7, "0x" + "77" * 32, 3, "0x" + "66" * 32, topics, data)


def log_of(event: Event | RawEvent) -> RawLog:
    """The log that the contract emits for an event."""
    topics, data = encoded(event)
    return raw_log(tuple(bytes.fromhex(topic[2:]) for topic in topics), bytes.fromhex(data[2:]))


def cut_short(log: RawLog, cut: int) -> RawLog:
    """A log without the last `cut` bytes of its data; without its last topic where it has none."""
    if log.data:
        return replace(log, data=log.data[:-cut])
    return replace(log, topics=log.topics[:-1])


def only(profile: Profile, log: RawLog) -> tuple[Event | None, str | None]:
    """The event of a log, and what was said against it."""
    events, unreadable = decode(profile, [log])
    return (
        events[0].event if events else None,
        unreadable[0].reason if unreadable else None,
    )

"""Logs to events, through a table from (address, topic0) to decoder.

The address is the source's own (it has one, and `wire.raw_logs` refuses the log of another), so its
profile's table needs the topic alone. Three things can be said of a log of a watched contract: it
is an event, it is known and without meaning for us, or it cannot be read. The last is reported,
never dropped in silence: it means that the contract is not the one that the profile was written
for, or that somebody is trying us. The words of static types are sliced by hand (thirty times
faster than a general decoder).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from msgspec import Struct

from chainwatch.chain.wire import RawLog
from chainwatch.domain.batches import Source
from chainwatch.domain.events import Event, Logged
from chainwatch.errors import NotAChain

WORD: Final = 32

_BEFORE_ADDRESS: Final = 12
_NO_MORE: Final = bytes(_BEFORE_ADDRESS)

LAST_SECOND: Final = 2**62 - 1
"""Times beyond are kept at it: sums of two still fit where a signed 64-bit number must."""


class Malformed(ValueError):
    """A log's topics or data are not those of the event that it claims to be."""


class Decoded(Struct, frozen=True, gc=False):
    """An event, and what of it was refused as unusable, if anything."""

    event: Event
    doubt: str | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A log that was not understood, or only in part: where it stands, and why."""

    block: int
    block_hash: str
    log_index: int
    tx_hash: str
    topic: str
    reason: str


Decoder: TypeAlias = Callable[[RawLog], Decoded]


class Profile(Protocol):
    """How one kind of lease contract is read."""

    @property
    def name(self) -> str:
        """What the configuration calls it."""

    @property
    def decoders(self) -> Mapping[bytes, Decoder]:
        """From topic0 to what reads such a log; a decoder raises `Malformed`."""

    @property
    def ignored(self) -> frozenset[bytes]:
        """The topic0 of events that are expected and say nothing about leases."""

    @property
    def silent(self) -> Mapping[bytes, Callable[[RawLog], int | None]]:
        """From topic0 to the token whose expiry such a log changes without saying it.

        None for a log that changes none; raises `Malformed`.
        """

    @property
    def topics(self) -> frozenset[bytes]:
        """The topic0 of every event that something follows from."""

    @property
    def plans_on_chain(self) -> bool:
        """Whether the contract says what it sells; else the source's configuration does."""

    @property
    def expiry_needs_token(self) -> bool:
        """Whether asking for the expiry of a token that does not exist reverts like `ownerOf`."""

    @property
    def expiry_bits(self) -> int:
        """How many bits of the answer to `expiry_call` may be set."""

    @property
    def zero_is_nobody(self) -> bool:
        """Whether the zero address as the owner says that there is no such token."""

    @property
    def contiguous(self) -> bool:
        """Whether token ids are given one after the other, from 1 on, and never twice."""

    @property
    def tells_all(self) -> bool:
        """Whether no owner and no expiry ever changes without one of these events."""

    def owner_call(self, token: int) -> str:
        """The call data (0x hex) that asks for a token's owner; answered by one word."""

    def expiry_call(self, token: int) -> str:
        """The call data (0x hex) that asks for a token's expiry; answered by one word."""

    def owner_in(self, answer: bytes) -> int:
        """The address, as a number, in an answer to `owner_call`; raises `NotAChain`."""

    def expiry_in(self, answer: bytes) -> int:
        """The time in an answer to `expiry_call`; raises `NotAChain` for no such answer."""

    def at(self, source: Source) -> "Profile":
        """The same profile for the contracts of one source."""

    @property
    def plan_numbers(self) -> bool:
        """Whether a lease says the number of a plan whose hardware the configuration says."""

    @property
    def delivers(self) -> bool:
        """Whether its contract is told of deliveries, and of all that is owed after them."""

    @property
    def credentials(self) -> bool:
        """Whether a second contract's tokens say who owns the leases."""

    def says_no_such_token(self, revert_data: str, token: int) -> bool:
        """Whether a revert's data says that there is no such token, and nothing else."""

    def ignoring(self, topics: frozenset[bytes]) -> "Profile":
        """The same profile, for which events with these topic0 say nothing either."""


def decode(profile: Profile, logs: Iterable[RawLog]) -> tuple[list[Logged], list[Unreadable]]:
    """The events of `logs`, in their order, and what could not be read."""
    events: list[Logged] = []
    unreadable: list[Unreadable] = []
    decoders = profile.decoders
    for log in logs:
        topic = log.topics[0] if log.topics else b""
        decoder = decoders.get(topic)
        try:
            if decoder is None:
                _check_known(profile, log, topic)
                continue
            decoded = decoder(log)
        except Malformed as wrong:
            unreadable.append(_unreadable(log, str(wrong)))
            continue
        if decoded.doubt is not None:
            unreadable.append(_unreadable(log, decoded.doubt))
        events.append(Logged(decoded.event, log.block, log.block_hash, log.log_index, log.tx_hash))
    return events, unreadable


def _check_known(profile: Profile, log: RawLog, topic: bytes) -> None:
    """Raise `Malformed` for a log that is no event, unless it is expected."""
    if topic in profile.silent:
        profile.silent[topic](log)
    elif topic not in profile.ignored:
        raise Malformed(f"its topic is none of profile {profile.name}")


def expect(log: RawLog, topics: int, words: int) -> None:
    """Raise `Malformed` unless the log has so many topics and words of static data."""
    if len(log.topics) != topics or len(log.data) != words * WORD:
        raise Malformed(
            f"expected {topics} topics and {words * WORD} bytes of data, "
            f"got {len(log.topics)} and {len(log.data)}"
        )
    expect_words(log)


def expect_words(log: RawLog) -> None:
    """Raise `Malformed` unless every topic is one word."""
    for topic in log.topics:
        if len(topic) != WORD:
            raise Malformed(f"a topic has {len(topic)} bytes instead of {WORD}")


def one_word(answer: bytes) -> int:
    """The number that a view answers; raises `NotAChain` unless that is one word."""
    if len(answer) != WORD:
        raise NotAChain(f"a call was answered with {len(answer)} bytes instead of {WORD}")
    return int.from_bytes(answer)


def word(data: bytes, place: int) -> int:
    """The unsigned integer in the word at `place`, counted from 0."""
    return int.from_bytes(data[place * WORD : (place + 1) * WORD])


def uint(value: int, bits: int) -> int:
    """`value`, if it fits into `bits`; raises `Malformed`: the node or the log is not honest."""
    if value >> bits:
        raise Malformed(f"a uint{bits} holds {value:#x}")
    return value


def address(value: bytes) -> str:
    """A word's bytes as an address in lower case; raises `Malformed` if it is longer than one."""
    if value[:_BEFORE_ADDRESS] != _NO_MORE:
        raise Malformed(f"a uint160 holds 0x{value.hex()}")
    return f"0x{value[_BEFORE_ADDRESS:].hex()}"


def boolean(value: int) -> bool:
    """A word as a truth value; raises `Malformed` for anything but 0 and 1."""
    return bool(uint(value, 1))


def seconds(value: int) -> int:
    """A uint64 of seconds, kept within `LAST_SECOND`."""
    return min(uint(value, 64), LAST_SECOND)


def _unreadable(log: RawLog, reason: str) -> Unreadable:
    topic = f"0x{log.topics[0].hex()}" if log.topics else ""
    return Unreadable(log.block, log.block_hash, log.log_index, log.tx_hash, topic, reason)

"""What an owner was told of the way into his machine, and whether he is to be told anew. Pure.

Law: what was told is a level, like all that is owed: it is held against the machine as it stands
now, and told anew when the owner, his key, the account, an address, or what is inside has become
another. The blob can't be read again, so what stands in it is said in the intent's cause. Host keys
cost a question to the guest: they are read only where it was made or started since it was told, or
told without any. How it fails: keys that the guest changes between two starts of ours are told
after the next one; of what somebody else published nothing is known but when it was read, and a
machine that was made after that is told anew.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from hashlib import sha256
from typing import Final

from chainwatch.domain.dealings import Dealings, Dealt
from chainwatch.domain.sendings import Kind

#: How often an owner is told anew in a day: telling costs us more than changing a key costs him.
OFTEN: Final = 4
#: The same of all owners of a lease together, who may be one and the same.
OFTEN_OF_LEASE: Final = 12
DAY: Final = 86_400
#: Stands for host keys that are not known.
UNREAD: Final = "-"

_CAUSE: Final = re.compile(
    r"(\S+) to (\S+) after (\d+) at (\S+) made (\d+) started (\d+) keys (\S+)"
)


@dataclass(frozen=True, slots=True)
class Life:
    """Which clone a machine is, and which start of ours was the last: numbers that only grow.

    `begun` is when it was last made or restored (wall seconds), 0 where nobody knows.
    """

    made: int = 0
    started: int = 0
    begun: int = 0


@dataclass(frozen=True, slots=True)
class Way:
    """The way into a machine that runs: `place` stands for its account and its addresses."""

    place: str
    life: Life


@dataclass(frozen=True, slots=True)
class Telling:
    """What was told, or is to be: to the `reader` of the lease's mint `nonce`, which way.

    `after` is the number of the telling before it, so that no two have the same words.
    """

    nonce: str
    reader: str
    after: int
    place: str
    made: int
    started: int
    keys: str = UNREAD

    def __str__(self) -> str:
        """Return the words that an intent is wanted because of."""
        return (
            f"{self.nonce} to {self.reader} after {self.after} at {self.place}"
            f" made {self.made} started {self.started} keys {self.keys}"
        )

    @property
    def generation(self) -> str:
        """Which of the lease's owners it was told."""
        return self.reader.partition(":")[0]


class Due(Enum):
    """Whether to tell: `ASK` the guest for its host keys first."""

    NO = auto()
    ASK = auto()
    TELL = auto()


def telling_in(cause: str) -> Telling | None:
    """Read back what an intent says that it tells."""
    found = _CAUSE.fullmatch(cause)
    if found is None:
        return None
    nonce, reader, after, place, made, started, keys = found.groups()
    return Telling(nonce, reader, int(after), place, int(made), int(started), keys)


def last_told(dealings: Dealings) -> Dealt | None:
    """Return what the owner was told last by us, or is about to be; None where that is nothing.

    A delivery counts if what it said is published. What was sent late and came after a later one
    stands in its stead.
    """
    ours = [
        each
        for each in dealings.dealt
        if each.kind is Kind.PUBLISH or (each.kind is Kind.DELIVER and dealings.shows(each))
    ]
    if not ours:
        return None
    stands = next((each for each in ours if dealings.shows(each)), None)
    newest = ours[0].block
    late = stands is not None and newest is not None and newest < dealings.published_in
    return stands if late else ours[0]


def due(dealings: Dealings, now: Telling, begun: int) -> Due:
    """Say whether to tell `now`, of which the keys are not looked at.

    `begun` is when the machine came about (wall seconds), 0 where nobody knows.
    """
    last = last_told(dealings)
    if last is None:
        foreign = dealings.published is not None and begun <= dealings.published_seen
        return Due.NO if foreign else Due.TELL
    told = telling_in(last.cause)
    if told is None or (told.nonce, told.reader) != (now.nonce, now.reader):
        return Due.TELL
    if told.place != now.place:
        return Due.TELL
    same = (told.made, told.started) == (now.made, now.started) and told.keys != UNREAD
    return Due.NO if same else Due.ASK


def is_news(dealings: Dealings, now: Telling) -> bool:
    """Say whether host keys, once read, are to be told: others, or none of a machine made anew."""
    last = last_told(dealings)
    told = None if last is None else telling_in(last.cause)
    if told is None or now.keys == told.keys:
        return told is None
    return now.keys != UNREAD or told.made != now.made


def again_at(dealings: Dealings, now: Telling, at: int) -> int | None:
    """Return when (wall seconds) it may be told; None for at once.

    Each owner has a quota for each machine that he is given, and all owners of a lease together
    have one. Other addresses are told at once, for no owner can change them; but he may ask for an
    upgrade to a plan with others, and take that back, as often as he likes.
    """
    last = last_told(dealings)
    told = None if last is None else telling_in(last.cause)
    moved = told is not None and told.nonce == now.nonce and told.place != now.place
    if moved and dealings.upgrade is None:
        return None
    lately = [
        (each.wanted_at, telling_in(each.cause))
        for each in dealings.dealt
        if each.kind is Kind.PUBLISH and each.wanted_at > at - DAY
    ]
    his = [when for when, each in lately if each is not None and _same_quota(each, now)]
    free = (_free(his, OFTEN), _free([when for when, _ in lately], OFTEN_OF_LEASE))
    return max((when for when in free if when is not None), default=None)


def _same_quota(one: Telling, other: Telling) -> bool:
    machine = (one.place, one.made) == (other.place, other.made)
    return machine and (one.nonce, one.generation) == (other.nonce, other.generation)


def _free(times: list[int], most: int) -> int | None:
    return None if len(times) < most else sorted(times)[-most] + DAY


def digest(*words: str) -> str:
    """Return a short stand-in for what is told, which tells one from another."""
    return sha256("\0".join(words).encode()).hexdigest()[:16]

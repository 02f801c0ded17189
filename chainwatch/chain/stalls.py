"""When a feed of heads has stalled: what it owes, by what others have shown.

Silence alone is no stall, since a chain may stand still. A connection owes the announcement of a
head once somebody else has shown it, and only of heads that came after it was subscribed. It is
given a block time for that, less half a poll: then a stall is noticed within two block times of the
block, wherever polling takes less than two. The block time is learnt from the chain's own
timestamps. Pure; times are in seconds of any one clock. How it fails: a node that always announces
too late is taken for one that stalls, and polling is as fast as it.
"""

from collections import deque
from statistics import median
from typing import Final

from chainwatch.domain.events import Block

_SHORTEST_S: Final = 1.0
_UNKNOWN_BLOCK_TIME_S: Final = 15.0
_SAMPLES: Final = 15
_REACHABLE: Final = 1000
_REMEMBERED: Final = 8
"""So many announcements are remembered: some may come late, and a chain may go back."""


class BlockTime:
    """The median distance between the blocks that were read last."""

    def __init__(self) -> None:
        self._last: Block | None = None
        self._distances: deque[float] = deque(maxlen=_SAMPLES)

    def saw(self, block: Block) -> None:
        """Learn from the next block; from a later one, the mean of those between."""
        last, self._last = self._last, block
        if last is not None and block.number > last.number:
            passed = block.timestamp - last.timestamp
            self._distances.append(passed / (block.number - last.number))

    @property
    def seconds(self) -> float:
        """Seconds from block to block; a guess while there were no two."""
        return median(self._distances) if self._distances else _UNKNOWN_BLOCK_TIME_S


class Owed:
    """What one connection owes; others are polled every `poll` seconds."""

    def __init__(self, poll: float) -> None:
        self._poll = poll
        self._block_time = BlockTime()
        self._shown: int | None = None
        self._announced: deque[int] = deque(maxlen=_REMEMBERED)
        self.number: int | None = None
        """The block whose announcement is owed, None where nothing is."""
        self.deadline: float | None = None
        """By when."""

    @property
    def patience(self) -> float:
        """Seconds that an announcement may take from when the block was shown."""
        return max(_SHORTEST_S, self._block_time.seconds - self._poll / 2)

    def subscribed(self) -> None:
        """A new connection owes nothing of what was before it."""
        self._announced.clear()
        self._shown = self.number = self.deadline = None

    def shown(self, head: int, cursor: Block | None, now: float) -> None:
        """Somebody else shows `head`; `cursor` is the last block that was read."""
        if cursor is not None:
            self._block_time.saw(cursor)
        if self._shown is None:
            self._announced.append(head)
        self._shown = head
        if self.number is None and head > max(self._announced):
            self.number, self.deadline = head, now + self.patience

    def announced(self, number: int) -> None:
        """The connection announces a head; one that nobody could have reached counts for none."""
        if self._shown is None or number <= self._shown + _REACHABLE:
            self._announced.append(number)
        if self.number is not None and max(self._announced, default=-1) >= self.number:
            self.number = self.deadline = None

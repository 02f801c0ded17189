"""Logs that nobody could read, counted by the kind of event that they are of.

A foreign contract may have events of its own in every transaction: they are counted, and only the
last of each kind is kept, so that memory does not grow with what a contract says. Kinds are told
apart by the first topic, the first few of them; a contract that makes up ever new ones has all
further ones counted together.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from chainwatch.chain.decode import Unreadable

MOST_KINDS: Final = 20
"""How many kinds of a source are told apart."""

NO_TOPIC: Final = "no topic"
FURTHER: Final = "further kinds"


@dataclass(frozen=True, slots=True)
class Unread:
    """So many logs of a kind (a first topic as 0x hex, or in words), and the last of them."""

    kind: str
    count: int
    last: Unreadable


class Tally:
    """The unread logs of one source since they were last taken."""

    def __init__(self) -> None:
        self._kinds: set[str] = set()
        self._unread: dict[str, Unread] = {}

    def add(self, logs: Iterable[Unreadable]) -> None:
        """Count these."""
        for log in logs:
            kind = self._kind(log.topic or NO_TOPIC)
            before = self._unread.get(kind)
            self._unread[kind] = Unread(kind, before.count + 1 if before else 1, log)

    def take(self) -> tuple[Unread, ...]:
        """What was counted, which then counts no more."""
        taken = tuple(self._unread.values())
        self._unread.clear()
        return taken

    def _kind(self, kind: str) -> str:
        if len(self._kinds) < MOST_KINDS:
            self._kinds.add(kind)
        return kind if kind in self._kinds else FURTHER

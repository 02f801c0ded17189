"""How much of an answer is read, and for how long: an answer that does not end must cost little.

The largest that a cluster says of itself is the list of its guests, well under a kilobyte each.
What a guest says comes through Proxmox, which bounds the time that it takes and not its length, so
each path that a guest can fill has a bound of its own here, and where that is wide, `guestwords`
builds nothing but texts. Parsed, an answer takes some thirty times as much memory at worst (`[]` is
two bytes of an answer, and a list). A path that a guest can fill and that has no bound here costs a
gigabyte. What is too long, or comes too slowly, ends the connection: of a success nothing is
believed (`Excess`), a refusal is cut, for its status tells the most of it.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final, Protocol

#: The most bytes of a success in which the cluster speaks; a list of 10,000 guests, tasks or
#: volumes has 12 MiB at most.
LONGEST_ANSWER: Final = 32 * 2**20
#: How much of a refusal's body is kept, in bytes.
LONGEST_REFUSAL: Final = 64 * 1024
#: How much is kept of each text that a guest's program wrote, or a file in it holds.
KEPT: Final = 2**20
#: The most bytes that a byte of a guest becomes in JSON.
ESCAPED: Final = len(r"\u0000")
#: The most bytes where a guest says what fits a line: a pulse, the number of a process, a size.
LONGEST_WORD: Final = 64 * 1024
#: The most bytes of the list of a guest's file systems, or of a container's network cards.
LONGEST_LIST: Final = 256 * 1024

#: The most bytes of a success on the paths that a guest can fill; the first that fits counts.
BY_GUESTS: Final = (
    (re.compile(r"/agent/exec-status$"), 2 * ESCAPED * KEPT + LONGEST_WORD),
    (re.compile(r"/agent/file-read$"), ESCAPED * KEPT + LONGEST_WORD),
    (re.compile(r"/agent/get-fsinfo$"), LONGEST_LIST),
    (re.compile(r"/agent/"), LONGEST_WORD),
    (re.compile(r"/lxc/\d+/interfaces$"), LONGEST_LIST),
)
_PIECE: Final = 64 * 1024
_REFUSALS: Final = 400


def longest(path: str) -> int:
    """Return how many bytes a success of `path`, without its query, has at most."""
    return next((most for which, most in BY_GUESTS if which.search(path)), LONGEST_ANSWER)


class Answer(Protocol):
    """What `urllib3` has of an answer."""

    status: int

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """Return what has arrived, `amt` bytes at most; b"" at the end."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...


class Excess(Exception):
    """An answer was longer, or took longer, than anything that Proxmox says."""


class Bounded:
    """An answer as `requests` reads it: `most` bytes, within `seconds` of `clock` from now."""

    def __init__(
        self, answer: Answer, most: int, seconds: float, clock: Callable[[], float]
    ) -> None:
        self._answer = answer
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    def __getattr__(self, name: str) -> object:
        """Everything else is as it came."""
        return getattr(self._answer, name)

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        """Give the body piece by piece, as it arrives. Raises Excess beyond its bounds."""
        refusal = self._answer.status >= _REFUSALS
        left = LONGEST_REFUSAL if refusal else self._most
        while piece := self._answer.read1(_PIECE, decode_content=True):
            left -= len(piece)
            if left < 0 and refusal:
                self._answer.close()
                yield piece[:left]
                return
            if left < 0:
                raise self._excess(f"more than {_size(self._most)}")
            if self._clock() > self._end:
                raise self._excess(f"more than {self._seconds:g} s long")
            yield piece

    def read(self, *_: object, **__: object) -> bytes:
        """Nobody reads past `stream`."""
        self._answer.close()
        return b""

    def _excess(self, what: str) -> Excess:
        self._answer.close()
        return Excess(f"an answer was {what}; is it Proxmox that answers at this address?")


def _size(most: int) -> str:
    return f"{most >> 20} MiB" if most >= 2**20 else f"{most >> 10} KiB"

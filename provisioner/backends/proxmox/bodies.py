"""How much of an answer is read, and for how long: an answer that does not end must cost little.

The largest that a cluster says is the list of its guests, well under a kilobyte each; a guest's own
output goes through Proxmox, which bounds it. Whoever says more is broken or hostile. What is too
long, or comes too slowly, ends the connection: of a success nothing is believed (`Excess`), a
refusal is cut, for its status tells the most of it.
"""

from collections.abc import Callable, Iterator
from typing import Final, Protocol

#: The most bytes of a success; parsed they take some twenty times as much memory at worst.
LONGEST_ANSWER: Final = 32 * 2**20
#: How much of a refusal's body is kept, in bytes.
LONGEST_REFUSAL: Final = 64 * 1024
_PIECE: Final = 64 * 1024
_REFUSALS: Final = 400


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
    """An answer as `requests` reads it; it ends within `seconds` of `clock` from now."""

    def __init__(self, answer: Answer, seconds: float, clock: Callable[[], float]) -> None:
        self._answer = answer
        self._seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    def __getattr__(self, name: str) -> object:
        """Everything else is as it came."""
        return getattr(self._answer, name)

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        """Give the body piece by piece, as it arrives. Raises Excess beyond its bounds."""
        refusal = self._answer.status >= _REFUSALS
        left = LONGEST_REFUSAL if refusal else LONGEST_ANSWER
        while piece := self._answer.read1(_PIECE, decode_content=True):
            left -= len(piece)
            if left < 0 and refusal:
                self._answer.close()
                yield piece[:left]
                return
            if left < 0:
                raise self._excess(f"more than {LONGEST_ANSWER >> 20} MiB")
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

"""How many blocks to ask for at once, learnt from what the provider says.

The span starts small and doubles while nobody objects. Providers refuse a range for its width or
for the number of logs in it, each in words of its own; many say what would have worked, and that is
taken first. Else the span halves, down to one block, and from then on grows slowly. Failure mode: a
text that we misread costs requests, never blocks, for the span only decides how far one step
reaches.
"""

import re
from typing import Final

_FIRST_SPAN: Final = 32
_MANY_LOGS: Final = 4_000
_FAST_GROWTH: Final = 2.0
_SLOW_GROWTH: Final = 1.05

_NUMBER: Final = r"([\d,]+)(k?)\b"

_SUGGESTED_RANGE: Final = (
    (re.compile(r"(?i)\[\s*0x([0-9a-f]+)\s*,\s*0x([0-9a-f]+)\s*\]"), 16),
    (re.compile(r"(?i)range (\d+)\s*-\s*(\d+)"), 10),
)
_BLOCKS: Final = tuple(
    re.compile(f"(?i){words}")
    for words in (
        rf"(?:limited to|up to|at most)(?: an?| 0 -)? {_NUMBER}[ -](?:blocks?|range)",
        rf"(?:over|than|max is) {_NUMBER} (?:blocks?|range)",
        rf"max(?:imum)?(?: allowed)?(?: block)? range(?: is| of|:| =)? {_NUMBER}",
        rf"block range (?:exceeds|greater than) {_NUMBER}",
        rf"blocks (?:is|distance:) {_NUMBER}",
        rf"\b{_NUMBER}[ -]blocks? (?:range )?(?:limit|max)",
    )
)
_ANYTHING: Final = tuple(
    re.compile(f"(?i){words}")
    for words in (
        rf"max(?:imum)?(?: allowed| is set to| is| of|:)? {_NUMBER}",
        rf"limit(?: of|:)? {_NUMBER}",
        rf"smaller than size {_NUMBER}",
        rf"narrow your filter: {_NUMBER}",
        rf"\(\d+ > {_NUMBER}\)",
    )
)
_ABOUT_RESULTS: Final = re.compile(r"(?i)results?|logs? (?:matched|returned)|response size")
_ABOUT_RATE: Final = re.compile(
    r"(?i)rate.?limit|request rate|request limit|too many requests|compute units|quota|"
    r"(?:requests?|calls) per (?:second|minute|day)"
)


def is_rate_limit(message: str) -> bool:
    """Whether an error speaks of how often we ask, not of how much."""
    return _ABOUT_RATE.search(message) is not None


def suggested(message: str, first: int) -> int | None:
    """The number of blocks, starting at `first`, that an error's text says would work.

    What it says of blocks is taken as it is; a number that is only called a limit or a maximum is
    one of blocks unless the text speaks of results.
    """
    for pattern, base in _SUGGESTED_RANGE:
        if found := pattern.search(message):
            low, high = int(found[1], base), int(found[2], base)
            return high - first + 1 if low == first and high >= first else None
    patterns = _BLOCKS if _ABOUT_RESULTS.search(message) else _BLOCKS + _ANYTHING
    for pattern in patterns:
        if found := pattern.search(message):
            blocks = int(found[1].replace(",", "") or 0) * (1000 if found[2] else 1)
            return blocks or None
    return None


class Span:
    """How many blocks the next question covers: 1 to `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._span = float(min(most, _FIRST_SPAN))
        self._growth = _FAST_GROWTH

    @property
    def blocks(self) -> int:
        return int(self._span)

    def refused(self, asked: int, message: str, first: int) -> bool:
        """Ask for less than the `asked` blocks from `first`; False when there is no less."""
        if asked <= 1:
            return False
        self._growth = _SLOW_GROWTH
        hint = suggested(message, first)
        self._span = float(hint if hint is not None and hint < asked else asked // 2)
        return True

    def halve(self) -> None:
        """Ask for half: the node was too slow for this much."""
        self._growth = _SLOW_GROWTH
        self._span = max(1.0, self._span / 2)

    def answered(self, asked: int, logs: int) -> None:
        """Grow after `logs` came for `asked` blocks, unless that was plenty already."""
        if logs > _MANY_LOGS:
            self._growth = _SLOW_GROWTH
            self._span = max(1.0, asked * _MANY_LOGS / logs)
        elif asked >= self.blocks:
            self._span = min(float(self._most), self._span * self._growth + 1)

"""How many blocks to ask for at once, learnt from what the provider says.

The span starts small and doubles while nobody objects. Providers refuse a range for its width or
for the number of logs in it, each in words of its own; many say what would have worked, and that is
taken first. Else the span halves, down to one block, and from then on grows slowly. Failure mode: a
text that we misread costs requests, never blocks, for the span only decides how far one step
reaches.
"""

import re
from typing import Final

_FIRST_SPAN: Final = 128
_MANY_LOGS: Final = 10_000
_FAST_GROWTH: Final = 2.0
_SLOW_GROWTH: Final = 1.05

_SUGGESTED_RANGE: Final = re.compile(r"(?i)\[\s*0x([0-9a-f]+)\s*,\s*0x([0-9a-f]+)\s*\]")
_STATED_LIMIT: Final = (
    re.compile(r"(?i)(?:limited to|up to)(?: an?| 0 -)? ([\d,]+)(k?)[ -](?:blocks?|range)"),
    re.compile(r"(?i)(?:max(?:imum)?(?: allowed)?(?: is| of|:)?|limit(?: of|:)?) ([\d,]+)(k?)\b"),
    re.compile(r"(?i)max(?:imum)?(?: allowed)? (?:block )?range(?: is| of|:)? ([\d,]+)(k?)\b"),
    re.compile(r"(?i)(?:more|greater|wider|larger) than ([\d,]+)(k?) (?:block|range)"),
    re.compile(r"(?i)\b([\d,]+)(k?)[ -]blocks? (?:range )?(?:limit|max)"),
)
_ABOUT_RESULTS: Final = re.compile(r"(?i)results?|logs? (?:matched|returned)|response size")
_ABOUT_RATE: Final = re.compile(
    r"(?i)rate.?limit|too many requests|requests? per (?:second|minute|day)|compute units|quota"
)


def is_rate_limit(message: str) -> bool:
    """Whether an error speaks of how often we ask, not of how much."""
    return _ABOUT_RATE.search(message) is not None


def suggested(message: str, first: int) -> int | None:
    """The number of blocks, starting at `first`, that an error's text says would work."""
    if found := _SUGGESTED_RANGE.search(message):
        low, high = int(found[1], 16), int(found[2], 16)
        return high - first + 1 if low == first and high >= first else None
    if _ABOUT_RESULTS.search(message):
        return None  # its numbers count logs
    for pattern in _STATED_LIMIT:
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

"""When work of a kind will have ended, learnt from the last few times it did.

Whoever asks too soon asks in vain and whoever asks late loses time, so what is known of each past
time is an interval: still under way at one age, ended at another. The next look is at the least
age at which one was found ended and none was found under way later; while the two are apart, a
scout looks halfway between. How it fails: work that takes longer than the last few times is asked
for in vain, and one that takes less is noticed late, until that is learnt too. Only time is lost.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

#: How many ends are remembered, and how many times it was found under way: to find that out anew
#: costs more than to know it for too long.
REMEMBERED: Final = 8
REMEMBERED_LONGER: Final = 4 * REMEMBERED


@dataclass(slots=True)
class Foresight:
    """The last times of one kind of work; everything in seconds."""

    _ended: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _running: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED_LONGER))

    def learn(self, running: float, ended: float) -> None:
        """Remember that it was under way at an age of `running`, and over at `ended`."""
        self._ended.append(ended)
        self._running.append(min(running, ended))

    @property
    def least(self) -> float | None:
        """The greatest age at which it was still under way; None while nothing is known."""
        return max(self._running, default=None)

    @property
    def expected(self) -> float | None:
        """The age at which it should have ended; None while nothing is known."""
        least = self.least
        if least is None:
            return None
        return min((ended for ended in self._ended if ended > least), default=max(self._ended))

    def scouted(self, sure: float) -> float | None:
        """Return an age at which to look in order to learn; None where that is not worth it.

        That is so when the end is known to `sure` seconds. Nobody goes far ahead of what is known.
        """
        least, expected = self.least, self.expected
        if least is None or expected is None or expected - least <= sure:
            return None
        return expected - min((expected - least) / 2, max(1.0, expected / 8))

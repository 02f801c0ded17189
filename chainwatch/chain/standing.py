"""How an endpoint stands with us: what it failed at, how fast and how far it is, when to ask it.

Three reproaches, from mild to grave. *Resting*: it failed or contradicted itself, and is asked
after those that did not. *Silent*: it limits our rate, and is not asked at all until it said we
may; neither is, while another one answers and it rests, who let us wait in vain: every step would
wait for it. *Quarantined*: it was proven wrong, and is not asked while anybody else can be; when
that is over it is on probation, asked last, for as long again. Lag is told as of when it last
showed a head, and for a minute only: whoever is not asked does not fall behind by it. Times are
handed in, in seconds of the event loop's clock. How it fails: a reproach that is not deserved costs
speed, never truth.
"""

from dataclasses import dataclass
from typing import Final

_REST_S: Final = 1.0
_LONGEST_REST_S: Final = 60.0
_DISTRUST_S: Final = 30.0
_SILENCE_S: Final = 5.0
_LONGEST_SILENCE_S: Final = 300.0
QUARANTINE_S: Final = 600.0
"""How long an endpoint that was proven wrong is not asked, and then how long it is asked last."""

_LAG_KNOWN_S: Final = 60.0
_LATENCY_WEIGHT: Final = 0.2


@dataclass(frozen=True, slots=True)
class Health:
    """How an endpoint does: its host, failures in a row, the last one's text, its head.

    `resting` says that it is asked after others; `quarantined` is why it was proven wrong, None
    unless it is in quarantine; `latency_ms` is a moving average of what its answers took; `lag` is
    how many blocks it was behind the highest head that any endpoint of the source showed.
    """

    host: str
    failures: int
    last_error: str | None
    head: int | None
    resting: bool
    quarantined: str | None = None
    latency_ms: int | None = None
    lag: int | None = None


class Standing:
    """The record of one endpoint."""

    def __init__(self) -> None:
        self.failures = 0
        self.last_error: str | None = None
        self.head: int | None = None
        self._latency: float | None = None
        self._lag = 0
        self._rose_at: float | None = None
        self._spoke_at = 0.0
        self._rests_until = 0.0
        self._hangs_until = 0.0
        self._limits = 0
        self._silent_until = 0.0
        self._proven: str | None = None
        self._quarantined_at = 0.0

    def answered(self, took: float) -> None:
        """It answered within `took` seconds."""
        self.failures = self._limits = 0
        self._hangs_until = 0.0
        before = took if self._latency is None else self._latency
        self._latency = before + _LATENCY_WEIGHT * (took - before)

    def failed(self, why: str, now: float) -> None:
        """It gave no answer: it rests, the longer the more often that happens in a row."""
        self.failures += 1
        self.last_error = why
        rest = min(_REST_S * 2.0 ** min(self.failures, 16), _LONGEST_REST_S)
        self._rests_until = max(self._rests_until, now + rest)

    def hung(self, why: str, now: float) -> None:
        """It gave no answer, and took all the time for it."""
        self.failed(why, now)
        self._hangs_until = self._rests_until

    def limited(self, why: str, after: float | None, now: float) -> None:
        """It limits our rate: leave it alone for `after` seconds, or for longer each time."""
        self.failed(why, now)
        told = _SILENCE_S * 2.0 ** min(self._limits, 16) if after is None else after
        self._limits += 1
        self._silent_until = max(self._silent_until, now + min(told, _LONGEST_SILENCE_S))

    def distrusted(self, why: str, now: float) -> None:
        """Its answers did not fit together."""
        self.failures += 1
        self.last_error = why
        self._rests_until = max(self._rests_until, now + _DISTRUST_S)

    def quarantined(self, why: str, now: float) -> None:
        """It was proven wrong."""
        self.failures += 1
        self.last_error = why
        self._proven, self._quarantined_at = why, now

    def saw_head(self, number: int, highest: int, now: float) -> None:
        """It showed block `number`, while the highest that others had shown is `highest`."""
        if self.head is None or number > self.head:
            self._rose_at = now
        self.head = number
        self._lag, self._spoke_at = max(0, highest - number), now

    def still_for(self, now: float) -> float:
        """Seconds since its head last rose; 0 where it has shown none."""
        return 0.0 if self._rose_at is None else now - self._rose_at

    def silent_for(self, now: float) -> float:
        """Seconds for which it is not to be asked at all; 0 where it may be."""
        return max(0.0, self._silent_until - now)

    def hangs_for(self, now: float) -> float:
        """Seconds for which it is not to be waited for while another one answers."""
        return max(0.0, self._hangs_until - now)

    def rests(self, now: float) -> bool:
        """Whether it is to be asked after those that do not rest."""
        return now < max(self._rests_until, self._silent_until)

    def in_quarantine(self, now: float) -> bool:
        """Whether it is not to be asked while anybody else can be."""
        return self._proven is not None and now < self._quarantined_at + QUARANTINE_S

    def on_probation(self, now: float) -> bool:
        """Whether it is in quarantine or was until lately."""
        return self._proven is not None and now < self._quarantined_at + 2 * QUARANTINE_S

    def believable_head(self, now: float) -> int | None:
        """The head that others may be measured by; None while there is a reproach."""
        return None if self.rests(now) or self.on_probation(now) else self.head

    def lag(self, now: float) -> int | None:
        """Blocks behind the highest head, when it last told; None when that is too long ago."""
        known = self.head is not None and now < self._spoke_at + _LAG_KNOWN_S
        return self._lag if known else None

    def health(self, host: str, now: float) -> Health:
        """How it does now."""
        return Health(
            host,
            self.failures,
            self.last_error,
            self.head,
            self.rests(now),
            self._proven if self.in_quarantine(now) else None,
            None if self._latency is None else max(1, round(self._latency * 1000)),
            self.lag(now),
        )

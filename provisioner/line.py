"""Who waits for a clone's place, first come first served.

Only so many machines may be cloned at once, and a lease that is sent away comes again later;
without a line, whoever happens to ask when a place is free has it, and somebody may wait for ever.
Who is called has a place kept for him, and is not called twice. Who does not come again in time
loses his turn, so that a lease that ended keeps nobody waiting. A line is lost at a restart, and
forms anew.
"""

from typing import Final

#: Seconds after which one that did not ask again is no longer in line.
PATIENCE: Final = 300
#: Seconds for which a place is kept for one who was called.
KEPT: Final = 5


class Line:
    """A line of keys; times are wall seconds, `places` is how many are free."""

    def __init__(self) -> None:
        self._waiting: dict[str, int] = {}  # in the order of asking: when each asked last
        self._called: dict[str, int] = {}

    def admits(self, key: str, places: int, now: int) -> bool:
        """Say whether `key` may have a place; it is in line if not."""
        self._forget(now)
        if self._called.pop(key, None) is not None and places > 0:
            return True
        self._waiting[key] = now
        if key not in self._next(places):
            return False
        del self._waiting[key]
        return True

    def call(self, places: int, now: int) -> list[str]:
        """Return who is next, as many as there are places that are kept for nobody."""
        self._forget(now)
        called = self._next(places)
        for key in called:
            del self._waiting[key]
            self._called[key] = now
        return called

    def place(self, key: str) -> int | None:
        """Return who `key` is in line, the next one being 1; None where it does not wait."""
        waiting = list(self._waiting)
        return waiting.index(key) + 1 if key in self._waiting else None

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def _next(self, places: int) -> list[str]:
        return list(self._waiting)[: max(0, places - len(self._called))]

    def _forget(self, now: int) -> None:
        for keys, seconds in ((self._waiting, PATIENCE), (self._called, KEPT)):
            for key in [key for key, since in keys.items() if now - since > seconds]:
                del keys[key]

"""Which seeds a test plays: the same ones at every `make test`, new ones at every soak.

A soak's first seed is drawn once for all its processes and printed in its header; CHAINWATCH_FIRST
names it, to play the same ones again. CHAINWATCH_SEED=n plays that one alone, whatever is set. How
it fails: two processes that draw for themselves would not play the same tests, so it is drawn
before they are started (`draw`, called by tests/conftest.py).
"""

import os
from collections.abc import Sequence
from random import SystemRandom
from typing import Final

#: The first seed of a soak is drawn from so many, so far apart that two soaks have none in common.
_DRAWN: Final = 10**6
_APART: Final = 10_000


def draw() -> str:
    """Draw the first seed of a soak, unless it is named; says what to write in the header."""
    if not os.environ.get("CHAINWATCH_SOAK"):
        return ""
    first = str(SystemRandom().randrange(1, _DRAWN) * _APART)
    os.environ.setdefault("CHAINWATCH_FIRST", first)
    first = os.environ["CHAINWATCH_FIRST"]
    return f"seeds: from {first} on (CHAINWATCH_FIRST={first} plays the same ones again)"


def seeds(few: int, many: int) -> Sequence[int]:
    """Return what is to be played: `few`, in a soak `many` new ones, or the one that is named."""
    if named := os.environ.get("CHAINWATCH_SEED"):
        return [int(named)]
    if not os.environ.get("CHAINWATCH_SOAK"):
        return range(few)
    first = int(os.environ["CHAINWATCH_FIRST"])
    return range(first, first + many)

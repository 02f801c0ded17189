"""Chain time in words, for the sentences that people read."""

from datetime import UTC, datetime
from typing import Final

#: The last second that has a date; contracts may name later ones.
_LAST: Final = 253_402_300_799


def utc(seconds: int) -> str:
    """Return `2026-11-24 00:28:09 UTC`; times beyond the year 9999 are `never`."""
    if seconds > _LAST:
        return "never"
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"

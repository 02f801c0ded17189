"""How a command line on a node ended."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ended:
    """The exit code, and what was said on the two streams, bounded."""

    code: int
    output: bytes
    error: bytes

"""The small languages inside configuration values: property strings, sizes, tags."""

import math
import re
from typing import Final

_UNITS: Final = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def properties(value: str) -> dict[str, str]:
    """Return a property string (`a=1,b=2`) as a mapping; a bare first word has the key ''."""
    pairs = (part.partition("=") for part in value.split(",") if part)
    return {(key if equals else ""): (rest if equals else key) for key, equals, rest in pairs}


def tags(value: str) -> list[str]:
    """Return tags as Proxmox keeps them: lower case, sorted, each once."""
    return sorted(set(re.split(r"[;,\s]+", value.lower())) - {""})


def size(disk: str) -> int:
    """Return a disk's size in bytes, 0 when it is not shown."""
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?)([KMGT]?)", properties(disk).get("size", ""))
    return int(float(found[1]) * _UNITS[found[2]]) if found else 0


def limit(value: str) -> float:
    """Return a limit as a number; none, and what is no number that can be compared, is 0."""
    try:
        found = float(value or 0)
    except ValueError:
        return 0
    return found if math.isfinite(found) else 0


def plain(number: float) -> str:
    """Return a limit as Proxmox shows it."""
    return f"{number:.10g}"

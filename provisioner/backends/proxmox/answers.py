"""What the `data` of an answer has to be; anything else did not come from Proxmox.

Proxmox types loosely: booleans are 0, 1, "0" or "1", numbers come as text, absent and null mean the
same. These few functions turn that into Python once. An answer of the wrong shape is a `Transient`:
something between us and the cluster spoke, and a decision must not rest on it.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from provisioner.backends.proxmox.api import JsonValue
from provisioner.errors import Transient, UnknownOutcome

Record: TypeAlias = Mapping[str, JsonValue]


def record(data: JsonValue, what: str) -> Record:
    """Return `data` as one object. Raises Transient when it is none."""
    if not isinstance(data, dict):
        raise _strange(data, what, "an object")
    return data


def records(data: JsonValue, what: str) -> Sequence[Record]:
    """Return `data` as a list of objects. Raises Transient when it is none."""
    if not isinstance(data, list):
        raise _strange(data, what, "a list")
    return [record(row, what) for row in data]


def upid(data: JsonValue, what: str) -> str:
    """Return `data` as the id of a task. Raises UnknownOutcome when it is none: who obeyed?"""
    if not (isinstance(data, str) and data.startswith("UPID:")):
        raise UnknownOutcome(str(_strange(data, what, "a task")))
    return data


def text(row: Record, key: str, default: str = "") -> str:
    """Return the value of `key` as text."""
    value = row.get(key)
    return default if value is None else str(value)


def number(row: Record, key: str, default: int = 0) -> int:
    """Return the value of `key` as a whole number; `default` when it is absent or no number."""
    value = row.get(key)
    try:
        return int(value) if isinstance(value, int | float | str) else default
    except (ValueError, OverflowError):  # text, or not finite: JSON's 1e999 is
        return default


def flag(row: Record, key: str) -> bool:
    """Return the value of `key` as a boolean, false when absent."""
    return text(row, key) in {"1", "True", "on", "yes", "true"}


def _strange(data: JsonValue, what: str, wanted: str) -> Transient:
    return Transient(
        f"{what}: the answer is {type(data).__name__} and not {wanted}; "
        "is it Proxmox that answers at this address?"
    )

"""How numbers and facts of a chain are written into SQLite, and read back the same.

Law: what comes out equals what went in, for every uint256. SQLite's integers end at 2^63-1, so
numbers that a contract chooses become hex digits after their count (which sort as the numbers do),
and the fields of an event or a plan become JSON with integers as decimal strings.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii
from operator import attrgetter, call
from types import MappingProxyType
from typing import Final

from msgspec.structs import fields

from chainwatch.domain.events import (
    ActionRequested,
    ConnectionPublished,
    CredentialLinked,
    CredentialMoved,
    Delivered,
    Event,
    ExpiryUpdated,
    KeysChanged,
    LeaseMinted,
    PlanChanged,
    PlanDefined,
    PlanTerms,
    Subscribed,
    Transferred,
    UpgradeUpdated,
)
from chainwatch.domain.lease import Plan

KINDS: Final[Mapping[str, type[Event]]] = MappingProxyType(
    {
        "plan_defined": PlanDefined,
        "plan_terms": PlanTerms,
        "lease_minted": LeaseMinted,
        "transferred": Transferred,
        "subscribed": Subscribed,
        "credential_linked": CredentialLinked,
        "credential_moved": CredentialMoved,
        "expiry_updated": ExpiryUpdated,
        "keys_changed": KeysChanged,
        "delivered": Delivered,
        "plan_changed": PlanChanged,
        "action_requested": ActionRequested,
        "connection_published": ConnectionPublished,
        "upgrade_updated": UpgradeUpdated,
    }
)
_KIND_OF: Final[Mapping[type[Event], str]] = {cls: kind for kind, cls in KINDS.items()}
_READ: Final[Mapping[object, Callable[[object], object]]] = MappingProxyType(
    {int: lambda value: int(str(value)), str: str, bool: bool}
)
_FIELDS: Final = MappingProxyType(
    {
        cls: tuple((field.name, _READ[field.type]) for field in fields(cls))
        for cls in (*KINDS.values(), Plan)
    }
)


_WRITTEN: Final[Mapping[object, tuple[str, Callable[..., str]]]] = MappingProxyType(
    {int: ('"%s"', str), str: ("%s", encode_basestring_ascii), bool: ("%s", json.dumps)}
)


@dataclass(frozen=True, slots=True)
class _Shape:
    """A class as JSON: the text around its fields, how to get their values, how to write each.

    Made once for each class, since a general encoder takes several times as long for every event
    that there is. `writers` is empty where the values are numbers, which the text writes itself.
    """

    text: str
    values: Callable[[object], tuple[object, ...]]
    writers: tuple[Callable[..., str], ...]

    @classmethod
    def of(cls, shaped: type[Event | Plan]) -> "_Shape":
        written = [(field.name, *_WRITTEN[field.type]) for field in fields(shaped)]
        text = ", ".join(f'"{name}": {place}' for name, place, _ in written)
        writers = tuple(writer for _, _, writer in written)
        values = attrgetter(*(name for name, _, _ in written))
        return cls(f"{{{text}}}", values, () if set(writers) == {str} else writers)

    def filled(self, record: Event | Plan) -> str:
        values = self.values(record)
        return self.text % (tuple(map(call, self.writers, values)) if self.writers else values)


_SHAPES: Final[Mapping[type[Event | Plan], _Shape]] = {
    cls: _Shape.of(cls) for cls in (*KINDS.values(), Plan)
}


_BEYOND: Final = 2**256
#: Hex digits that say how many follow.
_COUNT: Final = 2


def sortable(number: int) -> str:
    """Write a uint256 as hex digits after their count (two hex digits): 42 is `022a`.

    So texts sort as their numbers do, and the small numbers of which there are many take little
    room in the indexes. Raises ValueError outside its range.
    """
    if not 0 <= number < _BEYOND:
        raise ValueError(f"{number} is not a uint256")
    digits = f"{number:x}"
    return f"{len(digits):02x}{digits}"


def number_of(text: str) -> int:
    """Read back what `sortable` wrote."""
    return int(text[_COUNT:], 16)


def kind_of(event: Event) -> str:
    """Return the word that stands for an event's class in the journal."""
    return _KIND_OF[type(event)]


def packed(record: Event | Plan) -> str:
    """Write the fields of an event or a plan as JSON."""
    return _SHAPES[type(record)].filled(record)


def event_from(kind: str, text: str) -> Event:
    """Read an event back."""
    make: Callable[..., Event] = KINDS[kind]
    return make(**_unpacked(KINDS[kind], text))


def plan_from(text: str) -> Plan:
    """Read a plan back."""
    make: Callable[..., Plan] = Plan
    return make(**_unpacked(Plan, text))


def _unpacked(cls: type[Event | Plan], text: str) -> dict[str, object]:
    values = json.loads(text)
    return {name: read(values[name]) for name, read in _FIELDS[cls]}

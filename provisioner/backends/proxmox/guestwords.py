"""What a guest may say at length: read for the texts in it, so that all else costs nothing.

A command's output and a file come as JSON that a guest has filled, and by its form it could be
anything. Only the words that are named here are built; what else is said is passed over, and a word
of another form makes all of it no answer. Whoever named a list here would let a guest say a million
of them.
"""

import json
import re
from typing import Final, TypeAlias, TypedDict, cast

import msgspec

from provisioner.backends.proxmox.api import JsonValue

#: Numbers and booleans, typed as loosely as Proxmox does it.
Loose: TypeAlias = bool | int | float | str | None
Ended = TypedDict(
    "Ended",
    {
        "exited": Loose,
        "exitcode": Loose,
        "signal": Loose,
        "out-data": str | None,
        "err-data": str | None,
    },
    total=False,
)


class Read(TypedDict, total=False):
    """What a file holds."""

    content: str | None


class EndedAnswer(TypedDict):
    """How a command ended."""

    data: Ended | None


class ReadAnswer(TypedDict):
    """What was read of a file."""

    data: Read | None


_FORMS: Final = (
    (re.compile(r"/agent/exec-status$"), msgspec.json.Decoder(EndedAnswer)),
    (re.compile(r"/agent/file-read$"), msgspec.json.Decoder(ReadAnswer)),
)


def parse(path: str, said: bytes) -> JsonValue:
    """Return an answer of `path`. Raises ValueError or RecursionError where it is none."""
    for which, form in _FORMS:
        if which.search(path):
            return cast("JsonValue", form.decode(said))
    body: JsonValue = json.loads(said)
    return body

"""The shape of JSON: types and names, all the way down, without the values.

The rows of a list are one shape: every name that one of them has, with every type that it has. A
UPID is a text of its own: whose task it is, and of what kind.
"""

import re
from collections.abc import Iterator
from typing import Any

from tests.support.replayed import UPID


def shape(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return the shape of a JSON value: a mapping, a list of one shape or a word."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_merged([shape(each) for each in value])] if value else "empty list"
    if isinstance(value, str):
        match = UPID.fullmatch(value)
        return "text" if match is None else f"task {match[2]} of {match[3]} by {match[4]}"
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else "nothing"


def _merged(shapes: list[Any]) -> Any:  # noqa: ANN401 - any JSON
    """Return one shape for all of them."""
    if all(isinstance(each, dict) for each in shapes):
        names = {name for each in shapes for name in each}
        return {n: _merged([each[n] for each in shapes if n in each]) for n in names}
    if all(isinstance(each, list) for each in shapes):
        return [_merged([row for each in shapes for row in each])]
    words = {re.sub("^task .*", "task", each) if isinstance(each, str) else each for each in shapes}
    return " or ".join(sorted(str(word) for word in words))


def differing(ours: Any, theirs: Any, where: str) -> Iterator[str]:  # noqa: ANN401 - any JSON
    """Tell where two shapes differ."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        yield from (f"{where}.{name} was not there" for name in sorted(ours.keys() - theirs))
        yield from (f"{where}.{name} is missing" for name in sorted(theirs.keys() - ours))
        for name in sorted(ours.keys() & theirs.keys()):
            yield from differing(ours[name], theirs[name], f"{where}.{name}")
    elif isinstance(ours, list) and isinstance(theirs, list):
        yield from differing(ours[0], theirs[0], f"{where}[]")
    elif ours != theirs:
        yield f"{where} is {ours}, was {theirs}"

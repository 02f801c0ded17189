"""What is wrong with a configuration, in an operator's words: a line for each problem.

A line names the key by its path, says what is wrong with it and what to write instead. The value
itself is never shown: an unknown key may well be a secret in the wrong place.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from chainwatch.config.schema import File
from chainwatch.config.table import Problems
from provisioner import faultpoints
from provisioner.terms import CLOSED, OPEN, Inbound

PREFIX: Final = "CHAINWATCH_"

#: Variables with our prefix that are not settings: those that people's commands read.
_OTHERS: Final = frozenset(
    {
        faultpoints.ENVIRONMENT,
        *("CHAINWATCH_SOCKET", "CHAINWATCH_RPC", "CHAINWATCH_CONTRACT", "CHAINWATCH_CHAIN_ID"),
        *("CHAINWATCH_KEYSTORE", "CHAINWATCH_PASSWORD_FILE"),
    }
)

Place = tuple[int | str, ...]


def problems(error: ValidationError, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for everything that `error` holds against a file."""
    for found in error.errors(include_url=False, include_input=False):
        place = found["loc"]
        cause = found.get("ctx", {}).get("error")
        if isinstance(cause, Problems):
            for key, text in cause.found:
                yield _line((*place, *_parts(key)), text, environ)
        else:
            yield _line(place, _sentence(found), environ)


def _parts(key: str) -> Iterator[int | str]:
    """Yield the parts of a key within its table; a number is a place in a list."""
    for part in key.split(".") if key else ():
        yield int(part) if part.isdecimal() else part


def unknown_variables(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for every CHAINWATCH_ variable that names no table, and is no command's."""
    for name in sorted(environ):
        table = name.removeprefix(PREFIX).partition("__")[0].lower()
        if name.startswith(PREFIX) and name not in _OTHERS and table not in File.model_fields:
            yield f"{name}: names no table; write {PREFIX}TABLE__KEY, or unset it"


def _line(place: Place, text: str, environ: Mapping[str, str]) -> str:
    variable = PREFIX + "__".join(map(str, place)).upper()
    origin = f" (from {variable})" if variable in environ else ""
    return f"{_path(place)}{origin}: {text}"


def _path(place: Place) -> str:
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _sentence(found: ErrorDetails) -> str:
    place, kind = found["loc"], found["type"]
    field = _field_at(place)
    if kind == "extra_forbidden":
        return _unknown_key(place)
    if kind == "missing" and field is None:
        return "this table is missing; docs/reference/config.md shows one"
    said = "is missing" if kind == "missing" else _said(found)
    return said + _example(place, field)


def _said(found: ErrorDetails) -> str:
    cause = found.get("ctx", {}).get("error")
    if cause is not None:
        return str(cause)
    if found["type"] == "string_pattern_mismatch":
        return "is not of the form expected here"
    said = found["msg"].removeprefix("Input ").replace("valid tuple", "list")
    return said[0].lower() + said[1:]


def _example(place: Place, field: FieldInfo | None) -> str:
    if field is None or not field.examples:
        return ""
    key = next(part for part in reversed(place) if isinstance(part, str))
    return f"; write for example {key} = {as_toml(field.examples[0])}"


def as_toml(value: object) -> str:
    """Write a default or an example the way it stands in a file."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Inbound):
        return as_toml(written(value))
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    return str(value) if isinstance(value, int | float) else f'"{value}"'


def written(inbound: Inbound) -> str | list[str]:
    """Return who may connect the way it stands in a file."""
    if inbound in (OPEN, CLOSED):
        return "open" if inbound.everything else "closed"
    return [*inbound.tcp, *(f"udp/{port}" for port in inbound.udp)]


def _unknown_key(place: Place) -> str:
    known = sorted(_keys_at(place[:-1]))
    wrong = str(place[-1])
    if f"{wrong}_file" in known:
        return f"a secret is never written here; write {wrong}_file = with the path of a file"
    close = get_close_matches(wrong, known, n=1)
    meant = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
    return f"there is no such key; {meant}"


def _keys_at(place: Place) -> list[str]:
    model: type[BaseModel] | None = File
    for part in place:
        if isinstance(part, str) and model is not None:
            model = table_of(model.model_fields[part])
    return list(model.model_fields) if model is not None else []


def _field_at(place: Place) -> FieldInfo | None:
    """Return the key at `place`, None for a whole table."""
    model: type[BaseModel] | None = File
    field: FieldInfo | None = None
    for part in place:
        if isinstance(part, str) and model is not None:
            field = model.model_fields.get(part)
            model = table_of(field) if field else None
    return field if model is None else None


def table_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the table that a key holds, if it holds one (or several)."""
    candidates = [field.annotation, *get_args(field.annotation)]
    return next(
        (one for one in candidates if isinstance(one, type) and issubclass(one, BaseModel)), None
    )

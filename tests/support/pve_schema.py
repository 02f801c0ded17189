"""The official Proxmox VE API schema, as a check on exchanges.

Read from `../shared/pve` where that folder stands next to the repository (8.4), else from the pip
package fakepve (9.2, without descriptions). A violation names the call and what is wrong; a path
that the schema does not know is one too. Numbers may come as text, as Proxmox itself does it.
"""

import gzip
import importlib.resources
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

from provisioner.backends.proxmox.api import JsonValue
from tests.support import pve_formats


def _repository() -> Path:
    """Return where the repository stands, also where this is a worktree of it."""
    here = Path(__file__).parents[2]
    link = here / ".git"
    if not link.is_file():
        return here
    return Path(link.read_text().removeprefix("gitdir:").strip()).parents[2]


LOCAL = _repository().parent / "shared" / "pve" / "apidoc-8.4.json"
Schema = dict[str, JsonValue]
Schemas = Mapping[str, Mapping[str, Schema]]
NEWER_THAN_8 = {"available"}  # obligatory members that an 8.4 does not send


class SchemaViolation(AssertionError):
    """An exchange that the official schema does not allow."""


def beside() -> pytest.MarkDecorator:
    """Return what skips a test that needs the schema of an 8.4, and says so."""
    return pytest.mark.skipif(
        not LOCAL.is_file(), reason="the schema of Proxmox VE 8.4 is not beside the repository"
    )


@cache
def paths() -> Schemas:
    """Return every path's methods with their schemas."""
    if LOCAL.is_file():
        return as_paths(json.loads(LOCAL.read_text()))
    return packaged_paths()


@cache
def packaged_paths() -> Schemas:
    """Return the schema that the pip package carries."""
    packed = importlib.resources.files("fakepve").joinpath("data/pve-api.json.gz").read_bytes()
    return as_paths(json.loads(gzip.decompress(packed)))


def as_paths(document: JsonValue) -> Schemas:
    """Return a document's `paths`, each method with its schema."""
    found: dict[str, dict[str, Schema]] = {}
    for path, methods in an_object(an_object(document)["paths"]).items():
        found[path] = {name: an_object(each) for name, each in an_object(methods).items()}
    return found


def an_object(value: JsonValue) -> dict[str, JsonValue]:
    """Return `value`, which has to be an object."""
    if not isinstance(value, dict):
        raise SchemaViolation(f"{value!r} is not an object")
    return value


def check_exchange(
    method: str,
    path: str,
    params: Mapping[str, object],
    data: JsonValue,
    schemas: Schemas | None = None,
) -> None:
    """Raise SchemaViolation unless the call and the data it returned fit the schema.

    `path` is below `/api2/json`. With `schemas` another schema than `paths()` is the judge.
    """
    template, names = find(path, schemas or paths())
    schema = (schemas or paths())[template].get(method)
    if schema is None:
        raise SchemaViolation(f"{method} {template}: no such method")
    where = f"{method} {template}"
    wanted = an_object(schema.get("parameters") or {})
    bound = {name: unquote(text) for name, text in names.items()}
    check_parameters(where, an_object(wanted.get("properties") or {}), {**bound, **params})
    returns = schema.get("returns")
    if returns is not None:
        check_value(f"{where} returned", an_object(returns), data)


def find(path: str, schemas: Mapping[str, object]) -> tuple[str, dict[str, str]]:
    """Return the path template that `path` fits best, and the names it binds."""
    fits: list[tuple[int, str, dict[str, str]]] = []
    for template in schemas:
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(template))
        pattern = pattern.replace("(?P<volume>[^/]+)", "(?P<volume>.+)")  # a volume's has slashes
        match = re.fullmatch(pattern, path)
        if match is not None:
            fits.append((template.count("{"), template, match.groupdict()))
    if not fits:
        raise SchemaViolation(f"{path}: no such path")
    _, template, names = min(fits, key=lambda fit: fit[0])
    return template, names


def check_parameters(
    where: str, properties: Mapping[str, JsonValue], given: Mapping[str, object]
) -> None:
    """Check that every parameter is known and fits, and that none is missing."""
    for name, value in given.items():
        rule = properties.get(name) or properties.get(re.sub(r"\d+$", "[n]", name))
        if rule is None:
            raise SchemaViolation(f"{where}: unknown parameter {name!r}")
        check_value(f"{where}: {name}", an_object(rule), as_json(value))
    for name, rule in properties.items():
        if not an_object(rule).get("optional") and name not in given:
            raise SchemaViolation(f"{where}: {name!r} is missing")


def as_json(value: object) -> JsonValue:
    """Return a parameter as JSON has it."""
    if isinstance(value, list | tuple):
        return [as_json(each) for each in value]
    if isinstance(value, bool):
        return int(value)
    return value if isinstance(value, int | float) else str(value)


def check_value(where: str, rule: Schema, value: JsonValue) -> None:
    """Check one value against the part of JSON schema that Proxmox uses."""
    kind = rule.get("type", "any")
    if kind == "null":
        if value is not None:
            raise SchemaViolation(f"{where}: {value!r} instead of null")
    elif kind == "array":
        check_array(where, rule, value)
    elif kind == "object":
        check_object(where, rule, value)
    elif kind in {"integer", "number", "boolean"}:
        check_number(where, rule, value)
    elif kind == "string":
        check_text(where, rule, value)


def check_array(where: str, rule: Schema, value: JsonValue) -> None:
    """Check a list and everything in it; one word may stand for a list of one."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        raise SchemaViolation(f"{where}: {value!r} is not a list")
    items = an_object(rule.get("items") or {})
    for index, each in enumerate(value):
        check_value(f"{where}[{index}]", items, each)


def check_object(where: str, rule: Schema, value: JsonValue) -> None:
    """Check an object's known members and that the obligatory ones are there."""
    members = an_object(value)
    for name, member in an_object(rule.get("properties") or {}).items():
        wanted = an_object(member)
        optional = wanted.get("optional") or "[n]" in name or name in NEWER_THAN_8
        if members.get(name) is not None:
            check_value(f"{where}.{name}", wanted, members[name])
        elif not optional:
            raise SchemaViolation(f"{where}: {name!r} is missing in {sorted(members)}")


def check_number(where: str, rule: Schema, value: JsonValue) -> None:
    """Check a number (or its text) and its limits; a boolean is 0 or 1."""
    try:
        number = float(str(value)) if not isinstance(value, bool) else float(value)
    except ValueError:
        raise SchemaViolation(f"{where}: {value!r} is not a number") from None
    whole = rule.get("type") == "number" or number == int(number)
    if not whole or (rule.get("type") == "boolean" and number not in {0, 1}):
        raise SchemaViolation(f"{where}: {value!r} is no {rule.get('type')}")
    for limit, fits in (("minimum", float.__ge__), ("maximum", float.__le__)):
        if limit in rule and not fits(number, float(str(rule[limit]))):
            raise SchemaViolation(f"{where}: {value!r} is beyond the {limit} {rule[limit]!r}")


def check_text(where: str, rule: Schema, value: JsonValue) -> None:
    """Check a text: its words, length and pattern."""
    if not isinstance(value, str | int | float):
        raise SchemaViolation(f"{where}: {value!r} is not text")
    text = str(value)
    words = rule.get("enum")
    if isinstance(words, list) and text not in words:
        raise SchemaViolation(f"{where}: {text!r} is none of {words}")
    longest = rule.get("maxLength")
    if longest is not None and len(text) > int(str(longest)):
        raise SchemaViolation(f"{where}: longer than {longest}")
    pattern = rule.get("pattern")
    if isinstance(pattern, str) and is_portable(pattern) and not re.search(pattern, text):
        raise SchemaViolation(f"{where}: {text!r} does not match {pattern}")
    check_format(where, rule.get("format"), text)


def check_format(where: str, told: JsonValue, text: str) -> None:
    """Check a text by the format that it should have: a name, or words with a rule for each."""
    if isinstance(told, str):
        wrong = pve_formats.unfit(told, text)
        if wrong:
            raise SchemaViolation(f"{where}: {wrong}")
    elif isinstance(told, dict):
        found, wrong = pve_formats.properties(told, text)
        if wrong:
            raise SchemaViolation(f"{where}: {wrong}")
        check_object(where, {"properties": _said_members(told)}, dict(found))


def _said_members(members: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the members of a format that are no other word for another one."""
    return {
        name: rule
        for name, rule in members.items()
        if isinstance(rule, dict) and "alias" not in rule
    }


def is_portable(pattern: str) -> bool:
    """Say whether a Perl pattern means the same here."""
    try:
        re.compile(pattern)
    except re.error:
        return False
    return "(?^" not in pattern

import tomllib
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from chainwatch.config import schema
from chainwatch.config.problems import as_toml, table_of

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"

type_words: dict[type, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    list: "list",
    bool: "true or false",
}


def keys(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, str, FieldInfo]]:
    """Yield (table, key, field) for everything that may be written."""
    for name, field in model.model_fields.items():
        table = table_of(field)
        if table is None:
            yield path, name, field
        else:
            yield from keys(table, f"{path}.{name}" if path else name)


def row(name: str, field: FieldInfo) -> str:
    """Return the line of the reference that documents a key."""
    assert field.examples
    assert field.description
    (example,) = field.examples
    default = "required" if field.default is PydanticUndefined else f"`{as_toml(field.default)}`"
    if field.default is None:
        default = "none"
    word = type_words[type(example)]
    return f"| `{name}` | {word} | {default} | {field.description} | `{as_toml(example)}` |"


def documented() -> dict[str, list[str]]:
    """Return the rows of the reference by table."""
    tables: dict[str, list[str]] = {}
    table = ""
    for line in (REFERENCE / "config.md").read_text().splitlines():
        if line.startswith("## `["):
            table = line.removeprefix("## `").strip("[]`")
        elif line.startswith("| `"):
            tables.setdefault(table, []).append(line)
    return tables


def test_the_reference_says_of_every_key_what_the_code_says_and_of_no_other() -> None:
    expected: dict[str, list[str]] = {}
    for table, name, field in keys(schema.File):
        expected.setdefault(table, []).append(row(name, field))

    assert documented() == expected


def test_the_example_uses_documented_keys_only() -> None:
    known = {(table, name) for table, name, _ in keys(schema.File)}
    written = tomllib.loads((REFERENCE / "chainwatch.toml").read_text())
    written["source"] = written["source"][0]

    def walk(table: dict[str, object], path: str) -> Iterator[tuple[str, str]]:
        for name, value in table.items():
            if isinstance(value, dict):
                yield from walk(value, f"{path}.{name}" if path else name)
            else:
                yield path, name

    assert set(walk(written, "")) <= known

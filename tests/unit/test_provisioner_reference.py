"""The page about the provisioner's commands is a promise: here it is held against the code."""

import re
from argparse import ArgumentParser
from dataclasses import fields
from pathlib import Path

from provisioner.cli import main as cli
from provisioner.cli.verb import Verb
from provisioner.configuration import PLACES, SECRETS
from provisioner.keys import KEYS, Key, as_toml
from provisioner.names import LONGEST, shown
from provisioner.verbs.guest_exec import NOT_BEGUN, TIMED_OUT
from provisioner.verbs.metrics import Metrics

PAGE = (Path(__file__).parents[2] / "docs/reference/provisioner.md").read_text()
WORDS: dict[type, str] = {
    str: "text",
    bool: "true or false",
    int: "whole number",
    float: "number",
    tuple: "list",
}


def line(verb: Verb) -> str:
    """Return the beginning of the row that documents a verb."""
    parser = ArgumentParser(add_help=False)
    verb.arguments(parser)
    actions = parser._actions
    name = " ".join([verb.name, *(str(a.metavar) for a in actions if not a.option_strings)])
    options = ", ".join(f"`{a.option_strings[0]}`" for a in actions if a.option_strings)
    return f"| `{name}` | {options or '—'} | "


def row(name: str, key: Key) -> str:
    """Return the row that documents a key."""
    default = "required" if key.default is None else f"`{as_toml(key.default)}`"
    if key.default == "":
        default = "none"
    kind = WORDS[type(key.example)]
    return f"| `{name}` | {kind} | {default} | {key.about} | `{as_toml(key.example)}` |"


def test_the_page_has_every_verb_with_its_arguments_and_no_other() -> None:
    section = PAGE.split("## Verbs\n")[1].split("\n\nAll that")[0]
    rows = [each for each in section.splitlines() if each.startswith("| `")]
    verbs = list(cli.VERBS.values())
    assert [each[: len(line(verb))] for each, verb in zip(rows, verbs, strict=True)] == [
        line(verb) for verb in verbs
    ]


def test_the_page_has_every_key_as_the_code_has_it_and_no_other() -> None:
    expected: dict[str, list[str]] = {}
    for name, key in KEYS.items():
        table, _, short = name.rpartition(".")
        expected.setdefault(table, []).append(row(short, key))
    found: dict[str, list[str]] = {}
    table = ""
    for each in PAGE.split("## The settings\n")[1].splitlines():
        if each.startswith("### `["):
            table = each.removeprefix("### `[").removesuffix("]`")
        elif each.startswith("| `"):
            found.setdefault(table, []).append(each)
    assert found == expected


def test_the_page_names_every_number_in_order() -> None:
    section = PAGE.split("### `metrics`\n")[1].split("\n\n")[0]
    assert re.findall(r"`([a-z_]+)`", section) == [field.name for field in fields(Metrics)]


def test_the_page_says_where_settings_and_secrets_come_from() -> None:
    for word in (*map(str, PLACES), *(word for pair in SECRETS.values() for word in pair)):
        assert f"`{word}`" in PAGE


def test_the_page_says_how_names_and_codes_are_told() -> None:
    assert f"{LONGEST} at most" in PAGE
    assert shown("a_b").startswith("a-b-")
    for code in (0, 1, 2, TIMED_OUT, NOT_BEGUN, cli.INTERRUPTED):
        assert f"\n| {code} | " in PAGE

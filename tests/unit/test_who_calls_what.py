"""Every function of the lease contract that changes something has somebody who can call it."""

import re
from pathlib import Path
from typing import Final

from chainwatch import artifacts
from chainwatch.cli import buyer, main
from tests.unit.test_cli import commands

PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "contract.md"
ROW: Final = re.compile(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def rows() -> list[tuple[set[str], str]]:
    """The functions of each row of the table, and how they are called."""
    (section,) = re.findall(r"\n## Who calls what\n(.*?)\n## ", PAGE.read_text(), re.DOTALL)
    found = [(set(re.findall(r"`(\w+)`", names)), how) for names, _, how in ROW.findall(section)]
    return [(names, how) for names, how in found if names]


def test_the_table_has_every_function_that_changes_something_and_no_other() -> None:
    changing = {
        str(entry["name"])
        for entry in artifacts.load("Lease").abi
        if entry["type"] == "function" and entry["stateMutability"] not in ("view", "pure")
    }
    assert set().union(*(names for names, _ in rows())) == changing


def test_what_a_person_types_is_a_command_and_no_signing_command_is_left_out() -> None:
    programs = (("chainwatch", main.app), ("chainwatch-lease", buyer.app))
    there, signing = set[str](), set[str]()
    for program, app in programs:
        for typed, options in commands(app):
            words = f"{program} {' '.join(re.findall(r'^[a-z -]+', typed)).strip()}"
            there.add(words)
            if "--most-fee" in options:
                signing.add(words)
    told = {words for _, how in rows() for words in re.findall(r"`(chainwatch[a-z -]*)`", how)}
    assert told <= there
    assert signing - told == {"chainwatch contract deploy"}


def test_the_code_of_the_commands_calls_what_the_table_says_people_call() -> None:
    folder = Path(main.__file__).parent
    code = "".join(path.read_text() for path in folder.glob("*.py"))
    for names, how in rows():
        if how.startswith("`chainwatch"):
            assert [name for name in names if not re.search(rf'"{name}\b', code)] == []

"""The threats that are told of the contract, against the tests that they name."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/explanation/contract.md"
TESTS = ROOT / "contracts/test"


def rows() -> list[str]:
    """Every row of the table of threats, without its head."""
    threats = PAGE.read_text(encoding="utf-8").partition("## Threats")[2]
    return [line for line in threats.splitlines() if line.startswith("| ")][1:]


def named(row: str) -> Iterator[tuple[str, Path, list[str]]]:
    """The files of tests that a row names, where they lie, and the tests in each."""
    for part in row.rpartition(" | ")[2].split(";"):
        file, *tests = re.findall(r"`([^`]+)`", part)
        if file.endswith(".t.sol"):
            yield file, TESTS / file, tests
        else:
            (found,) = [ROOT / file] if "/" in file else (ROOT / "tests").rglob(file)
            yield file, found, tests


def test_every_threat_names_a_test_that_there_is() -> None:
    assert len(rows()) > 30
    for row in rows():
        for file, path, tests in named(row):
            assert tests or path.suffix == ".py", row
            word = "function" if path.suffix == ".sol" else "def"
            source = path.read_text(encoding="utf-8")
            for test in tests:
                assert re.search(rf"{word} {test}\(", source), f"{file} has no {test}"


def test_every_file_of_tests_is_named_where_threats_are_told() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert {file.name for file in TESTS.glob("*.t.sol") if file.name not in text} == set()

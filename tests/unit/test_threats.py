"""The threats that are told of the contract, against the tests that they name."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/explanation/contract.md"
TESTS = ROOT / "contracts/test"


def test_every_threat_names_a_test_that_there_is() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and ".t.sol" in line]
    assert len(rows) > 20
    for row in rows:
        named = row.rpartition(" | ")[2]
        for part in named.split(";"):
            file, *tests = re.findall(r"`([^`]+)`", part)
            source = (TESTS / file).read_text(encoding="utf-8")
            assert tests, row
            for test in tests:
                assert re.search(rf"function {test}\(", source), f"{file} has no {test}"


def test_every_file_of_tests_is_named_where_threats_are_told() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert {file.name for file in TESTS.glob("*.t.sol") if file.name not in text} == set()

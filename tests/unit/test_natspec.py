"""Every declaration in the contracts' sources, against the words that stand above it.

The compiler says what is declared, by its syntax tree; it refuses a tag that fits nothing, and does
not mind one that is missing. Failure mode: somebody adds a parameter, and wallets and explorers,
which show these words to whoever is about to sign, show nothing for it.
"""

import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

CONTRACTS: Final = Path(__file__).parents[2] / "contracts"
NOT_DECLARED: Final = {"PragmaDirective", "ImportDirective", "UsingForDirective"}
BARE: Final = "bare.sol"
#: What lacks something in every way there is; a blank line cuts a comment off.
BARE_SOURCE: Final = b"""// SPDX-License-Identifier: Apache-2.0
/// @title Words without a notice
contract Bare {
    /// @notice A member is missing, and one that is not there has words.
    /// @param here It is.
    /// @param gone It was.
    struct Some { uint256 here; uint256 there; }
    uint256 public shown;
    uint256 private hidden;
    /// @notice A parameter has a name and no words.
    /// @param one
    event Said(uint256 one);
    error Refused();
    /// @notice One of two returns.
    /// @param one It is.
    /// @return a It is.
    function two(uint256 one) external pure returns (uint256 a, uint256) { return (one, one); }
    /// @notice Cut off.

    modifier only() { _; }
    constructor(uint256 first) {}
}
"""

Node = dict[str, Any]


class Declared(NamedTuple):
    """A declaration: its file, what it is called, and what it lacks and has too much of."""

    file: str
    name: str
    lacks: set[str]
    surplus: set[str]


@cache
def sources() -> dict[str, bytes]:
    ours = CONTRACTS.glob("src/**/*.sol")
    found = {str(path.relative_to(CONTRACTS)): path.read_bytes() for path in ours}
    return found | {BARE: BARE_SOURCE}


@cache
def trees() -> dict[str, Node]:
    """The syntax tree of each source: parsed alone, so that no library has to be read."""
    wanted = {
        "language": "Solidity",
        "sources": {file: {"content": source.decode()} for file, source in sources().items()},
        "settings": {"stopAfter": "parsing", "outputSelection": {"*": {"": ["ast"]}}},
    }
    compiled = subprocess.run(
        ("node", CONTRACTS / "solc.mjs", "--standard-json"),
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {file: parsed["ast"] for file, parsed in json.loads(compiled)["sources"].items()}


def declarations(unit: Node) -> Iterator[Node]:
    """What a file declares, and what its contracts do; what stands in a body is nobody else's."""
    for node in unit["nodes"]:
        if node["nodeType"] not in NOT_DECLARED:
            yield node
        if node["nodeType"] == "ContractDefinition":
            yield from declarations(node)


def wanted(node: Node) -> Counter[str]:
    """The tags that a declaration has to have."""
    kind = node["nodeType"]
    if kind == "ContractDefinition":
        return Counter(["@title", "@notice"])
    if kind == "VariableDeclaration":  # the compiler takes no @notice where it is not public
        return Counter(["@notice" if node["visibility"] == "public" else "@dev"])
    given = node["members"] if kind == "StructDefinition" else parameters(node, "parameters")
    names = [f"@param {each['name']}" for each in given if each["name"]]
    back = [f"@return {each['name']}".strip() for each in parameters(node, "returnParameters")]
    return Counter(["@notice", *names, *back])


def parameters(node: Node, which: str) -> list[Node]:
    found: list[Node] = node.get(which, {}).get("parameters", [])
    return found


def written(node: Node, source: bytes) -> Counter[str]:
    """The tags right above a declaration that say something."""
    before = source[: int(node["src"].partition(":")[0])].decode()
    above: list[str] = []
    for line in reversed(before.split("\n")[:-1]):
        if not line.strip().startswith("///"):
            break
        above.insert(0, line.strip()[3:])
    named = {each["name"] for each in parameters(node, "returnParameters")}
    tags = (tag.split() for tag in re.split(r"^ (?=@)", "\n".join(above), flags=re.MULTILINE))
    return Counter(told for words in tags if words and (told := tag_of(words, named)))


def tag_of(words: list[str], named: set[str]) -> str:
    """The tag that `words` begin with, with the name it is about; empty if nothing follows."""
    about = words[0] == "@param" or (words[0] == "@return" and words[1:2] and words[1] in named)
    length = 2 if about else 1
    return " ".join(words[:length]) if len(words) > length else ""


@cache
def declared() -> tuple[Declared, ...]:
    return tuple(
        Declared(
            file,
            node["name"] or node["kind"],
            set(wanted(node) - written(node, sources()[file])),
            set(written(node, sources()[file]) - wanted(node)) - {"@dev"},
        )
        for file, tree in trees().items()
        for node in declarations(tree)
    )


def test_every_declaration_of_the_contracts_says_what_it_is_and_what_goes_in_and_out() -> None:
    ours = [each for each in declared() if each.file != BARE]
    assert len(ours) > 200
    assert {each.file for each in ours} == set(sources()) - {BARE}
    assert [each for each in ours if each.lacks or each.surplus] == []


def test_a_declaration_that_lacks_its_words_is_named() -> None:
    found = {each.name: (each.lacks, each.surplus) for each in declared() if each.file == BARE}
    assert found == {
        "Bare": ({"@notice"}, set()),
        "Some": ({"@param there"}, {"@param gone"}),
        "shown": ({"@notice"}, set()),
        "hidden": ({"@dev"}, set()),
        "Said": ({"@param one"}, set()),
        "Refused": ({"@notice"}, set()),
        "two": ({"@return"}, set()),
        "only": ({"@notice"}, set()),
        "constructor": ({"@notice", "@param first"}, set()),
    }

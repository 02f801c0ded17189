"""What the pages say of the daemon's own transactions is what the code does."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from chainwatch import artifacts
from chainwatch.chain.profiles.signatures import selector
from chainwatch.chain.sender import refusals
from chainwatch.chain.sender.fees import gas_limit
from chainwatch.chain.wallet.interface import entries
from chainwatch.domain import sendings
from chainwatch.domain.sendings import Kind

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
#: What people call each kind; a nonce that is filled is nobody's business but the sender's.
CALLED: Final[Mapping[Kind, str]] = {
    Kind.DELIVER: "deliveries",
    Kind.PUBLISH: "the way in where it is told anew",
    Kind.UPGRADE: "upgrades",
    Kind.REFUSE: "their refusals",
    Kind.CANCEL: "cancellations",
    Kind.BURN: "burns",
    Kind.MINT: "mints",
    Kind.FILL: "The hot key",
}


def section(page: str, title: str) -> str:
    """Return what stands below a title of second order, up to the next one."""
    text = (DOCS / page).read_text()
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_page_names_every_refusal_that_ends_something_with_all_that_it_ends() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| ([a-z, ]+) \|",
        section("explanation/sending.md", "What a refusal means"),
        re.MULTILINE,
    )
    said = {(name, kind) for name, kinds in rows for kind in kinds.split(", ")}
    errors = entries(artifacts.load("Lease").abi, "error").values()
    names = {selector(each.signature): each.signature.partition("(")[0] for each in errors}
    done = {(names[error], kind.value) for kind, ends in refusals._ENDS.items() for error in ends}
    assert said == done


def test_the_page_says_where_an_effect_is_added() -> None:
    text = section("explanation/sending.md", "An intent, and what is signed for it")
    sender = ROOT / "chainwatch" / "chain" / "sender"
    named = re.findall(r"`(\w+\.py)`", text)
    assert len(named) == 4
    assert [name for name in named if not (sender / name).exists()] == []
    assert [name for name in ("_OF_PURCHASE", "TAKING") if name not in text] == []
    assert set(Kind) > sendings.TAKING | sendings._OF_PURCHASE


def test_the_configuration_names_all_that_the_hot_key_sends() -> None:
    text = section("reference/config.md", "`[sender]`")
    assert set(CALLED) == set(Kind)
    assert [word for word in CALLED.values() if word not in text] == []


def test_the_command_line_says_how_much_gas_is_left_over() -> None:
    over, quarter = gas_limit(0), gas_limit(4_000) - gas_limit(0) - 4_000
    assert quarter == 1_000
    assert f"a quarter more and {over:,} units" in section("reference/cli.md", "The lease contract")


def test_the_walk_through_the_code_names_files_that_are_there() -> None:
    """A name without a folder is in that of the name before it."""
    text = section("explanation/architecture.md", "What the rest is for")
    package = ROOT / "chainwatch"
    for cell in re.findall(r"^\| (`.+?`) \|", text, re.MULTILINE):
        folder = package
        for name in re.findall(r"`([\w./-]+)`", cell):
            there = [base / name for base in (folder, package, ROOT) if (base / name).exists()]
            assert there, name
            folder = there[0].parent

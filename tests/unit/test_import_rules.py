"""The import rules bite: every one of them is broken by the import that it is there to stop.

The rules are read from pyproject.toml and tried on a skeleton of the project, so that a contract
which could never fail (a typing error in a module's name, a wildcard too wide) is noticed here.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAWFUL = {
    "chainwatch.chain.rpc": "import web3, eth_abi, eth_account",
    "chainwatch.cli.main": "import typer, rich",
    "chainwatch.cli.simulator": "import provisioner.simulator",
    "chainwatch.store.database": "import aiosqlite",
    "provisioner.backends.proxmox.client": "import proxmoxer, requests, urllib3",
    "provisioner.guest.shell": "import asyncssh",
}
UNLAWFUL = {
    "layers": ("chainwatch.store.journal", "import chainwatch.control"),
    "provisioner": ("provisioner.executor", "import chainwatch.errors"),
    "pure": ("provisioner.plan", "import asyncio"),
    "home-web3": ("chainwatch.control.guards", "import web3"),
    "home-aiosqlite": ("chainwatch.admin.server", "import aiosqlite"),
    "home-proxmoxer": ("provisioner.backends.proxmox.hypervisor", "import proxmoxer"),
    "home-asyncssh": ("provisioner.executor", "import asyncssh"),
    "home-typer": ("chainwatch.app", "import typer"),
    "simulator": ("provisioner.executor", "import provisioner.simulator"),
}


def contracts() -> list[dict[str, object]]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        found = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    assert isinstance(found, list)
    return found


def modules_named(contract: Mapping[str, object]) -> Iterator[str]:
    """Our own modules that a contract speaks of; import-linter wants each of them to exist."""
    for field, value in contract.items():
        if field == "layers":
            assert isinstance(value, list)
            yield from (f"chainwatch.{name}" for name in re.findall(r"\w+", " ".join(value)))
        elif field.endswith(("_modules", "_importers")):
            assert isinstance(value, list)
            yield from (name for name in value if name.startswith(("chainwatch.", "provisioner.")))


def skeleton(root: Path, sources: Mapping[str, str]) -> None:
    """Packages of empty modules: those that the contracts name, and `sources` with their text."""
    texts = dict.fromkeys((name for c in contracts() for name in modules_named(c)), "")
    for name, text in (texts | dict(sources)).items():
        folder = root.joinpath(*name.split("."))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").write_text(text + "\n")
        for parent in folder.relative_to(root).parents[:-1]:
            (root / parent / "__init__.py").touch()
    (root / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())


def verdicts(root: Path) -> dict[str, str]:
    """What import-linter says of each contract, by its id: KEPT or BROKEN."""
    tool = Path(sys.executable).parent / "lint-imports"
    said = subprocess.run(
        [tool, "--no-cache", "--no-logo"],
        cwd=root,
        env={"PYTHONPATH": str(root), "PATH": "", "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    found = {
        str(contract["id"]): match.group(1)
        for contract in contracts()
        if (match := re.search(rf"^{re.escape(str(contract['name']))} (\w+)", said, re.MULTILINE))
    }
    assert len(found) == len(contracts()), said
    return found


def test_the_imports_that_the_design_wants_keep_every_rule(tmp_path: Path) -> None:
    skeleton(tmp_path, LAWFUL)
    assert set(verdicts(tmp_path).values()) == {"KEPT"}


def test_every_rule_has_an_import_that_breaks_it() -> None:
    assert set(UNLAWFUL) == {contract["id"] for contract in contracts()}


@pytest.mark.parametrize("rule", UNLAWFUL)
def test_the_import_that_a_rule_is_there_to_stop_breaks_it(rule: str, tmp_path: Path) -> None:
    module, text = UNLAWFUL[rule]
    skeleton(tmp_path, LAWFUL | {module: text})
    assert verdicts(tmp_path)[rule] == "BROKEN"

"""The registry of fault points is the whole truth about where a crash may fall.

Ports are held against it in `test_proxmox_faultpoints`, questions to a chain in
`test_chain_faultpoints`; here the commits, and that nobody goes past what is guarded.
"""

import ast
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Final

import pytest

from provisioner import faultpoints

ROOT: Final = Path(__file__).parents[2]
CODE: Final = sorted(chain(ROOT.glob("chainwatch/**/*.py"), ROOT.glob("provisioner/**/*.py")))
#: Whoever may write to the database's connection, and what that is called there.
WRITERS: Final = {"chainwatch/store/database.py", "chainwatch/store/schema.py"}
WRITING: Final = {"execute", "executemany", "executescript", "execute_fetchall", "commit"}
#: Whoever may call the Proxmox API: what is guarded, and what is called only from there.
CALLERS: Final = "provisioner/backends/proxmox/"


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in CODE:
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


def named(pattern: str) -> set[str]:
    return {name for path in CODE for name in re.findall(pattern, path.read_text())}


def test_every_commit_is_in_the_registry_and_every_registered_one_is_used() -> None:
    committed = named(r"\.transaction\(\"(\w+)\"\)") | {"migrate"}
    assert {f"commit.{name}" for name in committed} == {
        *faultpoints.COMMITS,
        *faultpoints.SENDING_COMMITS,
    }


def test_every_call_in_the_registry_is_somebodys() -> None:
    assert named(r"@guarded\(\"([\w.]+)\"\)") == {
        *faultpoints.CALLS,
        *faultpoints.BY_HAND,
        *faultpoints.SENDING,
    }


def test_a_transaction_is_always_named_by_a_word_that_can_be_searched_for() -> None:
    for where, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _name(node.func) == "transaction":
                assert isinstance(node.args[0], ast.Constant), f"{where}:{node.lineno}"


def test_nobody_writes_to_the_database_past_its_transactions() -> None:
    for where, tree in trees():
        if where in WRITERS or where.startswith("provisioner/"):
            continue
        written = [ast.unparse(node) for node in ast.walk(tree) if _awaits(node, WRITING)]
        assert not written, f"{where} writes without a fault point"


def test_nobody_calls_proxmox_past_the_port() -> None:
    for where, tree in trees():
        if where.startswith((CALLERS, "provisioner/simulator/")):
            continue
        awaited = [ast.unparse(node) for node in ast.walk(tree) if _awaits(node, {"call"})]
        called = [call for call in awaited if "api.call(" in call]
        assert not called, f"{where} calls the API without a fault point"


def _awaits(node: ast.AST, names: set[str]) -> bool:
    return (
        isinstance(node, ast.Await)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Attribute)
        and node.value.func.attr in names
    )


def _name(function: ast.expr) -> str | None:
    return function.attr if isinstance(function, ast.Attribute) else None


def test_a_point_outside_the_registry_cannot_be_guarded() -> None:
    with pytest.raises(ValueError, match=r"'hypervisor\.pray\.before' is not in the registry"):
        faultpoints.guarded("hypervisor.pray")


def test_an_unarmed_point_does_nothing_and_an_armed_one_tells() -> None:
    reached: list[str] = []
    faultpoints.reach("chain.read.before")
    faultpoints.arm(reached.append)
    try:
        faultpoints.reach("chain.read.before")
    finally:
        faultpoints.arm(None)
    faultpoints.reach("chain.read.after")
    assert reached == ["chain.read.before"]


@pytest.mark.parametrize(("armed", "survived"), [("chain.tip.after", 0), ("chain.tip.after:3", 2)])
def test_the_environment_kills_at_the_named_point_and_time(armed: str, survived: int) -> None:
    died = _reaching("chain.tip.after", armed)
    assert died.returncode == -signal.SIGKILL
    assert died.stdout.count("alive") == survived


def test_a_point_that_does_not_exist_is_refused_at_the_start() -> None:
    refused = _reaching("chain.tip.after", "chain.tip.sideways")
    assert "CHAINWATCH_FAULT_POINT=chain.tip.sideways: no such fault point" in refused.stderr
    assert refused.returncode == 1


def _reaching(point: str, armed: str) -> subprocess.CompletedProcess[str]:
    """Run a process that reaches `point` five times, saying so each time that it survived."""
    program = (
        "from provisioner import faultpoints\n"
        f"for _ in range(5):\n    faultpoints.reach({point!r}); print('alive', flush=True)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, faultpoints.ENVIRONMENT: armed},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

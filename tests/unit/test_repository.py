"""What every tracked file keeps, whatever it is about.

These are promises to whoever lives with the repository: nothing in it depends on where it was made,
what is pinned is pinned by its hash, a page that is linked exists, and no file or function grows
until nobody reads it.
"""

import ast
import re
import subprocess
import tokenize
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE_LINES = 400
FUNCTION_LINES = 60
# The one file that may look for the official schema where a neighbour of the checkout keeps it.
OUTSIDE = re.compile(r"\.\./shared|/work/")
MAY_LOOK_OUTSIDE = {"tests/support/pve_schema.py", "tests/unit/test_repository.py"}
REGISTRY = re.compile(r"(?:pypi|pythonhosted|npmjs|npmmirror|debian)\.(?:org|com|net|io)\b")
SOURCE_OF_PACKAGES = re.compile(
    r'"re(?:solved|gistry)":|^registry *=|--(?:(?:extra-)?index-url|find-links)|^URIs:',
    re.MULTILINE,
)
TICKET = re.compile(r"\bissues? #?\d|\bissues (?:show|list|comment)\b", re.IGNORECASE)
SOAK = "CHAINWATCH_SOAK"
REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", re.MULTILINE)


@cache
def tracked() -> tuple[Path, ...]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so nobody knows which files belong to it")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    paths = (ROOT / name for name in listed.split("\0") if name)
    return tuple(path for path in paths if path.is_file() and not path.is_symlink())


@cache
def texts() -> dict[str, str]:
    """Every tracked text by its path in the repository."""
    found = {}
    for path in tracked():
        content = path.read_bytes()
        if b"\0" not in content:
            found[str(path.relative_to(ROOT))] = content.decode()
    return found


def python() -> Iterator[tuple[str, str]]:
    return ((name, text) for name, text in texts().items() if name.endswith(".py"))


def pages() -> Iterator[tuple[str, str]]:
    return ((name, text) for name, text in texts().items() if name.endswith(".md"))


def hits(pattern: re.Pattern[str], allowed: frozenset[str] | set[str] = frozenset()) -> list[str]:
    return [
        f"{name}: {match.group()}"
        for name, text in texts().items()
        if name not in allowed
        for match in pattern.finditer(text)
    ]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(file: str) -> dict[str, str]:
    text = (ROOT / "requirements" / file).read_text()
    return {canonical(name): version for name, version in REQUIREMENT.findall(text)}


def wanted(group: str) -> set[str]:
    """The distributions that pyproject.toml asks for: `run`, or `dev` on top of it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = list(project["dependencies"])
    if group == "dev":
        lines += project["optional-dependencies"]["dev"]
    return {canonical(re.split(r"[^A-Za-z0-9._-]", line)[0]) for line in lines}


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


def soaked() -> set[str]:
    """The files that `make soak` runs."""
    found = re.search(r"^SOAKED := (.*?[^\\])$", texts()["Makefile"], re.MULTILINE | re.DOTALL)
    assert found is not None
    return {f"tests/{name}" for name in re.findall(r"[\w/]+\.py", found[1])}


def longer_in_a_soak(name: str) -> bool:
    """Whether a file asks if it is a soak, itself or by what it takes from `tests/support`."""
    text = texts()[name]
    taken = re.findall(r"^from tests\.support\.(\w+) import", text, re.MULTILINE)
    return f'environ.get("{SOAK}"' in text or any(
        longer_in_a_soak(f"tests/support/{each}.py") for each in taken
    )


def test_no_file_says_where_packages_come_from() -> None:
    assert hits(REGISTRY) == []
    assert hits(SOURCE_OF_PACKAGES) == []


def test_the_project_speaks_of_itself_alone() -> None:
    assert hits(OUTSIDE, MAY_LOOK_OUTSIDE) == []
    assert hits(TICKET) == []


@pytest.mark.parametrize("group", ["run", "dev"])
def test_everything_that_is_installed_is_pinned_by_its_hash(group: str) -> None:
    blocks = (ROOT / "requirements" / f"{group}.txt").read_text().replace("\\\n", " ").splitlines()
    lines = [line for line in blocks if line and not line.startswith("#")]
    assert [line for line in lines if " --hash=sha256:" not in line] == []
    assert wanted(group) <= set(pins(f"{group}.txt")), "say `make requirements`"


def test_what_runs_is_what_was_tested() -> None:
    assert pins("run.txt").items() <= pins("dev.txt").items()


def test_every_file_is_short_enough_to_be_read() -> None:
    long = {name: text.count("\n") for name, text in python() if text.count("\n") > FILE_LINES}
    assert long == {}


def test_every_function_is_short_enough_to_be_seen_whole() -> None:
    long = [
        f"{name}:{node.lineno} {node.name}"
        for name, text in python()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES
    ]
    assert long == []


def test_every_exception_from_a_rule_has_its_reason() -> None:
    """`# type: ignore[code]  # why`, `# noqa: CODE - why`; a bare one teaches nobody anything."""
    silencer = re.compile(r"#\s*(?:type: ignore(?:\[[\w, -]+\])?|noqa(?:: *[A-Z]+\d+(?:, *)?)*)")
    bare = []
    for path in (path for path in tracked() if path.suffix == ".py"):
        with tokenize.open(path) as file:
            comments = [
                t for t in tokenize.generate_tokens(file.readline) if t.type == tokenize.COMMENT
            ]
        for comment in comments:
            rest, found = silencer.subn("", comment.string)
            if found and len(re.findall(r"\w+", rest)) < 2:
                bare.append(f"{path.relative_to(ROOT)}:{comment.start[0]} {comment.string}")
    assert bare == []


def test_no_test_waits_for_time_to_pass() -> None:
    waits = [
        f"{name}:{node.lineno}"
        for name, text in python()
        if Path(name).name.startswith("test_")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"time.sleep", "asyncio.sleep"}
        and ast.unparse(node.args[0]) != "0"
    ]
    assert waits == []


def test_every_text_ends_with_one_newline_and_no_line_with_a_space() -> None:
    written = {n: t for n, t in texts().items() if not n.endswith((".json", "LICENSE"))}
    assert [
        n for n, t in written.items() if t and (not t.endswith("\n") or t.endswith("\n\n"))
    ] == []
    assert [n for n, t in written.items() if re.search(r"[ \t]$", t, re.MULTILINE)] == []


def test_every_link_leads_to_a_file_that_everybody_has() -> None:
    there = set(tracked())
    dead = [
        f"{name}: {link}"
        for name, text in pages()
        for link in re.findall(r"\]\(([^)#\s]+)", text)
        if "://" not in link and (ROOT / name).parent.joinpath(link).resolve() not in there
    ]
    assert dead == []


def test_every_page_of_the_documentation_stands_in_its_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    linked = set(re.findall(r"\]\(([^)#\s]+)", index))
    names = (name.removeprefix("docs/") for name, _ in pages() if name.startswith("docs/"))
    assert [name for name in names if name != "README.md" and name not in linked] == []


def test_every_make_target_that_a_page_names_exists() -> None:
    named = {
        (name, target)
        for name, text in pages()
        for target in re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)
    }
    assert {target for _, target in named} >= {"demo", "test"}
    assert [f"{name}: make {target}" for name, target in named if target not in targets()] == []


def test_a_soak_runs_every_test_that_is_longer_in_one() -> None:
    tests = {name for name, _ in python() if re.search(r"^tests/(?!unit/).*/test_\w+\.py$", name)}
    assert {name for name in tests if longer_in_a_soak(name)} == soaked()


def test_the_readme_shows_the_two_commands_first() -> None:
    commands = re.findall(r"^make ([a-z-]+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert commands[:2] == ["demo", "test"]

"""The command line is as its page says, prints safely, and ends with the right code."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup
from typer.main import get_command

from chainwatch.cli import buyer
from chainwatch.cli import main as program
from chainwatch.cli.printing import clean, moment, relative, span, table
from chainwatch.errors import Fatal, OperatorError
from tests.support.office import PROGRAM

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
BUYERS = REFERENCE.with_name("lease.md")
#: What every command of the buyer has, told once in its page.
SHARED = {
    *("--rpc", "--contract", "--chain-id", "--keystore", "--password-file"),
    *("--most-fee", "--yes", "--json"),
}


def all_commands(group: object, *names: str) -> Iterator[tuple[tuple[str, ...], TyperCommand]]:
    """Every command and the words that name it, those of groups too."""
    assert isinstance(group, TyperGroup)
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from all_commands(command, *names, name)
        else:
            assert isinstance(command, TyperCommand)
            yield (*names, name), command


def commands(app: typer.Typer = program.app) -> Iterator[tuple[str, frozenset[str]]]:
    """Every command as it is typed, with its options."""
    for names, command in all_commands(get_command(app)):
        words, options = [*names], set[str]()
        for parameter in command.params:
            if isinstance(parameter, TyperArgument):
                words.append(parameter.metavar or str(parameter.name).upper())
            else:
                options.add(max(parameter.opts, key=len))
        yield " ".join(words), frozenset(options)


def documented(text: str) -> dict[str, frozenset[str]]:
    """The commands of a page, with their options."""
    row = re.compile(r"^\| `([a-z-]+[^`]*)` \|([^|]*)\|", re.MULTILINE)
    return {
        typed: frozenset(re.findall(r"`(--[a-z-]+)`", options))
        for typed, options in row.findall(text)
    }


def test_the_reference_lists_every_command_with_its_options() -> None:
    assert documented(REFERENCE.read_text()) == dict(commands())


def test_the_buyers_page_lists_every_command_with_its_own_options_and_the_shared_ones() -> None:
    _, table, shared, *_ = BUYERS.read_text().split("\n## ")
    own = {typed: options - SHARED for typed, options in commands(buyer.app)}
    assert documented(table) == own
    assert set(re.findall(r"^\| `(--[a-z-]+)`", shared, re.MULTILINE)) == SHARED


@pytest.mark.parametrize("app", [program.app, buyer.app])
def test_every_command_says_in_one_whole_sentence_what_it_does(app: typer.Typer) -> None:
    for _, command in all_commands(get_command(app)):
        assert not command.get_short_help_str(80).endswith("...")


# --------------------------------------------------------------------------------- how a thing ends


def broken_by(error: Exception) -> typer.Typer:
    """A program of which every command fails so."""

    def broken() -> None:
        raise error

    app = typer.Typer(name="chainwatch", pretty_exceptions_enable=False)
    app.command("nothing")(broken)
    return app


@pytest.mark.parametrize(
    "error",
    [
        OperatorError("say which"),
        Fatal("say which"),
        ExceptionGroup("tasks", [ExceptionGroup("more", [Fatal("say which")])]),
    ],
)
def test_what_was_foreseen_is_one_sentence_and_exit_1(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "app", broken_by(error))
    monkeypatch.setattr(sys, "argv", ["chainwatch"])
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == "chainwatch: say which\n"


def test_each_problem_of_a_configuration_has_a_line_and_moves_no_cursor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = broken_by(Fatal("it cannot be used:\n  a: write b\n  c: \x1b[2Jwrite d"))
    monkeypatch.setattr(program, "app", broken)
    monkeypatch.setattr(sys, "argv", ["chainwatch"])
    with pytest.raises(SystemExit):
        program.main()
    said = "chainwatch: it cannot be used:\n  a: write b\n  c: \\x1b[2Jwrite d\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    "error",
    [KeyError("a bug"), ExceptionGroup("tasks", [Fatal("say which"), KeyError("a bug")])],
)
def test_a_bug_keeps_its_trace(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "app", broken_by(error))
    monkeypatch.setattr(sys, "argv", ["chainwatch"])
    with pytest.raises(type(error)):
        program.main()


def ran(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *words], capture_output=True, text=True, check=False)


def test_what_was_typed_wrongly_is_exit_2() -> None:
    assert ran("hold").returncode == 2
    assert ran("hold", "7").returncode == 2  # a reason is required
    assert ran("no-such-command").returncode == 2


def test_the_version_is_told() -> None:
    said = ran("--version")
    assert (said.returncode, said.stdout.split()[0]) == (0, "chainwatch")


def test_a_missing_daemon_is_said_with_what_to_do(tmp_path: Path) -> None:
    said = ran("status", "--socket", str(tmp_path / "none"))
    assert said.returncode == 1
    assert said.stdout == ""
    assert "start it" in said.stderr
    assert "Traceback" not in said.stderr


def test_a_wrong_configuration_is_said_before_anything_starts(tmp_path: Path) -> None:
    for command in ("run", "rebuild"):
        said = ran(command, "--config", str(tmp_path / "none.toml"))
        assert (said.returncode, "cannot be read" in said.stderr) == (1, True)
        assert "Traceback" not in said.stderr


def test_asking_costs_nothing_that_being_a_daemon_does() -> None:
    heavy = ("web3", "aiohttp", "pydantic", "rich", "asyncssh", "prometheus_client", "aiosqlite")
    code = (
        f"import sys, chainwatch.cli.main; print([name for name in {heavy} if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"


# ------------------------------------------------------------------------------------ what is shown


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("ssh-ed25519 AAAA alice@x", "ssh-ed25519 AAAA alice@x"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("one\nok  7", "one\\nok  7"),
        ("\u202egpj.exe\u2066", "\\u202egpj.exe\\u2066"),
        ("\x9b31m", "\\x9b31m"),
    ],
)
def test_what_would_move_the_cursor_is_made_visible(hostile: str, shown: str) -> None:
    assert clean(hostile) == shown


def test_a_table_in_a_pipe_is_aligned_and_plain(capsys: pytest.CaptureFixture[str]) -> None:
    table(("A", "LONGER"), [("one", "x"), ("[red]two", "\x1b[31my")], "none")
    assert capsys.readouterr().out == "A         LONGER\none       x\n[red]two  \\x1b[31my\n"


def test_an_empty_table_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    table(("A",), [], "no leases")
    assert capsys.readouterr().out == "no leases\n"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59, "59 s"), (3600, "1 h"), (3660, "1 h 1 min"), (90_061, "1 d 1 h")],
)
def test_a_duration_is_told_in_its_two_largest_units(seconds: int, said: str) -> None:
    assert span(seconds) == said


def test_a_lease_until_the_end_of_time_never_ends() -> None:
    assert moment(2**256 - 1) == relative(2**256 - 1, 1_700_000_000) == "never"
    assert moment(1_700_000_000) == "2023-11-14 22:13:20"
    assert relative(100, 90) == "in 10 s"
    assert relative(90, 100) == "10 s ago"
    assert moment(None) == "-"

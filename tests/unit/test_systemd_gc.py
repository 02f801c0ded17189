"""What the timer of the command line promises: it runs, closed, with secrets by credential."""

import subprocess
from pathlib import Path

import pytest

from provisioner.cli import main as cli
from tests.unit.test_systemd import FOLDER, needs, service

SERVICE = FOLDER / "provisioner-gc.service"
TIMER = FOLDER / "provisioner-gc.timer"
# systemd's exposure level, times ten: 13 when this was written.
EXPOSURE_LIMIT = 15


def settings() -> list[str]:
    return SERVICE.read_text().splitlines()


@pytest.fixture
def runnable(tmp_path: Path) -> Path:
    """The unit and its timer, starting a program that exists on this machine."""
    text = SERVICE.read_text()
    assert "ExecStart=/usr/bin/provisioner gc " in text
    (tmp_path / TIMER.name).write_text(TIMER.read_text())
    copy = tmp_path / SERVICE.name
    copy.write_text(text.replace("/usr/bin/provisioner ", "/bin/true "))
    return copy


def test_the_unit_runs_a_command_that_exists_and_does_what_is_due() -> None:
    (line,) = [line for line in settings() if line.startswith("ExecStart=")]
    _, verb, *words = line.split()
    assert verb in cli.VERBS
    assert words[0] == "--execute"
    (timeout,) = [line for line in settings() if line.startswith("TimeoutStartSec=")]
    assert int(timeout.partition("=")[2]) > cli.VERBS[verb].seconds


def test_the_secrets_are_credentials_and_the_token_is_not_the_daemons() -> None:
    loaded = [line.partition("=")[2] for line in settings() if line.startswith("LoadCredential=")]
    assert [value.split(":")[0] for value in loaded] == ["proxmox-token", "identity-key"]
    assert loaded[0].endswith("/provisioner-token")
    assert not any(line.startswith("Environment") for line in settings())


def test_its_memory_is_bounded_as_the_daemons() -> None:
    for name in ("MemoryHigh", "MemoryMax"):
        assert [f"{name}={value}" for value in service()[name]] == [
            line for line in settings() if line.startswith(f"{name}=")
        ]


def test_nobody_special_runs_it() -> None:
    assert {"User=chainwatch", "NoNewPrivileges=yes", "ProtectSystem=strict"} <= set(settings())
    assert {"CapabilityBoundingSet=", "AmbientCapabilities="} <= set(settings())


def test_systemd_accepts_both(runnable: Path) -> None:
    both = (runnable, runnable.with_name(TIMER.name))
    said = subprocess.run(
        [needs("systemd-analyze"), "verify", *both], capture_output=True, text=True, check=False
    )
    assert (said.returncode, said.stderr) == (0, "")


def test_systemd_finds_little_left_to_close(runnable: Path) -> None:
    rating = [needs("systemd-analyze"), "security", "--no-pager", "--offline=yes"]
    said = subprocess.run(
        [*rating, f"--threshold={EXPOSURE_LIMIT}", runnable],
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stdout + said.stderr

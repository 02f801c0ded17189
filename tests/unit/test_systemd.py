"""What the packaged unit promises: readiness and watchdog, secrets by credential, nothing open.

The text is checked everywhere; systemd's own verdict is asked where systemd is installed.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "systemd"
UNIT = FOLDER / "chainwatch.service"
# systemd's exposure level, times ten: 14 when this was written, with the network open on purpose.
EXPOSURE_LIMIT = 15


def service() -> dict[str, list[str]]:
    """The [Service] section: each setting with its values, in order."""
    found: dict[str, list[str]] = {}
    section = UNIT.read_text().split("[Service]")[1].split("[Install]")[0]
    for line in section.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def megabytes(values: list[str]) -> list[int]:
    """Read bounds that are written in whole gigabytes."""
    return [1024 * int(value.removesuffix("G")) for value in values]


def needs(tool: str) -> str:
    found = shutil.which(tool)
    if found is None:
        pytest.skip(f"{tool} is not installed here")
    return found


@pytest.fixture
def runnable(tmp_path: Path) -> Path:
    """The unit, starting a program that exists on this machine."""
    text = UNIT.read_text()
    assert "ExecStart=/usr/bin/chainwatch " in text
    copy = tmp_path / UNIT.name
    copy.write_text(text.replace("/usr/bin/chainwatch ", "/bin/true "))
    return copy


def test_the_daemon_says_itself_when_it_is_ready_and_alive() -> None:
    unit = service()
    assert (unit["Type"], unit["NotifyAccess"]) == (["notify"], ["main"])
    assert int(unit["WatchdogSec"][0]) > 0
    assert unit["Restart"] == ["on-failure"]


def test_a_stop_is_given_longer_than_the_five_seconds_that_it_takes() -> None:
    assert 5 < int(service()["TimeoutStopSec"][0]) <= 15


def test_memory_is_bounded_well_above_the_most_that_was_ever_measured() -> None:
    told = (FOLDER.parent / "docs" / "explanation" / "performance.md").read_text().splitlines()
    rows = [line for line in told if line.startswith("| resident memory")]
    most = max(int(figure) for row in rows for figure in re.findall(r"(\d+) MB", row))
    unit = service()
    (high,), (highest,) = (megabytes(unit[name]) for name in ("MemoryHigh", "MemoryMax"))
    assert 4 * most <= high < highest
    assert unit["Restart"] == ["on-failure"]  # as which a kill for memory counts


def test_every_secret_arrives_as_a_credential() -> None:
    names = [value.split(":")[0] for value in service()["LoadCredential"]]
    assert names == ["proxmox-token", "identity-key"]
    assert "Environment" not in service()


def test_the_daemon_is_nobody_special() -> None:
    unit = service()
    assert unit["User"] == unit["Group"] == ["chainwatch"]
    assert unit["CapabilityBoundingSet"] == unit["AmbientCapabilities"] == [""]
    assert unit["NoNewPrivileges"] == ["yes"]
    assert unit["ProtectSystem"] == ["strict"]


def test_whoever_connects_to_the_socket_can_be_told_apart() -> None:
    """PrivateUsers= would show every peer as nobody, and the socket's check would be void."""
    assert "PrivateUsers" not in service()


def test_the_user_that_the_unit_runs_as_is_created() -> None:
    lines = (FOLDER / "sysusers.d" / "chainwatch.conf").read_text().splitlines()
    assert ["u", "chainwatch"] in [line.split()[:2] for line in lines]


def test_the_folder_of_the_secrets_is_root_s_alone() -> None:
    lines = (FOLDER / "tmpfiles.d" / "chainwatch.conf").read_text().splitlines()
    assert "d /etc/chainwatch/credentials 0700 root root -" in lines
    assert all(
        value.split(":")[1].startswith("/etc/chainwatch/credentials/")
        for value in service()["LoadCredential"]
    )


def test_systemd_accepts_the_unit(runnable: Path) -> None:
    said = subprocess.run(
        [needs("systemd-analyze"), "verify", runnable], capture_output=True, text=True, check=False
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
    strict = subprocess.run([*rating, "--threshold=1", runnable], capture_output=True, check=False)
    assert strict.returncode != 0, "the threshold has no effect, so the first verdict says nothing"


def test_systemd_accepts_the_user() -> None:
    said = subprocess.run(
        [needs("systemd-sysusers"), "--dry-run", FOLDER / "sysusers.d" / "chainwatch.conf"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
def test_systemd_makes_the_folder_of_the_secrets(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (tmp_path / "etc" / "group").write_text("root:x:0:\nchainwatch:x:4711:\n")
    said = subprocess.run(
        [
            needs("systemd-tmpfiles"),
            "--create",
            f"--root={tmp_path}",
            FOLDER / "tmpfiles.d" / "chainwatch.conf",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    settings = (tmp_path / "etc" / "chainwatch").stat()
    assert (settings.st_mode & 0o777, settings.st_gid) == (0o750, 4711)
    secrets = (tmp_path / "etc" / "chainwatch" / "credentials").stat()
    assert (secrets.st_mode & 0o777, secrets.st_gid) == (0o700, 0)

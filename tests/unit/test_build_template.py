"""A template is built of nothing whose checksum was not told, and leaves nothing half-made.

The node's own tools are not here; a recording stands in for them, and what is held is which words
they would be given, in which order, and what happens when one of them fails.
"""

import hashlib
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pytest

from provisioner.errors import Declined, Permanent
from provisioner.verbs.build_template import (
    SUMS,
    TOOLS,
    Recipe,
    build,
    checked_packages,
    commands,
)

IMAGE = b"a disk image"
DIGEST = hashlib.sha256(IMAGE).hexdigest()


class Node:
    """The node's tools: what they were told, and what they answer."""

    def __init__(self, **answers: str) -> None:
        self.told: list[tuple[str, ...]] = []
        self.answers = answers
        self.fails: Callable[[Sequence[str]], bool] = lambda _: False

    def __call__(self, words: Sequence[str]) -> str:
        self.told.append(tuple(words))
        if self.fails(words):
            raise Permanent(f"{words[0]} failed")
        if words[0] == "virt-customize":
            assert Path(words[2]).read_bytes() == IMAGE
        if tuple(words) == ("qm", "list"):
            return self.answers.get("listed", "VMID NAME\n")
        return self.answers.get(words[0].replace("-", "_"), "")

    def verbs(self) -> list[str]:
        return [" ".join(words[: 2 if words[0] == "qm" else 1]) for words in self.told]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "debian.qcow2"
    path.write_bytes(IMAGE)
    return path


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    folder = tmp_path / "packages"
    folder.mkdir()
    (folder / "libpam-web3_1.0_amd64.deb").write_bytes(b"a package")
    digest = hashlib.sha256(b"a package").hexdigest()
    (folder / SUMS).write_text(f"{digest}  libpam-web3_1.0_amd64.deb\n")
    return folder


def test_a_template_is_built_in_this_order(image: Path, packages: Path) -> None:
    node, said = Node(virt_cat="\n", virt_ls="sshd_config\n"), list[str]()
    build(Recipe(str(image), DIGEST, packages), node, said.append)
    assert node.verbs() == [
        *("qm list", "virt-customize", "virt-sysprep", "virt-ls", "virt-cat"),
        *("qm create", "qm set", "qm set", "qm template"),
    ]
    customize, sysprep = node.told[1:3]
    assert customize[3:5] == ("--install", "qemu-guest-agent")
    assert f"{packages}/libpam-web3_1.0_amd64.deb:/var/tmp/packages" in customize
    assert "machine-id,ssh-hostkeys" in sysprep[-1]
    assert node.told[-1] == ("qm", "template", "9001")
    assert not Path(customize[2]).exists()
    assert image.read_bytes() == IMAGE


def test_an_image_with_another_checksum_is_never_opened(image: Path) -> None:
    node = Node()
    with pytest.raises(Declined, match=f"has the SHA-256 {DIGEST} and not"):
        build(Recipe(str(image), "0" * 64), node, lambda _: None)
    assert node.verbs() == ["qm list"]


def test_a_package_that_the_list_does_not_vouch_for_stops_everything(
    image: Path, packages: Path
) -> None:
    (packages / "libpam-web3_1.0_amd64.deb").write_bytes(b"another package")
    node = Node()
    with pytest.raises(Declined, match="does not say"):
        build(Recipe(str(image), DIGEST, packages), node, lambda _: None)
    assert node.told == []
    (packages / SUMS).unlink()
    with pytest.raises(Declined, match="sha256sum"):
        checked_packages(packages)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"virt_ls": "ssh_host_ed25519_key\nsshd_config\n"}, "still has SSH host keys"),
        ({"virt_cat": "0123456789abcdef0123456789abcdef\n"}, "still has a machine-id"),
    ],
)
def test_two_clones_would_differ_or_there_is_no_template(
    image: Path, answers: dict[str, str], said: str
) -> None:
    node = Node(**answers)
    with pytest.raises(Permanent, match=said):
        build(Recipe(str(image), DIGEST), node, lambda _: None)
    assert "qm create" not in node.verbs()


def test_what_was_begun_and_failed_is_taken_away(image: Path) -> None:
    node = Node()
    node.fails = lambda words: words[1] == "template"
    with pytest.raises(Permanent):
        build(Recipe(str(image), DIGEST), node, lambda _: None)
    assert node.verbs()[-1] == "qm destroy"


def test_a_guest_that_is_there_is_not_touched(image: Path) -> None:
    node = Node(listed="VMID NAME\n9001 somebody running\n")
    with pytest.raises(Declined, match="VMID 9001 is taken"):
        build(Recipe(str(image), DIGEST), node, lambda _: None)
    assert node.verbs() == ["qm list"]
    node = Node()
    node.fails = lambda words: words[1] == "create"  # somebody took it meanwhile
    with pytest.raises(Permanent):
        build(Recipe(str(image), DIGEST), node, lambda _: None)
    assert "qm destroy" not in node.verbs()


@pytest.mark.parametrize(
    "wrong",
    [
        {"image": ""},
        {"image": "http://example.net/x"},
        {"sha256": "0"},
        {"vmid": 1},
        {"name": "a b"},
        {"storage": "--storage"},
        {"bridge": "a;b"},
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Declined):
        Recipe(**{"image": "/x", "sha256": DIGEST, **wrong})  # type: ignore[arg-type]  # the point


def test_a_dry_run_only_prints(image: Path, packages: Path) -> None:
    lines = list(commands(Recipe(str(image), DIGEST, packages)))
    assert lines[0].startswith("# ")
    assert [line.split()[0] for line in lines[1:]] == [
        *("virt-customize", "virt-sysprep", "qm", "qm", "qm", "qm")
    ]


def scripted(folder: Path) -> tuple[dict[str, str], Path]:
    """Have scripts stand in for the tools; each writes down what it was called with."""
    bin_, log = folder / "bin", folder / "log"
    bin_.mkdir()
    for tool in TOOLS:
        script = bin_ / tool
        script.write_text(f'#!/bin/sh\necho "{tool} $*" >> {log}\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return {**os.environ, "PATH": f"{bin_}:{os.environ['PATH']}"}, log


BUILT: Final = ["qm", "virt-customize", "virt-sysprep", "virt-ls", "virt-cat", *("qm",) * 4]


def run(name: str, words: Sequence[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run an executable of the package, as it lies beside the interpreter."""
    command = [str(Path(sys.executable).with_name(name)), *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_the_command_runs_the_programs_that_are_on_the_path(tmp_path: Path, image: Path) -> None:
    environment, log = scripted(tmp_path)
    words = ["build-template", "--image", str(image), "--sha256", DIGEST, "--apply"]
    done = run("provisioner", words, environment)
    assert (done.returncode, done.stdout) == (0, "9001\n"), done.stderr
    assert [line.split()[0] for line in log.read_text().splitlines()] == BUILT
    missing = run("provisioner", words, {**environment, "PATH": "/nonexistent"})
    assert missing.returncode == 1
    assert "libguestfs-tools" in missing.stderr


def test_what_an_engine_calls_without_arguments_makes_the_template(
    tmp_path: Path, image: Path
) -> None:
    environment, log = scripted(tmp_path)
    config = tmp_path / "provisioner.toml"
    config.write_text(f'[template]\nimage = "{image}"\nsha256 = "{DIGEST}"\nvmid = 9009\n')
    words = ["--config", str(config)]  # it would look for it under /etc
    only_said = run("vm-build-template", [*words, "--dry-run"], environment)
    assert only_said.returncode == 0
    assert "qm template 9009" in only_said.stdout
    assert not log.exists()
    done = run("vm-build-template", words, environment)
    assert (done.returncode, done.stdout) == (0, "9009\n"), done.stderr
    assert [line.split()[0] for line in log.read_text().splitlines()] == BUILT


def test_a_person_who_says_nothing_is_shown_the_commands(tmp_path: Path, image: Path) -> None:
    environment, log = scripted(tmp_path)
    words = ["build-template", "--image", str(image), "--sha256", DIGEST]
    shown = run("provisioner", words, environment)
    assert shown.returncode == 0
    assert "a dry run: --apply does it" in shown.stderr
    assert not log.exists()


def test_an_engine_is_told_when_there_will_be_no_template(tmp_path: Path) -> None:
    environment, log = scripted(tmp_path)
    config = tmp_path / "provisioner.toml"
    config.write_text("[template]\n")
    done = run("vm-build-template", ["--config", str(config)], environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert "write --image" in done.stderr
    assert not log.exists()

"""What build-template makes, for real: by the node's own tools, and booted twice.

A Debian 12 root with what a cloud image has (cloud-init, an SSH server, keys and an id of its own)
goes into the command as a qcow2 image, and libguestfs works on it. The disk of the template is then
copied twice, and each copy is booted by systemd in a container, with a cloud-init drive's content
of its own. `qm` alone is a script that keeps the disk. Nothing asks for KVM: nested, it may not
work.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pytest

pytestmark = pytest.mark.timeout(1_500)

RELEASE: Final = "bookworm"
INSIDE: Final = ("systemd-sysv", "dbus", "udev", "ca-certificates", "openssh-server")
BOOT: Final = 300
PROVISIONER: Final = (
    *(sys.executable, "-c"),
    "from provisioner.cli.main import main; raise SystemExit(main())",
)
#: Keeps the disk that it is told to import, as Proxmox's own would.
QM: Final = """#!/bin/sh
for word in "$@"; do
    case $word in *import-from=*) cp "${word##*import-from=}" "$KEPT" ;; esac
done
"""
USER_DATA: Final = """#cloud-config
ssh_genkeytypes: [ed25519]
power_state: {mode: poweroff, timeout: 60}
"""


def ran(*words: str | Path, limit: int = 900, environment: Mapping[str, str] | None = None) -> str:
    """Run a program to its end, which has to be a good one; returns what it said."""
    done = subprocess.run(
        [str(word) for word in words],
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=limit,
    )
    assert done.returncode == 0, f"{words[0]}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="template-test-", dir="/var/tmp") as name:
        yield Path(name)


def mirror() -> str:
    """Return where this host has its own packages from."""
    listed = ran(
        "apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)", "Component: main"
    )
    return next(line.split()[1] for line in listed.splitlines() if line.split()[0] == RELEASE)


@pytest.fixture(scope="module")
def image(folder: Path) -> Path:
    """Make a cloud image, which has everything that no two machines may share."""
    root, raw, path = folder / "root", folder / "image.raw", folder / "image.qcow2"
    ran(
        "debootstrap", "--variant=minbase", f"--include={','.join(INSIDE)}", RELEASE, root, mirror()
    )
    install = "apt-get update -q && apt-get install -q -y --no-install-recommends cloud-init"
    ran("chroot", root, "sh", "-c", install, environment={"DEBIAN_FRONTEND": "noninteractive"})
    (root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    assert list((root / "etc/ssh").glob("ssh_host_*_key"))
    ran("truncate", "-s", "3G", raw)
    ran("mkfs.ext4", "-q", "-F", "-d", root, raw)
    ran("rm", "-rf", root)
    ran("qemu-img", "convert", "-O", "qcow2", raw, path)
    raw.unlink()
    return path


@pytest.fixture(scope="module")
def template(folder: Path, image: Path) -> Path:
    """Have the command build a template of it; returns the template's disk."""
    kept, tools = folder / "template.qcow2", folder / "bin"
    tools.mkdir()
    (tools / "qm").write_text(QM)
    (tools / "qm").chmod(0o755)
    environment = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "KEPT": str(kept),
        "LIBGUESTFS_BACKEND": "direct",
        "LIBGUESTFS_BACKEND_SETTINGS": "force_tcg",
    }
    digest = hashlib.sha256(image.read_bytes()).hexdigest()
    words = ("build-template", "--image", image, "--sha256", digest, "--apply")
    assert ran(*PROVISIONER, *words, environment=environment) == "9001\n"
    return kept


@dataclass(frozen=True, slots=True)
class Clone:
    """A copy of the template's disk, and where it is mounted."""

    name: str
    root: Path

    @property
    def machine_id(self) -> str:
        return (self.root / "etc/machine-id").read_text().strip()

    @property
    def host_keys(self) -> set[str]:
        return {path.read_text() for path in (self.root / "etc/ssh").glob("ssh_host_*_key.pub")}

    def boot(self, seed: Path) -> None:
        """Boot it until cloud-init is done and switches it off."""
        ran(
            *("systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit"),
            *("--private-network", f"--machine={self.name}", f"--directory={self.root}"),
            f"--bind-ro={seed}:/var/lib/cloud/seed/nocloud",
            limit=BOOT,
        )


@contextmanager
def cloned(folder: Path, template: Path, name: str) -> Iterator[Clone]:
    raw, root = folder / f"{name}.raw", folder / name
    root.mkdir()
    ran("qemu-img", "convert", "-O", "raw", template, raw)
    ran("mount", "-o", "loop", raw, root)
    try:
        yield Clone(name, root)
    finally:
        ran("umount", root)
        raw.unlink()


def test_two_clones_of_a_template_share_nothing_that_tells_a_machine(
    folder: Path, template: Path
) -> None:
    with cloned(folder, template, "one") as one, cloned(folder, template, "two") as two:
        for clone in (one, two):
            assert clone.host_keys == set()
            assert list((clone.root / "etc/ssh").glob("ssh_host_*")) == []
            assert clone.machine_id in ("", "uninitialized")
            seed = folder / f"seed-{clone.name}"
            seed.mkdir()
            (seed / "user-data").write_text(USER_DATA)
            (seed / "meta-data").write_text(f"instance-id: {clone.name}\n")
            clone.boot(seed)
            assert (clone.root / f"var/lib/cloud/instances/{clone.name}/boot-finished").exists()
        assert len(one.machine_id) == len(two.machine_id) == 32
        assert one.machine_id != two.machine_id
        assert one.host_keys
        assert two.host_keys
        assert not one.host_keys & two.host_keys


def test_the_agent_is_there_and_comes_up_with_its_port(folder: Path, template: Path) -> None:
    """Debian starts it when the virtual port appears, so there is nothing to enable."""
    with cloned(folder, template, "agent") as clone:
        assert (clone.root / "usr/sbin/qemu-ga").exists()
        rule = (clone.root / "lib/udev/rules.d/60-qemu-guest-agent.rules").read_text()
        assert "org.qemu.guest_agent.0" in rule
        assert 'ENV{SYSTEMD_WANTS}="qemu-guest-agent.service"' in rule
        state = subprocess.run(
            ["chroot", str(clone.root), "systemctl", "is-enabled", "qemu-guest-agent"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert state.stdout.strip() in ("static", "enabled")

"""Build a Proxmox template from a cloud image, on a node: the one thing that no API token can do.

An API can fetch an image by its checksum and import its disk, but not look inside it; so this runs
as root on a node, with the node's own tools. Nothing is used whose SHA-256 was not told beforehand:
the image's by whoever calls, each package's by the folder's SHA256SUMS. What leaves is looked at
before it becomes a template: no SSH host keys and no machine-id, or two clones would be one host.
What was begun and failed is taken away again, by the VMID that this very run has made.
"""

import hashlib
import re
import shlex
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from provisioner.errors import Declined, Permanent

#: The programs that a node needs; the last four come with libguestfs-tools.
TOOLS: Final = ("qm", "virt-customize", "virt-sysprep", "virt-ls", "virt-cat")
SUMS: Final = "SHA256SUMS"
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_SUM: Final = re.compile(r"([0-9a-f]{64}) [ *](.+)")
_LARGEST: Final = 16 * 2**30
_CHUNK: Final = 2**20
_PACKAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~_-]*\.deb")
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_INSIDE: Final = "/var/tmp/packages"  # noqa: S108 - a folder of the image, which nobody else uses

#: Runs a program and returns what it wrote; raises Permanent when it fails.
Run = Callable[[Sequence[str]], str]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to build: `image` is a file or an https address, `packages` a folder of .deb files."""

    image: str
    sha256: str
    packages: Path | None = None
    vmid: int = 9001
    name: str = "debian-12-leases"
    storage: str = "local-lvm"
    bridge: str = "vmbr0"

    def __post_init__(self) -> None:
        if not self.image:
            raise Declined("write --image with a cloud image's file or https address")
        if not _SHA256.fullmatch(self.sha256):
            raise Declined("write --sha256 with the image's SHA-256, 64 hexadecimal digits")
        if "://" in self.image and urlsplit(self.image).scheme != "https":
            raise Declined("an image is fetched over https and no other way")
        if not 100 <= self.vmid <= 999_999_999:
            raise Declined(f"VMID {self.vmid}: write a number from 100 to 999999999")
        for word in (self.name, self.storage, self.bridge):
            if not _WORD.fullmatch(word):
                raise Declined(f"{word!r} is no name")


def build(recipe: Recipe, run: Run, say: Callable[[str], None]) -> None:
    """Build the template. Raises Declined or Permanent; leaves nothing half-made behind."""
    packages = checked_packages(recipe.packages)
    _refuse_taken(recipe, run)
    with tempfile.TemporaryDirectory(prefix="template-", dir="/var/tmp") as folder:
        image = Path(folder, "image.qcow2")
        say(f"taking {recipe.image}")
        take_image(recipe, image)
        for words in prepare(image, packages):
            say(shlex.join(words))
            run(words)
        _look_inside(image, run)
        first, *rest = make(recipe, image)
        say(shlex.join(first))
        run(first)
        try:
            for words in rest:
                say(shlex.join(words))
                run(words)
        except BaseException:
            run(("qm", "destroy", str(recipe.vmid), "--purge"))
            raise


def commands(recipe: Recipe) -> Iterator[str]:
    """Yield what would be run, for a person to read; checks the packages and touches nothing."""
    image = Path("image.qcow2")
    yield f"# {recipe.image} becomes {image} if its SHA-256 is {recipe.sha256}"
    for words in (*prepare(image, checked_packages(recipe.packages)), *make(recipe, image)):
        yield shlex.join(words)


def prepare(image: Path, packages: Sequence[Path]) -> Iterator[tuple[str, ...]]:
    """Yield what changes the image: the agent and the packages in, everything unique out."""
    words = ["virt-customize", "-a", str(image), "--install", "qemu-guest-agent"]
    if packages:
        words += ["--mkdir", _INSIDE]
        for package in packages:
            words += ["--copy-in", f"{package}:{_INSIDE}"]
        names = " ".join(shlex.quote(f"{_INSIDE}/{package.name}") for package in packages)
        words += ["--run-command", f"apt-get install --yes --no-install-recommends {names}"]
        words += ["--delete", _INSIDE]
    words += ["--run-command", "systemctl enable qemu-guest-agent || true"]
    yield tuple(words)
    operations = "machine-id,ssh-hostkeys,ssh-userdir,bash-history,logfiles,tmp-files"
    yield ("virt-sysprep", "-a", str(image), "--operations", operations)


def make(recipe: Recipe, image: Path) -> Iterator[tuple[str, ...]]:
    """Yield what makes a template of the image."""
    vmid, storage = str(recipe.vmid), recipe.storage
    yield (
        *("qm", "create", vmid, "--name", recipe.name, "--ostype", "l26", "--onboot", "0"),
        *("--cores", "1", "--memory", "2048", "--agent", "enabled=1"),
        *("--net0", f"virtio,bridge={recipe.bridge},firewall=1"),
        *("--scsihw", "virtio-scsi-pci", "--serial0", "socket", "--vga", "serial0"),
        *("--description", f"Built from an image with SHA-256 {recipe.sha256}"),
    )
    yield ("qm", "set", vmid, "--scsi0", f"{storage}:0,import-from={image.absolute()}")
    yield ("qm", "set", vmid, "--ide2", f"{storage}:cloudinit", "--boot", "order=scsi0")
    yield ("qm", "template", vmid)


def take_image(recipe: Recipe, image: Path) -> None:
    """Copy or fetch the image, and hold it against its checksum before anything reads it."""
    digest, size = hashlib.sha256(), 0
    try:
        with _opened(recipe.image) as source, image.open("wb") as target:
            while chunk := source(_CHUNK):
                size += len(chunk)
                if size > _LARGEST:
                    raise Declined(f"{recipe.image} is larger than {_LARGEST} bytes")
                digest.update(chunk)
                target.write(chunk)
    except OSError as error:
        raise Permanent(f"{recipe.image} cannot be read: {error}") from error
    if digest.hexdigest() != recipe.sha256:
        image.unlink()
        raise Declined(
            f"{recipe.image} has the SHA-256 {digest.hexdigest()} and not {recipe.sha256}"
        )


@contextmanager
def _opened(image: str) -> Iterator[Callable[[int], bytes]]:
    """Open a file or an https address, and give the way to read it."""
    if "://" in image:
        with urllib.request.urlopen(image, timeout=60) as fetched:  # noqa: S310 - Recipe lets https through and nothing else
            yield fetched.read
    else:
        with Path(image).open("rb") as file:
            yield file.read


def checked_packages(folder: Path | None) -> list[Path]:
    """Return the packages of a folder, each held against its SHA256SUMS. Raises Declined."""
    if folder is None:
        return []
    try:
        lines = (folder / SUMS).read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Declined(f"{folder / SUMS} cannot be read ({error}): run sha256sum there") from None
    if ":" in str(folder):
        raise Declined(f"{folder}: a folder with a colon in its path cannot be copied from")
    sums = {found[2]: found[1] for found in map(_SUM.fullmatch, lines) if found}
    packages = sorted(folder.glob("*.deb"))
    for package in packages:
        if not _PACKAGE.fullmatch(package.name):
            raise Declined(f"{package.name!r} is no package's name")
        found = hashlib.sha256(package.read_bytes()).hexdigest()
        if sums.get(package.name) != found:
            raise Declined(f"{package} has the SHA-256 {found}, which {SUMS} does not say")
    return packages


def _refuse_taken(recipe: Recipe, run: Run) -> None:
    listed = [line.split() for line in run(("qm", "list")).splitlines()]
    if any(words[:1] == [str(recipe.vmid)] for words in listed):
        raise Declined(f"VMID {recipe.vmid} is taken: remove that guest, or write another --vmid")


def _look_inside(image: Path, run: Run) -> None:
    """See that two clones of this image will differ. Raises Permanent if they would not."""
    keys = [
        name
        for name in run(("virt-ls", "-a", str(image), "/etc/ssh")).split()
        if name.startswith("ssh_host_")
    ]
    if keys:
        raise Permanent(f"the image still has SSH host keys ({', '.join(keys)})")
    machine = run(("virt-cat", "-a", str(image), "/etc/machine-id")).strip()
    if machine not in ("", "uninitialized"):
        raise Permanent("the image still has a machine-id")

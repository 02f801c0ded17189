"""`build-template`: run on a node, as root; says what it would do unless it is told to do it.

`vm-build-template` is told to: an engine gives it no arguments and wants a template afterwards.
"""

import shutil
import subprocess
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from provisioner.cli.verb import Verb, put, tell
from provisioner.configuration import template_settings
from provisioner.errors import Declined, Permanent
from provisioner.verbs.build_template import TOOLS, Recipe, build, commands

#: How much of what a failed program said is told.
_LONGEST: Final = 2_000


def _arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--config", type=Path, metavar="FILE", help="the settings, of which [template] is read")
    add("--image", metavar="FILE|URL", help="a Debian 12 cloud image")
    add("--sha256", metavar="HEX", help="its SHA-256")
    add("--packages", metavar="DIR", help="a folder of .deb files with their SHA256SUMS")
    add("--vmid", type=int, metavar="N", help="the template's VMID  [9001]")
    add("--name", metavar="S", help="its name")
    add("--storage", metavar="S", help="the storage of its disk")
    add("--bridge", metavar="B", help="the bridge of its network card")
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        "--apply", action="store_true", help="do it, as vm-build-template does in any case"
    )
    either.add_argument(
        "--dry-run", action="store_true", help="only print the commands, as provisioner does else"
    )


def _build(args: Namespace) -> int:
    given = template_settings(args.config)
    for key in ("image", "sha256", "packages", "vmid", "name", "storage", "bridge"):
        if getattr(args, key) is not None:
            given[key] = getattr(args, key)
    packages = str(given["packages"])
    recipe = Recipe(
        image=str(given["image"]),
        sha256=str(given["sha256"]).lower(),
        packages=Path(packages) if packages else None,
        vmid=int(str(given["vmid"])),
        name=str(given["name"]),
        storage=str(given["storage"]),
        bridge=str(given["bridge"]),
    )
    if args.dry_run or not args.apply:
        for line in commands(recipe):
            put(line)
        tell("a dry run: --apply does it, as root on a node")
        return 0
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise Declined(f"{', '.join(missing)} not found: run this on a node with libguestfs-tools")
    build(recipe, _run, tell)
    put(str(recipe.vmid))
    return 0


def _run(words: Sequence[str]) -> str:
    """Run a program of the node; what it reads is nothing, what it writes is returned."""
    done = subprocess.run(  # noqa: S603 - the words are a recipe's, each checked, and no shell is between
        list(words), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-_LONGEST:]
        raise Permanent(f"{words[0]} ended with exit code {done.returncode}: {said}")
    return done.stdout


VERBS: Final = (
    Verb(
        "build-template",
        "build a template, on a node",
        _arguments,
        local=_build,
        alone={"apply": True},
    ),
)

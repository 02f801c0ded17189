"""`detect`, `manifest`, `grant`: what is asked before there is anything to work with."""

import importlib.resources
import shutil
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final

from provisioner.backends.proxmox import grant
from provisioner.backends.proxmox.byhand import ALL
from provisioner.backends.proxmox.privileges import RELEASES, Estate, Release
from provisioner.cli.verb import Verb, nothing, put, tell
from provisioner.errors import Declined

#: Who the command line is on a cluster where nobody says otherwise, and what its roles begin with.
OURSELVES: Final = "chainwatch@pve!provisioner"
ROLE: Final = "Provisioner"
MANIFEST: Final = "provisioner.json"


def _detect(_: Namespace) -> int:
    """Say by the exit code whether this host is a Proxmox VE node."""
    found = Path("/etc/pve").is_dir() and shutil.which("pveversion") is not None
    tell("this is a Proxmox VE node" if found else "this is no Proxmox VE node")
    return 0 if found else 1


def manifest() -> str:
    """Return the manifest's text."""
    return importlib.resources.files("provisioner").joinpath(MANIFEST).read_text(encoding="utf-8")


def _manifest(_: Namespace) -> int:
    put(manifest().rstrip())
    return 0


def _grant_arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--template", type=int, action="append", required=True, metavar="VMID")
    add("--storage", action="append", required=True, metavar="S", help="storage of the disks")
    add("--os-template-storage", action="append", metavar="S", help="of OS templates or snippets")
    add("--bridge", action="append", metavar="B", help="bridge or VNet  [vmbr0]")
    add("--zone", default="localnetwork", metavar="Z", help="SDN zone, where it is a VNet")
    add("--pool", default="leases", metavar="P", help="pool of the machines; '' for none")
    add("--token", default=OURSELVES, metavar="ID", help="the token to make")
    add("--release", type=int, choices=RELEASES, help="else both are printed")


def _grant(args: Namespace) -> int:
    user, bang, name = args.token.partition("!")
    if not (bang and name and "@" in user):
        raise Declined(f"token {args.token!r}: write it as user@realm!name")
    estate = Estate(
        tuple(args.template),
        tuple(args.storage),
        tuple(args.bridge or ["vmbr0"]),
        archives=tuple(args.os_template_storage or ()),
        pool=args.pool or None,
        zone=args.zone,
    )
    if not estate.pool:
        put("# Without a pool the token may change every guest of the cluster.")
    releases: tuple[Release, ...] = tuple(each for each in RELEASES if args.release in (None, each))
    for release in releases:
        put(f"# Proxmox VE {release}")
        for line in grant.commands(estate, args.token, release, calls=ALL, prefix=ROLE):
            put(line)
    return 0


VERBS: Final = (
    Verb("detect", "exit 0 on a Proxmox VE node", nothing, local=_detect),
    Verb("manifest", "print what this provisioner offers", nothing, local=_manifest),
    Verb("grant", "print the commands that make its token", _grant_arguments, local=_grant),
)

"""From the words of a command to a verb, and from what it came to to an exit code.

`provisioner VERB …` and `vm-VERB …` are the same, but for a verb that says otherwise. An error of
ours is one sentence and exit code 1 (125 for guest-exec, whose others are the inner command's);
what a person typed wrong is 2. Nothing secret is ever an argument: whoever lists processes would
see it.
"""

import asyncio
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from provisioner import __version__
from provisioner.backends.proxmox.client import ProxmoxerApi
from provisioner.cli import collecting, inside, keeping, looking, making, powering, setup, templates
from provisioner.cli.clock import SystemClock
from provisioner.cli.verb import Verb, put, tell
from provisioner.configuration import load
from provisioner.errors import ProvisionError
from provisioner.guest.connection import Connections
from provisioner.guest.node import HelperShell
from provisioner.workshop import Workshop

GROUPS: Final = (making, powering, looking, inside, keeping, collecting, templates, setup)
VERBS: Final[Mapping[str, Verb]] = {verb.name: verb for group in GROUPS for verb in group.VERBS}
INTERRUPTED: Final = 130
#: What a person reads above the list of verbs.
ABOUT: Final = (
    "Makes and keeps machines on Proxmox VE, by hand or for another engine: no chain, no database, "
    "no daemon. `provisioner VERB --help` tells a verb's arguments. A command that was cut off is "
    "finished by the same command."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `provisioner VERB …`; returns the exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    parser = ArgumentParser("provisioner", allow_abbrev=False, description=ABOUT)
    parser.add_argument("--version", action="version", version=f"provisioner {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in VERBS.values():
        _fill(verbs.add_parser(verb.name, help=verb.about, allow_abbrev=False), verb)
    args = parser.parse_args(words)
    return perform(VERBS[args.verb], args)


def alone(name: str, argv: Sequence[str] | None = None) -> int:
    """Run `vm-NAME …`; returns the exit code."""
    verb = VERBS[name]
    parser = ArgumentParser(f"vm-{name}", allow_abbrev=False, description=verb.about)
    _fill(parser, verb)
    parser.set_defaults(**verb.alone)
    return perform(verb, parser.parse_args(argv))


def _fill(parser: ArgumentParser, verb: Verb) -> None:
    if verb.run is not None:
        parser.add_argument("--config", type=Path, metavar="FILE", help="the settings")
        parser.add_argument(
            "--timeout",
            type=float,
            metavar="S",
            help=f"seconds to wait in all  [{verb.seconds}]",
        )
        parser.add_argument("--quiet", action="store_true", help="tell no progress")
    verb.arguments(parser)


def perform(verb: Verb, args: Namespace) -> int:
    """Run a verb with its arguments; returns the exit code."""
    try:
        if verb.local is not None:
            return verb.local(args)
        return asyncio.run(_on_cluster(verb, args))
    except ProvisionError as error:
        tell(f"{verb.name}: {error}")
        if verb.fallback is not None:
            put(verb.fallback)
        return verb.failed
    except KeyboardInterrupt:
        tell(f"{verb.name}: interrupted; what was begun goes on, run the same command again")
        return INTERRUPTED
    except BrokenPipeError:
        return verb.failed


async def _on_cluster(verb: Verb, args: Namespace) -> int:
    if verb.run is None:
        raise LookupError(f"{verb.name} has nothing to run")
    settings = load(args.config, os.environ)
    api = ProxmoxerApi(settings.endpoint)
    say = _silent if args.quiet else tell
    ways = None if settings.nodes is None else Connections(settings.nodes)
    nodes = None if ways is None else HelperShell(ways)
    try:
        usual = verb.seconds + verb.more(settings, args)
        seconds = float(usual) if args.timeout is None else args.timeout
        shop = Workshop(settings, api, SystemClock(), say, seconds, nodes)
        return await verb.run(shop, args)
    finally:
        if ways is not None:
            ways.close()
        api.close()


def _silent(_: str) -> None:
    """Say nothing."""

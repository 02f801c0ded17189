"""What a verb of the command line is, and where its words go."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from provisioner.configuration import Configuration
from provisioner.workshop import Workshop

#: Adds a verb's arguments to its parser.
Arguments = Callable[[ArgumentParser], None]


def _no_more(_settings: Configuration, _args: Namespace) -> int:
    """Wait no longer than is usual."""
    return 0


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb: `run` works on the cluster, `local` on nothing but this host; one of them is there.

    Both return the exit code. `failed` is the code when something of ours went wrong,
    and `fallback` what is then said all the same. It waits for `seconds` and as many more as
    `more` says, unless its caller says how long.
    and `fallback` what is then said all the same. `alone` are options that hold unless written
    otherwise when the verb is an executable of its own, for engines that give it no arguments.
    """

    name: str
    about: str
    arguments: Arguments
    run: Callable[[Workshop, Namespace], Awaitable[int]] | None = None
    local: Callable[[Namespace], int] | None = None
    failed: int = 1
    fallback: str | None = None
    seconds: int = 300
    more: Callable[[Configuration, Namespace], int] = _no_more
    alone: Mapping[str, object] = field(default_factory=dict)


def put(text: str) -> None:
    """Write a line for a program."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def tell(text: str) -> None:
    """Write a line for a person."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def named(parser: ArgumentParser) -> None:
    """Add the name, which is all that most verbs want."""
    parser.add_argument("name", metavar="NAME", help="the machine's name")


def nothing(_: ArgumentParser) -> None:
    """Add no argument."""

"""`snapshot`, `snapshots`, `rollback`, `delete-snapshot`."""

from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable
from typing import Final

from provisioner.cli.verb import Verb, named, put, tell
from provisioner.moments import utc
from provisioner.verbs import snapshots
from provisioner.workshop import Workshop


def _of_snapshot(parser: ArgumentParser) -> None:
    named(parser)
    parser.add_argument("snapshot", metavar="SNAPSHOT", help="the snapshot's name")


def _telling(
    verb: Callable[[Workshop, str, str], Awaitable[str]],
) -> Callable[[Workshop, Namespace], Awaitable[int]]:
    async def run(shop: Workshop, args: Namespace) -> int:
        tell(await verb(shop, args.name, args.snapshot))
        return 0

    return run


async def _list(shop: Workshop, args: Namespace) -> int:
    for row in await snapshots.snapshots(shop, args.name):
        put(f"{row.name}\t{utc(row.taken_at)}")
    return 0


VERBS: Final = (
    Verb("snapshot", "take a snapshot", _of_snapshot, _telling(snapshots.take)),
    Verb("snapshots", "list a machine's snapshots", named, _list, seconds=60),
    Verb("rollback", "go back to a snapshot", _of_snapshot, _telling(snapshots.roll_back)),
    Verb("delete-snapshot", "delete a snapshot", _of_snapshot, _telling(snapshots.delete)),
)

"""`status`, `list`, `metrics`, `console`: what is to be seen of machines."""

import json
from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

from provisioner.cli.verb import Verb, named, put, tell
from provisioner.verbs.listing import Line, listing
from provisioner.verbs.metrics import metrics
from provisioner.verbs.status import Status, status
from provisioner.workshop import Workshop


async def _status(shop: Workshop, args: Namespace) -> int:
    put(await status(shop, args.name))
    return 0


def _list_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--format", choices=("table", "json"), default="table")


async def _list(shop: Workshop, args: Namespace) -> int:
    lines = await listing(shop)
    if args.format == "json":
        put(json.dumps([_row(line) for line in lines]))
    else:
        for line in lines:
            put("\t".join(_row(line).values()))
    return 0


def _row(line: Line) -> dict[str, str]:
    created = "" if line.created is None else _moment(line.created)
    return {"name": line.name, "status": line.status, "ip": line.ip, "created": created}


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def _metrics(shop: Workshop, args: Namespace) -> int:
    put(json.dumps(asdict(await metrics(shop, args.name))))
    return 0


async def _console(shop: Workshop, args: Namespace) -> int:
    """Print a way to the screen; whoever has it has the machine, so it is an operator's."""
    found = await shop.shown(args.name)
    ticket = await shop.controls.console(found.node, found.vmid, kind=found.kind)
    tell("for an operator's eyes, for seconds, and never for a tenant")
    put(json.dumps(asdict(ticket)))
    return 0


VERBS: Final = (
    Verb(
        "status",
        "say how a machine stands, in one word",
        named,
        _status,
        failed=0,
        fallback=Status.UNKNOWN,
        seconds=30,
    ),
    Verb("list", "list the machines", _list_arguments, _list, seconds=60),
    Verb("metrics", "say what a machine uses", named, _metrics, seconds=30),
    Verb("console", "open a machine's screen for an operator", named, _console, seconds=30),
)

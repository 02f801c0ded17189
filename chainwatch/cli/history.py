"""`chainwatch operations`, `events`, `orphans` and `audit`: what was done, said, found, ordered."""

from collections.abc import Sequence
from typing import Annotated

import typer

from chainwatch.admin.client import DEFAULT_SOCKET, Client
from chainwatch.cli.answers import Answer, answers
from chainwatch.cli.options import AsJson, Limit, Socket
from chainwatch.cli.printing import Row, coloured, moment, show_json, span, table

OfLease = Annotated[str | None, typer.Option("--lease", help="Only about this lease.")]


def operations(
    *,
    lease: OfLease = None,
    limit: Limit = 50,
    socket: Socket = DEFAULT_SOCKET,
    as_json: AsJson = False,
) -> None:
    """List what was done to machines, newest first."""
    raw = Client(socket).get("/operations", {"lease": lease, "limit": limit})
    if as_json:
        return show_json(raw)
    table(*operation_rows(answers(raw), with_key=True), "no operations")
    return None


def events(
    *,
    lease: OfLease = None,
    source: Annotated[str | None, typer.Option(help="Only of this source.")] = None,
    limit: Limit = 50,
    socket: Socket = DEFAULT_SOCKET,
    as_json: AsJson = False,
) -> None:
    """List what the chains said, newest first."""
    raw = Client(socket).get("/events", {"lease": lease, "source": source, "limit": limit})
    if as_json:
        return show_json(raw)
    table(*event_rows(answers(raw), with_source=True), "no events")
    return None


def orphans(*, socket: Socket = DEFAULT_SOCKET, as_json: AsJson = False) -> None:
    """List machines in our range that are not ours."""
    raw = Client(socket).get("/orphans")
    if as_json:
        return show_json(raw)
    rows = [
        (each.text("vmid"), each.text("node"), each.text("name"), each.text("evidence"))
        for each in answers(raw)
    ]
    table(("VM", "NODE", "NAME", "EVIDENCE"), rows, "no orphans")
    return None


def audit(*, limit: Limit = 50, socket: Socket = DEFAULT_SOCKET, as_json: AsJson = False) -> None:
    """List who ordered what, and why, newest first."""
    raw = Client(socket).get("/audit", {"limit": limit})
    if as_json:
        return show_json(raw)
    rows = [
        (moment(each.maybe("at")), *(each.text(name) for name in ("uid", "what", "subject", "why")))
        for each in answers(raw)
    ]
    table(("WHEN", "UID", "WHAT", "ABOUT", "WHY"), rows, "nobody has ordered anything")
    return None


def operation_rows(
    found: Sequence[Answer], *, with_key: bool
) -> tuple[Sequence[str], Sequence[Row]]:
    """Return columns and rows of operations, with whose they are where that is not clear."""
    columns = ("STARTED", "STEP", "VM", "NODE", "OUTCOME", "TOOK", "ERROR")
    rows = [
        (
            moment(each.maybe("started")),
            each.text("step"),
            each.text("vmid"),
            each.text("node"),
            coloured(each.text("outcome") or "open"),
            _took(each),
            each.text("error"),
        )
        for each in found
    ]
    if not with_key:
        return columns, rows
    return (*columns, "LEASE"), [
        (*row, each.text("key")) for row, each in zip(rows, found, strict=True)
    ]


def event_rows(
    found: Sequence[Answer], *, with_source: bool
) -> tuple[Sequence[str], Sequence[Row]]:
    """Return columns and rows of events; those that a reorg took back say so."""
    columns = ("BLOCK", "EVENT", "SAID", "NOTE")
    rows = [
        (
            each.text("block"),
            each.text("kind"),
            _fields(each),
            "taken back by a reorg" if each.maybe("orphaned_at") is not None else "",
        )
        for each in found
    ]
    if not with_source:
        return columns, rows
    return ("SOURCE", "ABOUT", *columns), [
        (each.text("source"), _about(each), *row) for row, each in zip(rows, found, strict=True)
    ]


def _about(event: Answer) -> str:
    return f"token {event.text('token')}" if event.text("token") else f"plan {event.text('plan')}"


def _took(operation: Answer) -> str:
    finished = operation.maybe("finished")
    return "" if finished is None else span(finished - operation.number("started"))


def _fields(event: Answer) -> str:
    words = {True: "yes", False: "no"}
    return ", ".join(
        f"{name} {words[value] if isinstance(value, bool) else value}"
        for name, value in event.items("fields")
        if value != ""
    )

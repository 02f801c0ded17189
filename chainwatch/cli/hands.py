"""What is done at once to the machine of a lease: metrics, throttle, exec, console.

The daemon does it while one waits, in the name of the user who typed it. What a guest says is
hostile: whatever could move a cursor or turn the text is made visible before it is printed, and a
program gets all of it as JSON.
"""

import json
import shlex
from typing import Annotated, Final

import typer

from chainwatch.admin.client import DEFAULT_SOCKET, PATIENCE, Client, Json, Unanswered, lease_route
from chainwatch.cli.answers import Answer
from chainwatch.cli.options import AsJson, Lease, Reason, Socket
from chainwatch.cli.printing import clean, pairs
from chainwatch.errors import OperatorError

#: As of a command by hand: its end was not seen; it was not begun.
TIMED_OUT: Final = 124
NOT_BEGUN: Final = 125
#: A program that takes its options from elsewhere may have some that look like ours.
AS_THEY_ARE: Final = {"ignore_unknown_options": True, "allow_interspersed_args": False}


def metrics(lease: Lease, *, socket: Socket = DEFAULT_SOCKET, as_json: AsJson = False) -> None:
    """Say what a machine uses now; -1 is what nobody tells."""
    raw = Client(socket).get(lease_route(lease, "metrics"))
    if as_json:
        return _show(raw)
    pairs([(name.replace("_", " "), str(value)) for name, value in Answer.of(raw).fields.items()])
    return None


def throttle(
    lease: Lease,
    *,
    reason: Reason,
    cpu_shares: Annotated[int | None, typer.Option(help="Share of the node's cores.")] = None,
    cpu_quota: Annotated[int | None, typer.Option(help="Percent of its own cores.")] = None,
    bandwidth_in: Annotated[int | None, typer.Option(help="kbit/s; one for both ways.")] = None,
    bandwidth_out: Annotated[int | None, typer.Option(help="kbit/s; the smaller holds.")] = None,
    iops_read: Annotated[int | None, typer.Option(help="Reads a second.")] = None,
    iops_write: Annotated[int | None, typer.Option(help="Writes a second.")] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Lift every limit.")] = False,
    socket: Socket = DEFAULT_SOCKET,
    as_json: AsJson = False,
) -> None:
    """Limit what a machine takes of its node."""
    given = {
        "cpu_shares": cpu_shares,
        "cpu_quota": cpu_quota,
        "bandwidth_in": bandwidth_in,
        "bandwidth_out": bandwidth_out,
        "iops_read": iops_read,
        "iops_write": iops_write,
    }
    body = {name: str(value) for name, value in given.items() if value is not None}
    body |= {"reset": "yes" if reset else "no", "reason": reason}
    raw = Client(socket).post(lease_route(lease, "throttle"), body)
    if as_json:
        return _show(raw)
    for line in Answer.of(raw).texts("lines"):
        typer.echo(clean(line))
    for what in Answer.of(raw).texts("put_back"):
        typer.echo(f"its plan decides the {what}: drift repair puts that back", err=True)
    return None


def exec_(
    lease: Lease,
    words: Annotated[
        list[str], typer.Argument(metavar="COMMAND...", help="The command, word by word.")
    ],
    *,
    reason: Reason,
    limit: Annotated[int, typer.Option(help="Seconds that it may run.", min=1, max=600)] = 60,
    socket: Socket = DEFAULT_SOCKET,
    as_json: AsJson = False,
) -> None:
    """Run a command in a machine as its root; ends as that ends."""
    body: dict[str, str | list[str]] = {"words": words, "limit": str(limit), "reason": reason}
    try:
        raw = Client(socket).post(lease_route(lease, "exec"), body, patience=limit + PATIENCE)
    except Unanswered as lost:
        raise _unseen(words, lost) from None
    except OperatorError as refusal:
        typer.echo(f"chainwatch: {clean(str(refusal))}", err=True)
        raise typer.Exit(NOT_BEGUN) from None
    try:
        ended = Answer.of(raw)
        code, seen = ended.number("code"), ended.flag("seen")
        output, error = ended.text("output"), ended.text("error")
    except OperatorError as odd:
        raise _unseen(words, odd) from None
    if as_json:
        _show(raw)
    else:
        typer.echo(_lines(output), nl=False)
        typer.echo(_lines(error), nl=False, err=True)
    raise typer.Exit(code if seen else TIMED_OUT)


def _unseen(words: list[str], why: OperatorError) -> typer.Exit:
    """Say that nobody knows what became of a command; return how ours ends then."""
    what = clean(shlex.quote(words[0]))
    typer.echo(
        f"chainwatch: {clean(str(why))}: {what} may have run, and may still run there", err=True
    )
    return typer.Exit(TIMED_OUT)


def console(
    lease: Lease, *, reason: Reason, socket: Socket = DEFAULT_SOCKET, as_json: AsJson = False
) -> None:
    """Open a machine's screen for an operator, once."""
    raw = Client(socket).post(lease_route(lease, "console"), {"reason": reason})
    typer.echo("for an operator's eyes, for seconds, and never for a tenant", err=True)
    if as_json:
        return _show(raw)
    pairs([(name, str(value)) for name, value in Answer.of(raw).fields.items()])
    return None


def _show(raw: Json) -> None:
    """Print an answer in which a guest speaks: all of it in letters that no terminal obeys."""
    typer.echo(json.dumps(raw, indent=2))


def _lines(said: str) -> str:
    """Return what a guest said with its line ends and tabs, and nothing else that acts."""
    lines = said.split("\n")
    return "\n".join("\t".join(map(clean, line.split("\t"))) for line in lines)

"""`chainwatch source list`, `show`, `resume`, `reread`: how chains are read, and what on a halt.

Both orders show first what they rest on, and ask; a script says `--yes`.
"""

from typing import Annotated, TypeAlias

import typer

from chainwatch.admin.client import DEFAULT_SOCKET, LONG_PATIENCE, Client, source_route
from chainwatch.cli.answers import Answer, answers
from chainwatch.cli.options import AsJson, Reason, Socket
from chainwatch.cli.printing import Cell, Row, coloured, heading, moment, pairs, show_json, table
from chainwatch.errors import OperatorError

Name: TypeAlias = Annotated[str, typer.Argument(metavar="NAME", help="The source's name.")]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_(*, socket: Socket = DEFAULT_SOCKET, as_json: AsJson = False) -> None:
    """List the sources and how each does."""
    raw = Client(socket).get("/sources")
    if as_json:
        return show_json(raw)
    table(
        ("NAME", "STATE", "CHAIN", "CONTRACT", "CURSOR", "FINAL", "HEAD", "WHY"),
        [_line(source) for source in answers(raw)],
        "no sources",
    )
    return None


@app.command()
def show(name: Name, *, socket: Socket = DEFAULT_SOCKET, as_json: AsJson = False) -> None:
    """Show one source, and what its endpoints say of our blocks."""
    raw = Client(socket).get(source_route(name))
    if as_json:
        return show_json(raw)
    _show(Answer.of(raw))
    return None


@app.command()
def resume(
    name: Name, *, reason: Reason, yes: Yes = False, socket: Socket = DEFAULT_SOCKET
) -> None:
    """Have a source that halted, or waits to be read again, go on with what is stored."""
    client = Client(socket)
    story = Answer.of(client.get(source_route(name)))
    if not (story.text("halted") or story.text("reread_to")):
        raise OperatorError(f"source {name} is not halted, so there is nothing to resume")
    _show(story)
    typer.echo("")
    _agree(f"Go on with what is stored? {_what_then(story)}", yes=yes)
    client.post(source_route(name, "resume"), {"reason": reason})
    typer.echo(f"{name} is read on; `chainwatch source show {name}` says how it does")


@app.command()
def reread(
    name: Name,
    block: Annotated[int, typer.Argument(metavar="BLOCK", min=0, help="The first to read again.")],
    *,
    reason: Reason,
    yes: Yes = False,
    socket: Socket = DEFAULT_SOCKET,
    as_json: AsJson = False,
) -> None:
    """Take back what is stored from a block on and read it again."""
    client, route = Client(socket), source_route(name, "reread")
    foreseen = Answer.of(client.get(route, {"block": block}))
    typer.echo(_foretold(foreseen), err=as_json)
    _agree("Read it again?", yes=yes)
    raw = client.post(route, {"block": str(block), "reason": reason}, patience=LONG_PATIENCE)
    if as_json:
        return show_json(raw)
    typer.echo(f"{name} is read again; `chainwatch source show {name}` says how far it is")
    return None


def _agree(question: str, *, yes: bool) -> None:
    if not yes and not typer.confirm(question, err=True):
        raise typer.Exit(1)


def _what_then(story: Answer) -> str:
    if story.text("halted"):
        return "It halts again if the contradiction stands."
    cursor = story.one("stored_cursor")
    if cursor is not None and cursor.number("number") >= story.number("reread_to"):
        return "Who was let in by what was final before is shut out until it is final again."
    return "What was not read again is then taken not to exist: its machines are suspended."


def _foretold(reread: Answer) -> str:
    first, last = reread.number("first"), reread.number("last")
    said = (
        f"blocks {first} to {last} of {reread.text('source')} are read again: "
        f"{reread.number('events')} events about {reread.number('leases')} leases. "
        "Until that is done, nothing is done about any lease of it."
    )
    below = " Some of them were final: this is for when an endpoint was proven wrong about them."
    return said + below if reread.flag("below_final") else said


def _line(source: Answer) -> Row:
    return (
        source.text("name"),
        coloured(source.text("word")),
        source.text("chain_id"),
        source.text("contract"),
        *(source.text(name) for name in ("cursor", "final", "head")),
        source.text("why"),
    )


def _show(story: Answer) -> None:
    source = story.one("source")
    if source is None:
        return
    halted, again = story.text("halted"), story.text("reread_to")
    rows: list[tuple[str, str | Cell]] = [
        ("source", Cell(source.text("name"), "bold")),
        ("contract", f"{source.text('contract')} on chain {source.text('chain_id')}"),
        ("state", coloured(source.text("word"))),
    ]
    if why := halted or source.text("why"):
        rows.append(("because", Cell(why, "red" if halted else "yellow")))
    rows.append(("our final", _block(story.one("stored_final"))))
    rows.append(("our cursor", _block(story.one("stored_cursor"))))
    if again:
        final = story.maybe("reread_final")
        and_final = "" if final is None else f" and block {final} is final"
        rows.append(("read again", f"by order, until block {again} is read{and_final}"))
    pairs(rows)
    heading("What its endpoints say now of these blocks")
    said = [_testimony(each, story) for each in story.all("testimonies")]
    table(("HOST", "CHAIN", "HEAD", "ITS FINAL", "AT OUR FINAL", "AT OUR CURSOR"), said, "nobody")
    for alarm in story.all("alarms"):
        heading(f"Alarm {alarm.text('name')}, since {moment(alarm.maybe('since'))}")
        pairs([(alarm.text("severity"), alarm.text("text"))])


def _block(block: Answer | None) -> str:
    if block is None:
        return "none yet"
    time = moment(block.maybe("chain_time"))
    return f"{block.text('number')}  {block.text('hash')}  {time} UTC"


def _testimony(said: Answer, story: Answer) -> Row:
    if said.text("trouble"):
        return (said.text("host"), "", "", "", Cell(said.text("trouble"), "yellow"), "")
    return (
        said.text("host"),
        said.text("chain_id"),
        said.text("head"),
        said.text("final"),
        _held_against(said.text("at_final"), story.one("stored_final")),
        _held_against(said.text("at_cursor"), story.one("stored_cursor")),
    )


def _held_against(theirs: str, ours: Answer | None) -> Cell:
    """Say whether a hash is ours, and show it where it is not."""
    if ours is None:
        return Cell("")
    if not theirs:
        return Cell("has none", "yellow")
    same = theirs == ours.text("hash")
    return Cell("the same", "green") if same else Cell(f"another: {theirs}", "red")

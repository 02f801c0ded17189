"""What people see: tables and colour at a terminal, aligned plain text in a pipe, JSON on request.

Texts from chains and guests are hostile: whatever could move a cursor or forge a line is made
visible before it is printed. rich is loaded only where a person looks.
"""

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import typer

from chainwatch.admin.client import Json

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
#: Columns at most, and what an address is cut to, at a terminal.
_SHORT: Final = 13


@dataclass(frozen=True, slots=True)
class Cell:
    """A text and how it looks at a terminal (a style of rich)."""

    text: str
    style: str = ""


Row = Sequence[str | Cell]


def at_terminal() -> bool:
    """Whether a person looks at standard output."""
    return sys.stdout.isatty()


def show_json(value: Json) -> None:
    """Print an answer as it came, indented."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=not at_terminal()))


def table(columns: Sequence[str], rows: Sequence[Row], empty: str) -> None:
    """Print rows under their columns, or the sentence that says that there are none."""
    cells = [[_cell(each) for each in row] for row in rows]
    if not cells:
        typer.echo(empty)
    elif at_terminal():
        _rich_table(columns, cells)
    else:
        _plain_table([*columns], [[cell.text for cell in row] for row in cells])


def pairs(rows: Sequence[tuple[str, str | Cell]], title: str = "") -> None:
    """Print names and what they are, under a title."""
    if title:
        heading(title)
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        indent = "  " if title else ""
        typer.echo(f"{indent}{name:<{width}}  {_styled(_cell(value))}")


def heading(text: str) -> None:
    """Print the title of what follows."""
    typer.echo("")
    typer.echo(_styled(Cell(clean(text), "bold")))


def clean(text: str) -> str:
    """Make visible what would move the cursor, turn the text or begin a line of its own."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def moment(seconds: int | None) -> str:
    """Write a time in seconds as a date, UTC; a time beyond all calendars as "never"."""
    if seconds is None:
        return "-"
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return "never"


def span(seconds: int) -> str:
    """Write a duration with its two largest units: `3 d 4 h`."""
    left, parts = abs(seconds), list[str]()
    for size, unit in _UNITS:
        if left >= size and len(parts) < 2:
            parts.append(f"{left // size} {unit}")
            left %= size
        elif parts:
            break
    return " ".join(parts) or "0 s"


def relative(seconds: int | None, now: int) -> str:
    """Write how far a time is from `now`: `in 3 d 4 h`, `12 s ago`."""
    if seconds is None:
        return "-"
    if moment(seconds) == "never":
        return "never"
    return f"in {span(seconds - now)}" if seconds > now else f"{span(now - seconds)} ago"


def short(address: str) -> str:
    """Cut an address for a person's eyes; a program gets all of it."""
    if not at_terminal() or len(address) <= _SHORT:
        return address
    return f"{address[:6]}…{address[-4:]}"


def coloured(word: str) -> Cell:
    """Colour a word of ours by whether it is good news."""
    return Cell(word, _COLOURS.get(word, ""))


_COLOURS: Final = {
    **dict.fromkeys(("live", "up", "active", "ok", "ready", "running", "connected"), "green"),
    **dict.fromkeys(
        ("behind", "stale", "warning", "expired", "suspended", "open", "resting", "in maintenance"),
        "yellow",
    ),
    **dict.fromkeys(
        ("halted", "trouble", "critical", "down", "failed", "lost", "offline", "away"), "red"
    ),
    **dict.fromkeys(("parked", "not ready", "quarantined"), "red"),
    **dict.fromkeys(("burnt", "gone", "stopped"), "dim"),
}


def _cell(value: str | Cell) -> Cell:
    cell = value if isinstance(value, Cell) else Cell(value)
    return Cell(clean(cell.text) or "-", cell.style)


def _styled(cell: Cell) -> str:
    """Colour a text by the terminal's own codes; typer drops them where nobody looks."""
    match cell.style:
        case "":
            return cell.text
        case "bold":
            return typer.style(cell.text, bold=True)
        case "dim":
            return typer.style(cell.text, dim=True)
        case colour:
            return typer.style(cell.text, fg=colour)


def _plain_table(columns: list[str], rows: list[list[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        text = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        typer.echo(text.rstrip())


def _rich_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(cell.text, cell.style) for cell in row))
    Console(highlight=False, markup=False).print(shown)

"""The end of the story: what was expected, how long each act took, and what the machines say.

The count of machines comes from the hypervisor's inventory, not from the daemon's records: what it
made, what it destroyed, what of it is left though nobody owns it, and what it changed that was not
its own.
"""

import json
from dataclasses import asdict, dataclass
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from chainwatch.demo.cluster import Inventory
from chainwatch.demo.expectations import Act, Playbill

_HEADINGS: Final = ("act", "seconds", "expectations", "")


@dataclass(frozen=True, slots=True)
class Tally:
    """Machines that the daemon made, destroyed and left behind; strangers that it changed."""

    created: int
    destroyed: int
    leaked: int
    foreign_touched: int


def tally(inventory: Inventory, token: str, *, over: bool) -> Tally:
    """Count from the inventory what `token` has done.

    A machine that is still there is a leak once the story is over, for then no lease is left;
    before that only remains without a machine are.
    """
    leaked = inventory.leaked(token)
    if not over:
        leaked -= inventory.guests.keys()
    return Tally(
        created=inventory.ended_well("qmclone", token),
        destroyed=inventory.ended_well("qmdestroy", token),
        leaked=len(leaked),
        foreign_touched=len(inventory.foreign_touched.get(token, ())),
    )


def show(console: Console, playbill: Playbill, machines: Tally) -> None:
    """Print the table: boxes and colours where a person looks, columns elsewhere."""
    rows = [_row(act) for act in playbill.acts]
    rows.append(("in all", f"{_seconds(playbill):.1f}", _met(playbill.acts), ""))
    console.print()
    if console.is_terminal:
        console.print(_table(rows))
    else:
        _columns(console, rows)
    console.print(
        f"machines: {machines.created} created, {machines.destroyed} destroyed, "
        f"{machines.leaked} leaked, {machines.foreign_touched} of others touched",
        soft_wrap=True,
    )
    for act in playbill.acts:
        if act.unmet:
            console.print(Text(f"not so: {act.unmet}", style="bold red"), soft_wrap=True)


def as_json(playbill: Playbill, machines: Tally) -> str:
    """Return the same as one JSON object on one line."""
    acts = [
        {"name": act.name, "seconds": round(act.seconds, 3), "met": act.met, "unmet": act.unmet}
        for act in playbill.acts
    ]
    return json.dumps({"ok": playbill.ok, "acts": acts, "machines": asdict(machines)})


def _row(act: Act) -> tuple[str, str, str, str]:
    return act.title, f"{act.seconds:.1f}", _met([act]), "FAILED" if act.unmet else "ok"


def _met(acts: list[Act]) -> str:
    met = sum(len(act.met) for act in acts)
    return f"{met} of {met + sum(act.unmet is not None for act in acts)}"


def _seconds(playbill: Playbill) -> float:
    return sum(act.seconds for act in playbill.acts)


def _table(rows: list[tuple[str, str, str, str]]) -> Table:
    table = Table(*_HEADINGS)
    for column in (table.columns[1], table.columns[2]):
        column.justify = "right"
    for row in rows:
        style = "red" if row[3] == "FAILED" else ""
        table.add_row(*row, style=style, end_section=row is rows[-2])
    return table


def _columns(console: Console, rows: list[tuple[str, str, str, str]]) -> None:
    widths = [max(len(row[i]) for row in (_HEADINGS, *rows)) for i in range(4)]
    for row in (_HEADINGS, *rows):
        cells = (row[0].ljust(widths[0]), row[1].rjust(widths[1]), row[2].rjust(widths[2]), row[3])
        console.print("  ".join(cells).rstrip(), soft_wrap=True)

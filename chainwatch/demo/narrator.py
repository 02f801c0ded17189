"""The one voice of the story: a line for each thing that happens, with the chain's time before it.

Everybody who has something to tell (the chain, the daemon, the hypervisor, the people) speaks
through here, so the lines stand in the order in which the story learned of them. On a terminal they
have colours; elsewhere they are plain text, as wide as they need to be.
"""

import datetime as dt
from enum import StrEnum
from typing import Final

from rich.console import Console
from rich.text import Text


class Who(StrEnum):
    """Whose line it is."""

    PEOPLE = "people"
    CHAIN = "chain"
    DAEMON = "daemon"
    PROXMOX = "proxmox"
    SEEN = "seen"


_STYLES: Final = {
    Who.PEOPLE: "magenta",
    Who.CHAIN: "cyan",
    Who.DAEMON: "yellow",
    Who.PROXMOX: "blue",
    Who.SEEN: "green",
}
_WIDTH: Final = max(map(len, Who))


class Narrator:
    """Tells lines to a console; `chain_time` (seconds, UTC) is what stands before them."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.chain_time: int | None = None

    def tell(self, who: Who, what: str) -> None:
        """Tell one thing that happened."""
        when = "" if self.chain_time is None else moment(self.chain_time)
        line = Text.assemble(
            (f"{when:19}", "dim"),
            "  ",
            (f"{who:{_WIDTH}}", _STYLES[who]),
            "  ",
            " ".join(what.split()),
        )
        self._print(line)

    def title(self, text: str) -> None:
        """Begin a new act."""
        self._print(Text(f"\n{text}", style="bold"))

    def remark(self, text: str) -> None:
        """Say something about the telling itself."""
        self._print(Text(text, style="dim"))

    def _print(self, line: Text) -> None:
        self.console.print(line, soft_wrap=True)


def moment(timestamp: int) -> str:
    """Write a chain time (seconds) as people read it, in UTC."""
    return f"{dt.datetime.fromtimestamp(timestamp, dt.UTC):%Y-%m-%d %H:%M:%S}"


def span(seconds: int) -> str:
    """Write a duration as people say it: `1 day`, `1 h 59 min 49 s`."""
    parts = []
    for unit, name in ((86_400, "day"), (3_600, "h"), (60, "min"), (1, "s")):
        count, seconds = divmod(seconds, unit)
        if count:
            parts.append(f"{count} {name}{'s' if name == 'day' and count > 1 else ''}")
    return " ".join(parts) or "0 s"

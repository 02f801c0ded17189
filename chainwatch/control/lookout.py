"""Whoever doubts one source in the background: the second look at its window, and its audit."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from chainwatch.control.audit import LeaseAudit
from chainwatch.control.second_look import WindowWatch


@dataclass(frozen=True, slots=True)
class Lookout:
    """The doubts about one source."""

    second_look: WindowWatch
    audit: LeaseAudit

    def news(self) -> None:
        """Tell them that the source was read on."""
        self.second_look.news.set()
        self.audit.news.set()

    def tasks(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """Return what has to run, by name."""
        return {
            f"second look {self.second_look.name}": self.second_look.run,
            f"audit {self.audit.name}": self.audit.run,
        }

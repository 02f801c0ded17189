"""What can be made to go wrong, by name, for the n-th call that matches.

A fault is armed for a method and a path pattern (`fnmatch`, below `/api2/json`) and strikes once,
on the n-th matching call. The names are the catalogue: a new way to fail gets a new name here and
one place that obeys it. A fault that never strikes is a test that proves nothing: `unused` says so.
"""

from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase


class FaultName(Enum):
    """What happens to the call."""

    REFUSE = "refuse"  # an error before any effect: `status`, `text`
    LOSE_REPLY = "lose-reply"  # the effect, then the connection is reset
    HANG = "hang"  # `seconds` of silence, then the effect and the answer
    UNREACHABLE = "unreachable"  # no connection: no effect
    PROXY_DOWN = "proxy-down"  # 595 from the proxy, before any effect
    PROXY_BROKEN = "proxy-broken"  # 596 from the proxy, after the effect
    HTML = "html"  # a 502 with an HTML body, before any effect
    TASK_FAILS = "task-fails"  # the task it starts ends with `text`
    TASK_ENDLESS = "task-endless"  # the task it starts never ends by itself
    TASK_WARNS = "task-warns"  # the task it starts ends with `WARNINGS: 1`
    EMPTY = "empty"  # a list comes back empty
    # Over SSH, method `SSH` and path `/NODE/VERB`, or `/NODE/login`:
    CUT_SHORT = "cut-short"  # half of what is sent arrives, then the connection is lost
    DISK_FULL = "disk-full"  # the node has no room for what is sent
    UNAUTHORIZED = "unauthorized"  # the login is refused


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, to strike on the `nth` call that matches (1 is the next)."""

    name: FaultName
    method: str = "*"
    path: str = "*"
    nth: int = 1
    status: int = 500
    text: str = "got no worker upid - start worker failed"
    seconds: float = 60.0


@dataclass(slots=True)
class Faults:
    """The armed faults, and those that struck."""

    armed: list[tuple[Fault, int]] = field(default_factory=list)
    struck: list[Fault] = field(default_factory=list)

    def arm(self, fault: Fault) -> None:
        """Have `fault` strike."""
        self.armed.append((fault, fault.nth))

    def clear(self) -> None:
        """Disarm everything."""
        self.armed.clear()

    def unused(self) -> list[Fault]:
        """Return what was armed and has not struck."""
        return [fault for fault, _ in self.armed]

    def match(self, method: str, path: str) -> Fault | None:
        """Count a call and return the fault that strikes it; the first armed wins."""
        if not self.armed:
            return None
        striking: Fault | None = None
        left: list[tuple[Fault, int]] = []
        for fault, countdown in self.armed:
            if not (fnmatchcase(method, fault.method) and fnmatchcase(path, fault.path)):
                left.append((fault, countdown))
            elif countdown > 1 or striking is not None:
                left.append((fault, max(countdown - 1, 1)))
            else:
                striking = fault
        self.armed = left
        if striking is not None:
            self.struck.append(striking)
        return striking

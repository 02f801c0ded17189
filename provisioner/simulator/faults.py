"""What can be made to go wrong, by name, for the n-th call that matches.

A fault is armed for a method and a path pattern below `/api2/json`: `*` is anything, `{name}` one
segment. It strikes once, on the n-th matching call, or each from the n-th on until it is lifted.
The names are the catalogue: a new way to fail gets a new name here and one place that obeys it. A
fault that never strikes is a test that proves nothing: `unused` says so. What Proxmox itself is
known to do wrong is in `modes`, told in these words.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from fnmatch import translate
from functools import lru_cache
from typing import Final

NO_WORKER: Final = "got no worker upid - start worker failed"


class FaultName(Enum):
    """What happens to the call."""

    REFUSE = "refuse"  # an error before any effect: `status`, `text`
    LOSE_REPLY = "lose-reply"  # the effect, then the connection is reset
    DROP = "drop"  # the connection is closed before the call is read: no effect
    HANG = "hang"  # `seconds` of silence, then the effect and the answer
    UNREACHABLE = "unreachable"  # no connection: no effect
    PROXY_DOWN = "proxy-down"  # 595 from the proxy, before any effect
    PROXY_BROKEN = "proxy-broken"  # 596 from the proxy, after the effect
    HTML = "html"  # a 502 with an HTML body, before any effect
    TASK_FAILS = "task-fails"  # the task it starts ends with `text`
    TASK_LIES = "task-lies"  # the task it starts does its work, and ends with `text`
    TASK_ENDLESS = "task-endless"  # the task it starts never ends by itself
    TASK_SLOW = "task-slow"  # the task it starts takes `seconds` longer
    TASK_KILLED = "task-killed"  # the task it starts is cut off midway: locks stay, no status
    TASK_FORGOTTEN = "task-forgotten"  # the task it starts is nowhere to be found once it ended
    TASK_WARNS = "task-warns"  # the task it starts ends with `WARNINGS: 1`
    EMPTY = "empty"  # a list comes back empty
    HAPPENS = "happens"  # something in the world changes just before: `act`
    # Over SSH, method `SSH` and path `/NODE/VERB`, or `/NODE/login`:
    CUT_SHORT = "cut-short"  # half of what is sent arrives, then the connection is lost
    DISK_FULL = "disk-full"  # the node has no room for what is sent
    UNAUTHORIZED = "unauthorized"  # the login is refused


@dataclass(frozen=True, slots=True)
class Struck:
    """The call that a fault strikes, as far as the world may depend on it.

    `vmid` is the one that the path names, `newid` the one that is to be made, on node `target`.
    """

    method: str
    path: str
    node: str
    vmid: int
    newid: int
    storage: str
    target: str


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, to strike on the `nth` call that matches (1 is the next).

    `text` may hold {vmid}, {newid}, {node}, {target} and {storage}; `errors` are per parameter,
    `raw` is a body of its own. `act` changes the world before the call, `then` when its task has
    ended. `struck` is the call, once there is one.
    """

    name: FaultName
    method: str = "*"
    path: str = "*"
    nth: int = 1
    status: int = 500
    text: str = ""
    seconds: float = 60.0
    errors: tuple[tuple[str, str], ...] = ()
    raw: str | None = None
    lasting: bool = False
    act: Callable[[Struck], None] | None = None
    then: Callable[[Struck], None] | None = None
    mode: str = ""
    struck: Struck | None = None

    def about(self, struck: Struck) -> "Fault":
        """Return this fault as it is about the call that it struck."""

        def told(text: str) -> str:
            for name in ("vmid", "newid", "node", "target", "storage"):
                text = text.replace(f"{{{name}}}", str(getattr(struck, name)))
            return text

        errors = tuple((field, told(text)) for field, text in self.errors)
        return replace(self, text=told(self.text), errors=errors, struck=struck)


@dataclass(slots=True)
class Faults:
    """The armed faults, those that struck, and how to mend what modes changed in the world."""

    armed: list[tuple[Fault, int]] = field(default_factory=list)
    struck: list[Fault] = field(default_factory=list)
    remedies: dict[str, list[Callable[[], None]]] = field(default_factory=dict)

    def arm(self, fault: Fault) -> None:
        """Have `fault` strike."""
        self.armed.append((fault, fault.nth))

    def clear(self) -> None:
        """Disarm everything."""
        self.armed.clear()

    def lift(self, mode: str) -> None:
        """Disarm what belongs to a mode."""
        self.armed = [(fault, left) for fault, left in self.armed if fault.mode != mode]

    def unused(self) -> list[Fault]:
        """Return what was armed and has not struck."""
        return [fault for fault, _ in self.armed if fault not in self.struck]

    def match(self, method: str, path: str) -> Fault | None:
        """Count a call and return the fault that strikes it; the first armed wins."""
        if not self.armed:
            return None
        striking: Fault | None = None
        left: list[tuple[Fault, int]] = []
        for fault, countdown in self.armed:
            if not matches(fault.method, fault.path, method, path):
                left.append((fault, countdown))
            elif countdown > 1 or striking is not None:
                left.append((fault, max(countdown - 1, 1)))
            else:
                striking = fault
                if fault.lasting:
                    left.append((fault, 1))
        self.armed = left
        if striking is not None:
            self.struck.append(striking)
        return striking


def matches(method_pattern: str, pattern: str, method: str, path: str) -> bool:
    """Say whether a call is one that a pattern means."""
    if method_pattern not in {"*", method}:
        return False
    return pattern == "*" or _compiled(pattern).fullmatch(path) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    if "{" not in pattern:
        return re.compile(translate(pattern))
    parts = re.split(r"(\{\w+\}|\*)", pattern)
    return re.compile("".join(_meant(part) for part in parts))


def _meant(part: str) -> str:
    if part == "*":
        return ".*"
    return "[^/]+" if part.startswith("{") else re.escape(part)


def struck_by(method: str, path: str, params: Mapping[str, object], storage: str) -> Struck:
    """Return what a call is about; `storage` is meant where it names none."""
    parts = path.split("/")
    node = parts[2] if len(parts) > 2 and parts[1] == "nodes" else ""
    named = parts[4] if len(parts) > 4 and parts[3] in {"qemu", "lxc"} else ""
    vmid = _number(named) or _number(params.get("vmid"))
    newid = _number(params.get("newid")) or vmid
    target = str(params.get("target", node))
    if len(parts) > 4 and parts[3] == "storage":
        storage = parts[4]
    return Struck(method, path, node, vmid, newid, str(params.get("storage", storage)), target)


def _number(text: object) -> int:
    return int(text) if isinstance(text, str) and text.isdigit() else 0

"""One call that the simulated API answers: method, path, parameters, privilege, handler.

The tables in `routes` and `lxc.calls` are made of these. `need` is checked before the parameters
are verified; a call that decides for itself whom it refuses has none.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeAlias

from provisioner.backends.proxmox.api import JsonValue
from provisioner.simulator.access import Ask
from provisioner.simulator.params import Rule
from provisioner.simulator.state import State
from provisioner.simulator.timeline import Hold, Sleep
from provisioner.simulator.wire import Listing

Answer: TypeAlias = "JsonValue | Listing | Generator[Sleep | Hold, None, JsonValue]"
Handler: TypeAlias = Callable[[State, Ask], Answer]
Rules: TypeAlias = dict[str, Rule]


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint; `need` is (path pattern, privileges) or None; `lists` may come back empty."""

    method: str
    pattern: str
    handler: Handler
    rules: Rules
    need: tuple[str, str] | None
    lists: bool = False

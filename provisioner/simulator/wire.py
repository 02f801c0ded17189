"""What is asked of the simulated API and what it answers, free of any transport.

A request carries its parameters as text, as a form would; an answer carries the status, the reason
phrase (where Proxmox puts its error text) and the body's parts. `Refused` is the one way in which
anything in the simulator says no: inside a request it becomes the answer, inside a task it becomes
the exit status, word for word. What happens to an answer on its way is its `Fate`, because a lost
answer and a refusal are different facts for the one who asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias

from provisioner.backends.proxmox.api import JsonValue

ParamText: TypeAlias = str | tuple[str, ...]
Value: TypeAlias = str | int | float | tuple[str, ...]


#: The reason of a refusal that nobody hears: the connection ends without an answer.
LOST: Final = "connection closed"


class Refused(Exception):
    """No, with Proxmox's words; `errors` are per parameter (status 400)."""

    def __init__(
        self, reason: str, status: int = 500, errors: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.errors = errors


def bad_parameters(**errors: str) -> Refused:
    """Return the 400 that names parameters; a key with a dash is written with `_`."""
    named = {name.replace("_", "-"): text for name, text in errors.items()}
    return Refused("Parameter verification failed.", 400, named)


class Fate(Enum):
    """What becomes of an answer on its way to the caller."""

    ANSWERED = "answered"
    LOST = "lost"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One call: `path` is below `/api2/json`, `token` is `user@realm!name=secret` or None."""

    method: str
    path: str
    params: Mapping[str, ParamText] = field(default_factory=dict)
    token: str | None = None


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """One answer; `delay` is how many virtual seconds the caller waited for it.

    `raw` replaces the JSON body (a 401 is empty, a broken proxy sends HTML).
    """

    status: int
    reason: str = "OK"
    data: JsonValue = None
    errors: Mapping[str, str] | None = None
    total: int | None = None
    raw: str | None = None
    fate: Fate = Fate.ANSWERED
    delay: float = 0.0

    def body(self) -> dict[str, JsonValue]:
        """Return the JSON body as 8.4 shapes it: data, and message and errors on a refusal."""
        body: dict[str, JsonValue] = {"data": self.data}
        if self.status >= 400:
            body["message"] = f"{self.reason}\n"
        if self.errors is not None:
            body["errors"] = dict(self.errors)
        if self.total is not None:
            body["total"] = self.total
        return body


@dataclass(frozen=True, slots=True)
class Listing:
    """A list that also says how many there are in all (task lists and logs)."""

    rows: JsonValue
    total: int

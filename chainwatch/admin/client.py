"""Asking the daemon through its socket, as the command line does.

Plain HTTP of the standard library over a unix socket, so that a command answers as fast as the
daemon does. It never reads the configuration: that would need its secrets. How it fails: with
OperatorError, which says whether the daemon is down, the socket closed to this user, or the request
wrong.
"""

import http.client
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import quote, urlencode

from chainwatch.errors import OperatorError

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"

DEFAULT_SOCKET: Final = Path("/run/chainwatch/admin.sock")
#: Seconds to wait for an answer: longer than the daemon waits for the hypervisor.
PATIENCE: Final = 30.0
#: A check folds the whole journal, and waits for every source.
LONG_PATIENCE: Final = 600.0


class NotRunning(OperatorError):
    """Nobody answers on the socket."""


class Unanswered(OperatorError):
    """The daemon was asked and gave no answer: what was asked for may have been done."""


@dataclass(frozen=True, slots=True)
class Client:
    """The daemon behind one socket."""

    path: Path

    def get(self, route: str, query: Mapping[str, str | int | None] | None = None) -> Json:
        """Read a route; query values that are None are left out."""
        given = {name: value for name, value in (query or {}).items() if value is not None}
        return self._ask("GET", route + (f"?{urlencode(given)}" if given else ""))

    def post(
        self,
        route: str,
        body: Mapping[str, str | list[str]] | None = None,
        *,
        patience: float = PATIENCE,
    ) -> Json:
        """Give an order."""
        return self._ask("POST", route, json.dumps(body or {}), patience)

    def _ask(
        self, method: str, route: str, body: str | None = None, patience: float = PATIENCE
    ) -> Json:
        connection = _Connection(self.path, patience)
        try:
            connection.request(method, route, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return _answer(response.status, response.read())
        except TimeoutError:
            raise Unanswered(
                f"the daemon did not answer within {patience:.0f} s; its log says what it does"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from None
        finally:
            connection.close()

    def _unreachable(self, error: Exception) -> OperatorError:
        match error:
            case PermissionError():
                return OperatorError(self._closed())
            case FileNotFoundError() | ConnectionRefusedError():
                return NotRunning(
                    f"no daemon answers on {self.path}: start it (`systemctl start chainwatch`), "
                    "or name its socket with --socket or CHAINWATCH_SOCKET"
                )
            case _:
                return Unanswered(
                    f"the daemon broke off on {self.path} ({error}); look what it did before you "
                    "order the same again"
                )

    def _closed(self) -> str:
        """Say which group would let this user in, where that can be seen."""
        shown = self.path if _visible(self.path) else self.path.parent
        group = shown.group() if _visible(shown) else "of the socket"
        return f"user {os.geteuid()} may not open {self.path}: join group {group}, or ask as root"


def _visible(path: Path) -> bool:
    try:
        path.group()
    except (OSError, KeyError):
        return False
    return True


class _Connection(http.client.HTTPConnection):
    """A connection to a unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def lease_route(lease: str, act: str = "") -> str:
    """Return the route of a lease, or of an order about it."""
    return f"/leases/{quote(lease, safe='/:')}" + (f"/{act}" if act else "")


def source_route(source: str, act: str = "") -> str:
    """Return the route of a source, or of what may be done with it."""
    return f"/sources/{quote(source, safe='')}" + (f"/{act}" if act else "")


def _answer(status: int, raw: bytes) -> Json:
    try:
        answer: Json = json.loads(raw)
    except ValueError:
        said = f"the daemon answered {status} and no JSON; its log says why"
        raise OperatorError(said) if _declined(status) else Unanswered(said) from None
    if status < 400:
        return answer
    error = answer.get("error") if isinstance(answer, dict) else None
    if error is None and not _declined(status):
        raise Unanswered(f"the daemon answered {status} and no reason; its log says why")
    raise OperatorError(str(error or f"the daemon answered {status}"))


def _declined(status: int) -> bool:
    """Whether a status says by itself that nothing was done; one of a failure does not."""
    return 400 <= status < 500

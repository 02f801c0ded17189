"""What a genuine Proxmox VE 8.4.21 said: the exchanges, and what of them is in scope.

`tests/data/pve-8.4-transcripts.json` holds every recorded exchange. `OUT_OF_SCOPE` is a table of
predicates with reasons; an exchange that no row names is in scope, so nothing is left out by
silence.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

FILE = Path(__file__).parents[1] / "data" / "pve-8.4-transcripts.json"
LONG = re.compile(r"(.)\.\.\.\[(\d+)(?: characters)?\]")
SIMPLE = {"GET", "PUT", "POST", "DELETE"}
SOCKET = "GET /api2/json/nodes/pve/qemu/"


@dataclass(frozen=True)
class Exchange:
    """One exchange; `number` is its place in its scenario, `told` what was recorded of it."""

    scenario: str
    number: int
    told: Mapping[str, Any]
    method: str = ""
    path: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def body(self) -> tuple[str, bytes] | None:
        """Return the type and the bytes of a body that is a form or a JSON object."""
        kind = str((self.told.get("request_headers") or {}).get("Content-Type")).split(";")[0]
        raw = full_length(self.told.get("raw_body"))
        if not isinstance(raw, str) or self.told.get("status") not in {200, 400}:
            return None
        is_form, is_json = kind.endswith("urlencoded"), kind.endswith("json") and raw[:1] == "{"
        plain = raw.isascii() and not raw.startswith("b'") and '": {' not in raw
        return (kind, raw.encode()) if plain and (is_form or is_json) else None

    @property
    def name(self) -> str:
        """Return how lists of exchanges call it."""
        return f"{self.scenario} {self.number}: {self.told.get('step')}"

    @property
    def asker(self) -> str:
        """Return who asked, as it was recorded."""
        return str(self.told.get("auth"))

    @property
    def asked_at(self) -> float:
        """Return when, in seconds since the scenario began."""
        return float(self.told["at_s"])

    @property
    def turn(self) -> float:
        """Return its place in the order: who lost a race asks just after who won it, by chance."""
        lost = str(self.told.get("reason")).endswith("config file already exists")
        return self.asked_at + (0.002 if lost else 0.0)

    @property
    def answered_at(self) -> float:
        """Return when the answer was there."""
        return self.asked_at + float(self.told.get("ms") or 0) / 1000

    @property
    def ended_at(self) -> float:
        """Return when its task had ended (by the poll that said so)."""
        return self.answered_at + float(self.task.get("ms") or 0) / 1000

    @property
    def task(self) -> Mapping[str, Any]:
        """Return what was recorded of its task."""
        found: Mapping[str, Any] = self.told.get("task") or {}
        return found

    @property
    def data(self) -> Any:  # noqa: ANN401 - any JSON
        """Return the data that were answered."""
        body = self.told.get("body")
        return body.get("data") if isinstance(body, dict) else None


def full_length(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return a parameter as it was sent: the recording shortens long ones."""
    if isinstance(value, list):
        return [full_length(each) for each in value]
    if not isinstance(value, str):
        return value
    match = LONG.search(value)
    if match is None:
        return value
    start = match.start(1)
    return value[:start] + match[1] * (int(match[2]) - start)


def _read(scenario: str, number: int, told: Mapping[str, Any]) -> Exchange:
    params = {name: full_length(value) for name, value in (told.get("params") or {}).items()}
    method, address = str(told.get("method", "")), str(told.get("path", ""))
    raw = str(told.get("raw_request", ""))
    if raw.startswith(SOCKET) and "vncwebsocket" in raw:
        method, address = "GET", raw.split(" ")[1].removeprefix("/api2/json")
    split = urlsplit(address) if not address.startswith("//") else urlsplit("")
    params = dict(parse_qsl(split.query, keep_blank_values=True)) | params
    return Exchange(scenario, number, told, method, split.path or address, params)


@cache
def scenarios() -> dict[str, tuple[Exchange, ...]]:
    """Return every exchange, by scenario, in the order in which they were asked."""
    return {
        scenario["scenario"]: tuple(
            sorted(
                (_read(scenario["scenario"], n, e) for n, e in enumerate(scenario["exchanges"])),
                key=lambda exchange: (exchange.turn, exchange.number),
            )
        )
        for scenario in json.loads(FILE.read_text())["scenarios"]
    }


# ---------------------------------------------------------------------------------------- scope


@dataclass(frozen=True)
class Row:
    """One row of the table: why, how many, and which."""

    reason: str
    count: int
    concerns: Callable[[Exchange], bool]


def on(pattern: str, *methods: str) -> Callable[[Exchange], bool]:
    """Return a predicate: the whole path matches `pattern`, the method is one of `methods`."""
    whole = re.compile(pattern)
    return lambda e: whole.fullmatch(e.path) is not None and (not methods or e.method in methods)


def about_http(exchange: Exchange) -> bool:
    """Say whether bytes, headers, other formats or connections are the point."""
    told = exchange.told
    usual = {"Authorization", "Accept-Encoding", "Content-Type" if exchange.body else ""}
    headers = set(told.get("request_headers") or {}) - usual
    return (
        exchange.method not in SIMPLE
        or bool(headers)
        or ("raw_body" in told and not exchange.body)
        or "requests_answered" in told
        or "whole path" in str(told.get("step"))
        or str(told.get("step")).startswith(("extjs", "multipart"))
        or exchange.path.startswith("//")
    )


def with_a_ticket(exchange: Exchange) -> bool:
    """Say whether a person's ticket was asked for or used."""
    headers = exchange.told.get("request_headers") or {}
    return (
        exchange.asker.endswith("ticket")
        or " ticket " in exchange.asker
        or "PVEAuthCookie" in json.dumps(headers)
        or exchange.path == "/access/ticket"
    )


NODE = "/nodes/[^/]+"
GUEST = f"{NODE}/(?:qemu|lxc)/[^/]+"
OUT_OF_SCOPE = (
    Row(
        "a person's ticket and its CSRF token: the daemon holds an API token and never logs in",
        77,
        with_a_ticket,
    ),
    Row(
        "HTTP itself: bytes, headers, other methods and formats, connections; the simulator's"
        " front is a server of its own",
        49,
        about_http,
    ),
    Row(
        "users, tokens, roles and realms: a person makes them, with the printed commands",
        19,
        on("/access/(users|roles|domains)(/.*)?"),
    ),
    Row("an ACL is changed by a person, with the printed commands", 1, on("/access/acl", "PUT")),
    Row(
        "a machine made from nothing: ours are cloned or restored",
        132,
        lambda e: on(f"{NODE}/qemu", "POST")(e) and "archive" not in e.params,
    ),
    Row(
        "the administration of a node or cluster: network, DNS, services, time, options, log,"
        " backup jobs, replication, what its QEMU is capable of, statistics over time",
        31,
        on(
            f"/cluster/(log|options|replication|backup(/.*)?)"
            f"|{NODE}/(network|dns|services|time|aplinfo|version|rrddata|capabilities/.*)"
            f"|{GUEST}/rrddata"
        ),
    ),
    Row(
        "indexes, which name what lies below a path",
        6,
        on(f"/|/cluster|{NODE}|{GUEST}|{GUEST}/agent|{NODE}/tasks/UPID[^/]*/?", "GET"),
    ),
    Row(
        "a policy for tags, which a person sets in the options of the cluster",
        13,
        lambda e: e.asker.startswith("svc@pve!tg"),
    ),
    Row("the log of a firewall that nobody runs there", 2, on(f"{GUEST}/firewall/log")),
    Row(
        "cloud-init data as Proxmox renders them: the simulated guest reads the configuration",
        20,
        on(f"{GUEST}/cloudinit(/dump)?"),
    ),
    Row(
        "files and volumes made on a storage by hand: ours come by SSH or with their machine",
        11,
        on(f"{NODE}/storage/[^/]+/(content|upload|download-url)", "POST"),
    ),
    Row(
        "storages are made and changed by a person",
        8,
        on("/storage(/.*)?", "POST", "PUT", "DELETE"),
    ),
    Row(
        "the recorded node had no termproxy, no vncterm and no VGA that vncproxy waits for: its"
        " time-outs are artefacts of how it was made",
        7,
        lambda e: "Timeout while waiting for port" in str(e.told.get("reason")),
    ),
    Row(
        "the monitor, SPICE and the node's own shell: nothing of ours opens them",
        5,
        on(f"{GUEST}/(monitor|spiceproxy)|{NODE}/(vncshell|termproxy)"),
    ),
)


def why_not(exchange: Exchange) -> str | None:
    """Return why an exchange is out of scope, None of one that is in scope."""
    return next((row.reason for row in OUT_OF_SCOPE if row.concerns(exchange)), None)

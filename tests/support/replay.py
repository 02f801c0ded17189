"""Play recorded exchanges against the simulator, and tell every difference.

An exchange is asked when it was asked (by the recording's clock, in virtual time), after all that
was answered and every task that had ended before it. What the recording drew by chance (UPIDs,
digests, tickets, process ids) is ours when it is used again. Compared are the status, the reason,
the errors of parameters, the shape of the body (types and names, all the way down) and how the
task ended.
"""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from provisioner.simulator.cluster import Call
from provisioner.simulator.front import parameters
from provisioner.simulator.state import Grant, Token
from provisioner.simulator.wire import ApiRequest, ApiResponse, Fate, ParamText
from tests.support.recorded import Exchange, why_not
from tests.support.replay_events import AT_FIRST, GRANTED, MEANWHILE, nothing
from tests.support.replayed import BEFORE, UPID, World
from tests.support.shapes import differing, shape

GRANT = re.compile(r"([\w.,]+) on ((?:/[\w/]+ ?)+)")
ROLES = {
    "PVEVMAdmin": "VM.Allocate,VM.Audit,VM.Backup,VM.Clone,VM.Config.CDROM,VM.Config.CPU,"
    "VM.Config.Cloudinit,VM.Config.Disk,VM.Config.HWType,VM.Config.Memory,VM.Config.Network,"
    "VM.Config.Options,VM.Console,VM.Migrate,VM.Monitor,VM.PowerMgmt,VM.Snapshot,"
    "VM.Snapshot.Rollback"
}
DRAWN = {"digest", "ticket", "port", "pid"}
SCHEME = "PVEAPIToken"


class Player:
    """One scenario on one simulated cluster."""

    def __init__(self, exchanges: tuple[Exchange, ...]) -> None:
        self.exchanges = exchanges
        self.scenario = exchanges[0].scenario
        self.world = World(exchanges)
        self.cluster = self.world.cluster
        self.known: dict[str, str] = {}
        self.open: list[tuple[Exchange, Call]] = []
        for name in ("root@pam!t1", "test@pve!t1"):
            self.cluster.add_token(Token(name, "SECRET"))
        start = self.cluster.now
        self.world.appear("qemu", 9000)
        self.world.appear("qemu", 9100)
        AT_FIRST.get(self.scenario, nothing)(self.world)
        self.began = start + BEFORE
        self.cluster.advance_to(self.began)

    def play(self) -> Iterator[tuple[Exchange, list[str]]]:
        """Play it all; yield every exchange in scope with how it differs."""
        calls: list[tuple[Exchange, Call]] = []
        for exchange in self.exchanges:
            self.wait_for(exchange)
            MEANWHILE.get((self.scenario, exchange.number), nothing)(self.world)
            if why_not(exchange) is None:
                self.world.as_it_stood(exchange)
                calls.append((exchange, self.ask(exchange)))
            else:
                self.world.by_hand(exchange, self.ours(exchange.path))
        for exchange, call in self.open:
            self.until_ended(exchange, self.until_answered(exchange, call))
        for exchange, call in calls:
            assert call.response is not None
            yield exchange, list(self.compare(exchange, call.response))

    # --------------------------------------------------------------------------------- asking

    def wait_for(self, exchange: Exchange) -> None:
        """Let happen what had happened when `exchange` was asked."""
        for earlier, call in self.open:
            if earlier.answered_at <= exchange.asked_at:
                response = self.until_answered(earlier, call)
                if earlier.ended_at <= exchange.asked_at:
                    self.until_ended(earlier, response)
        self.open = [(e, c) for e, c in self.open if e.ended_at > exchange.asked_at]
        moment = self.began + exchange.asked_at
        if moment > self.cluster.now:
            self.cluster.advance_to(moment)

    def until_answered(self, exchange: Exchange, call: Call) -> ApiResponse:
        """Let time pass until a call is answered."""
        while call.response is None:
            self.next_event()
        self.learn(exchange.data, call.response.data)
        return call.response

    def until_ended(self, exchange: Exchange, response: ApiResponse) -> None:
        """Let time pass until the task of an exchange has ended, if it was seen to end."""
        task = self.cluster.state.tasks.get(self.watched(exchange, response))
        while task is not None and task.status is None:
            self.next_event()

    def next_event(self) -> None:
        """Let time pass until something happens."""
        due = self.cluster.state.timeline.next_due()
        assert due is not None
        self.cluster.advance_to(due)

    def watched(self, exchange: Exchange, response: ApiResponse) -> str:
        """Return our UPID of the task that was watched, empty where none was."""
        if not exchange.task:
            return ""
        if isinstance(response.data, str) and UPID.fullmatch(response.data):
            return response.data
        return self.known.get(str(exchange.task["upid"]), "")

    def ask(self, exchange: Exchange) -> Call:
        """Ask what was asked, with our own names for what was drawn."""
        params = {name: self.text(value) for name, value in exchange.params.items()}
        if exchange.body is not None:
            params |= parameters((), *exchange.body)
        path = self.ours(exchange.path)
        call = self.cluster.submit(ApiRequest(exchange.method, path, params, self.token(exchange)))
        if call.response is not None:
            self.learn(exchange.data, call.response.data)
        self.open.append((exchange, call))
        return call

    def text(self, value: Any) -> ParamText:  # noqa: ANN401 - any JSON
        """Return a parameter as a form has it."""
        if isinstance(value, list):
            return tuple(self.ours(str(each)) for each in value)
        return self.ours(str(int(value) if isinstance(value, bool) else value))

    def ours(self, text: str) -> str:
        """Return a text with our names in place of recorded ones."""
        text = unquote(text) if "UPID%3A" in text else text
        if text in self.known:
            return self.known[text]
        names = r"UPID:[^/]+|vzdump-[\w.-]+"
        return re.sub(names, lambda match: self.known.get(match[0], match[0]), text)

    def learn(self, theirs: Any, ours: Any, name: str = "") -> None:  # noqa: ANN401 - any JSON
        """Remember what of theirs is what of ours."""
        if isinstance(theirs, dict) and isinstance(ours, dict):
            for each in theirs.keys() & ours.keys():
                self.learn(theirs[each], ours[each], each)
        elif isinstance(theirs, list) and isinstance(ours, list):
            for old, new in zip(backups(theirs), backups(ours), strict=False):
                self.known[old] = new
        elif name in DRAWN or UPID.fullmatch(str(theirs)):
            self.known[str(theirs)] = str(ours)

    def token(self, exchange: Exchange) -> str | None:
        """Return the credentials that an exchange was asked with."""
        header = (exchange.told.get("request_headers") or {}).get("Authorization")
        if header is not None:
            known = str(header).startswith(SCHEME)
            return str(header).removeprefix(SCHEME).lstrip("= ") if known else None
        name, _, about = exchange.asker.partition(" token")
        if name == "none":
            return None
        about = GRANTED.get((self.scenario, exchange.number), about)
        if name not in {"root@pam!t1", "test@pve!t1"}:
            token = Token(name, "SECRET", everything=about == "all", grants=granted(about))
            self.cluster.add_token(token)
        return f"{name}=SECRET" if about != "gone" else f"{name}=GONE"

    # ------------------------------------------------------------------------------ comparing

    def compare(self, exchange: Exchange, response: ApiResponse) -> Iterator[str]:
        """Tell how an answer differs from the recorded one."""
        told = exchange.told
        lost = told.get("status") is None
        if lost or response.fate is not Fate.ANSWERED:
            if not lost or response.fate is not Fate.LOST:
                yield f"{response.status} {response.reason} instead of {told.get('status')}"
            return
        said, was = (response.status, response.reason), (told["status"], told["reason"])
        if said != (was if was[0] != 101 else (200, "OK")):  # a socket is upgraded by the front
            yield f"{said} instead of {was}"
            return
        if "raw_request" not in told:
            yield from compare_bodies(exchange, response)
        if exchange.task:
            task = self.cluster.state.tasks.get(self.watched(exchange, response))
            ended, theirs = task and task.status, exchange.task.get("exitstatus")
            if ended != theirs:
                yield f"the task ended {ended!r} instead of {theirs!r}"


def compare_bodies(exchange: Exchange, response: ApiResponse) -> Iterator[str]:
    """Tell how the bodies differ in shape, and the errors of parameters word for word."""
    theirs = exchange.told.get("body")
    if not isinstance(theirs, dict):
        ours = response.body() if response.raw is None else response.raw
        if ours != theirs:
            yield f"the body is {ours!r}, was {theirs!r}"
        return
    body: dict[str, Any] = response.body()
    errors, were = body.pop("errors", None), theirs.get("errors")
    if errors != were:
        yield f"errors {errors} instead of {were}"
    # `rows` is the recording's own: how many there were before it shortened the list
    rest = {key: value for key, value in theirs.items() if key not in {"errors", "rows"}}
    yield from differing(shape(body), shape(rest), "body")


def backups(rows: list[Any]) -> list[str]:
    """Return the names of the backups in a list of volumes."""
    volids = [str(row.get("volid")) for row in rows if isinstance(row, dict)]
    return [volid.rpartition("/")[2] for volid in volids if "vzdump" in volid]


def granted(about: str) -> tuple[Grant, ...]:
    """Read what a token was recorded with: privileges (or a role) on paths."""
    return tuple(
        Grant(path, frozenset(ROLES.get(names, names).split(",")))
        for names, paths in GRANT.findall(about)
        for path in paths.split()
    )

"""What is answered under which path: one route an act, JSON both ways.

Every answer is JSON but `/metrics`; what went wrong is `{"error": sentence}`. A request is let in
by who sends it (`peers`), so no route asks again; an order takes `{"reason": …}` and is done in the
name of the user who connected.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, is_dataclass
from typing import Final, get_args

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from chainwatch.admin.metrics import CONTENT_TYPE, exposition
from chainwatch.admin.peers import Peer, Permissions, peer_of
from chainwatch.control.desk import Desk, Filter, UnknownLease
from chainwatch.control.source_desk import UnknownSource
from chainwatch.domain.desired import Hold
from chainwatch.errors import OperatorError, Transient
from chainwatch.store.holds import Scope
from provisioner.errors import ProvisionError
from provisioner.model import Verb

LARGEST_BODY: Final = 64 * 1024
#: How many lines a list has when nobody says, and at most.
LINES: Final = 50
MOST_LINES: Final = 10_000
#: What a block's number stays below: the largest that the store can hold.
MOST_BLOCKS: Final = 2**63
_PEER: Final = web.RequestKey("peer", Peer)


class Routes:
    """The routes over one desk; `listening` is where metrics are served over TCP, if at all."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.listening: str | None = None

    def public(self) -> list[web.RouteDef]:
        """Return what anybody on this host may see: health and numbers."""
        return [
            web.get("/healthz", self._healthz),
            web.get("/readyz", self._readyz),
            web.get("/metrics", self._metrics),
        ]

    def all(self) -> list[web.RouteDef]:
        """Return everything."""
        return [
            *self.public(),
            web.get("/status", self._status),
            web.get("/sources", self._sources),
            web.get("/sources/{source}", self._source),
            web.get("/sources/{source}/reread", self._foreseen),
            web.get("/leases", self._leases),
            web.get("/leases/{lease:.+}/adopt/{vmid}", self._candidate),
            web.get("/leases/{lease:.+}", self._show),
            web.get("/operations", self._operations),
            web.get("/events", self._events),
            web.get("/orphans", self._orphans),
            web.get("/alarms", self._alarms),
            web.get("/audit", self._audit),
            web.post("/sources/{source}/resume", self._resume),
            web.post("/sources/{source}/reread", self._reread),
            web.post("/leases/{lease:.+}/hold", self._hold),
            web.post("/leases/{lease:.+}/release", self._release),
            web.post("/leases/{lease:.+}/suspend", self._suspend),
            web.post("/leases/{lease:.+}/unsuspend", self._unsuspend),
            web.post("/leases/{lease:.+}/cancel", self._cancel),
            web.post("/leases/{lease:.+}/retry", self._retry),
            web.post("/leases/{lease:.+}/orders", self._order),
            web.post("/leases/{lease:.+}/orders/{number}/withdraw", self._withdraw),
            web.post("/leases/{lease:.+}/adopt/{vmid}", self._adopt),
            web.post("/pause", self._pause),
            web.post("/resume-all", self._resume_all),
            web.post("/survey", self._survey),
            web.post("/check", self._check),
        ]

    # -------------------------------------------------------------------------------- readings

    async def _healthz(self, _request: web.Request) -> web.Response:
        pulse = self._desk.outlook.pulse
        body = {"alive": pulse.alive, "silent_for": int(pulse.silent_for)}
        return _json(body, status=200 if pulse.alive else 503)

    async def _readyz(self, _request: web.Request) -> web.Response:
        why = await self._desk.outlook.unready()
        return _json({"ready": not why, "unready": why}, status=503 if why else 200)

    async def _metrics(self, _request: web.Request) -> web.Response:
        text = await exposition(self._desk)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})

    async def _status(self, _request: web.Request) -> web.Response:
        status = asdict(await self._desk.status())
        return _json({**status, "metrics_listen": self.listening})

    async def _sources(self, _request: web.Request) -> web.Response:
        return _json(await self._desk.sources.all())

    async def _source(self, request: web.Request) -> web.Response:
        return _json(await self._desk.sources.show(_source(request)))

    async def _foreseen(self, request: web.Request) -> web.Response:
        block = _block(_query(request, "block").get("block", ""))
        return _json(await self._desk.sources.foreseen(_source(request), block))

    async def _leases(self, request: web.Request) -> web.Response:
        query = _query(request, "source", "phase", "after", "limit")
        wanted = Filter(
            query.get("source"),
            query.get("phase"),
            query.get("after", ""),
            _limit(query, default=MOST_LINES),
        )
        return _json(await self._desk.leases(wanted))

    async def _show(self, request: web.Request) -> web.Response:
        return _json(await self._desk.show(_lease(request)))

    async def _operations(self, request: web.Request) -> web.Response:
        query = _query(request, "lease", "limit")
        return _json(await self._desk.operations(_limit(query), query.get("lease")))

    async def _events(self, request: web.Request) -> web.Response:
        query = _query(request, "lease", "source", "limit")
        found = await self._desk.events(_limit(query), query.get("lease"), query.get("source"))
        return _json(found)

    async def _orphans(self, _request: web.Request) -> web.Response:
        return _json(self._desk.orphans())

    async def _alarms(self, _request: web.Request) -> web.Response:
        return _json(await self._desk.alarms())

    async def _audit(self, request: web.Request) -> web.Response:
        return _json(await self._desk.audit(_limit(_query(request, "limit"))))

    # ---------------------------------------------------------------------------------- orders

    async def _resume(self, request: web.Request) -> web.Response:
        body = await _body(request, "reason")
        sources, uid = self._desk.sources, _uid(request)
        return _json({"halted": await sources.resume(_source(request), body["reason"], uid)})

    async def _reread(self, request: web.Request) -> web.Response:
        body = await _body(request, "block", "reason")
        sources, block = self._desk.sources, _block(body.get("block", ""))
        said = await sources.reread(_source(request), block, body["reason"], _uid(request))
        return _json(said)

    async def _hold(self, request: web.Request) -> web.Response:
        return await self._holding(request, self._desk.hold, Hold.HOLD)

    async def _release(self, request: web.Request) -> web.Response:
        return await self._holding(request, self._desk.release, Hold.HOLD)

    async def _suspend(self, request: web.Request) -> web.Response:
        return await self._holding(request, self._desk.hold, Hold.SUSPEND)

    async def _unsuspend(self, request: web.Request) -> web.Response:
        return await self._holding(request, self._desk.release, Hold.SUSPEND)

    async def _holding(
        self,
        request: web.Request,
        order: Callable[[str, Hold, str, int], Awaitable[object]],
        kind: Hold,
    ) -> web.Response:
        body = await _body(request, "reason")
        return _json(await order(_lease(request), kind, body["reason"], _uid(request)))

    async def _retry(self, request: web.Request) -> web.Response:
        body = await _body(request, "reason")
        parked = await self._desk.retry(_lease(request), body["reason"], _uid(request))
        return _json({"was_parked": parked})

    async def _cancel(self, request: web.Request) -> web.Response:
        body = await _body(request, "reason")
        return _json(await self._desk.cancel(_lease(request), body["reason"], _uid(request)))

    async def _order(self, request: web.Request) -> web.Response:
        body = await _body(request, "order", "snapshot", "reason")
        asked = (_verb(body.get("order", "")), body.get("snapshot", ""))
        wish = await self._desk.order(_lease(request), asked, body["reason"], _uid(request))
        return _json(wish)

    async def _withdraw(self, request: web.Request) -> web.Response:
        reason, uid = (await _body(request, "reason"))["reason"], _uid(request)
        wish = await self._desk.withdraw(_lease(request), _order_number(request), reason, uid)
        return _json(wish)

    async def _candidate(self, request: web.Request) -> web.Response:
        return _json(await self._desk.candidate(_lease(request), _vmid(request)))

    async def _adopt(self, request: web.Request) -> web.Response:
        reason, uid = (await _body(request, "reason"))["reason"], _uid(request)
        return _json(await self._desk.adopt(_lease(request), _vmid(request), reason, uid))

    async def _pause(self, request: web.Request) -> web.Response:
        body = await _body(request, "scope", "reason")
        scope = _scope(body["scope"])
        return _json(await self._desk.pause(scope, body["reason"], _uid(request)))

    async def _resume_all(self, request: web.Request) -> web.Response:
        body = await _body(request, "reason")
        return _json(await self._desk.resume_all(body["reason"], _uid(request)))

    async def _survey(self, request: web.Request) -> web.Response:
        return _json(await self._desk.survey(_uid(request)))

    async def _check(self, request: web.Request) -> web.Response:
        deep = (await _body(request, "deep")).get("deep", "no")
        if deep not in ("yes", "no"):
            raise OperatorError("deep is neither yes nor no")
        return _json(await self._desk.check(deep=deep == "yes"))


def doorkeeper(allowed: Permissions) -> Middleware:
    """Return the middleware that lets readers read and admins change."""

    @web.middleware
    async def let_in(request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = request.get_extra_info("socket")
        if connection is None:  # it has gone already
            return _error("nobody is there", 400)
        peer = peer_of(connection)
        if not allowed.may_read(peer):
            return _error(f"user {peer.uid} may not read here: join the group that may", 403)
        if request.method not in ("GET", "HEAD") and not allowed.may_change(peer):
            return _error(f"user {peer.uid} may read, but only root and admins change things", 403)
        request[_PEER] = peer
        return await handler(request)

    return let_in


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer what went wrong in one sentence, with the status that says whose fault it is."""
    try:
        return await handler(request)
    except (UnknownLease, UnknownSource) as error:
        return _error(str(error), 404)
    except OperatorError as error:
        return _error(str(error), 400)
    except (ProvisionError, Transient) as error:
        return _error(str(error), 503)
    except web.HTTPException as error:
        return _error(f"{request.method} {request.path}: {error.reason}", error.status)


# ------------------------------------------------------------------------------ bodies and answers


def _json(answer: object, *, status: int = 200) -> web.Response:
    text = json.dumps(_plain(answer), separators=(",", ":"))
    return web.Response(text=text + "\n", status=status, content_type="application/json")


def _plain(answer: object) -> object:
    if isinstance(answer, list | tuple):
        return [_plain(each) for each in answer]
    if is_dataclass(answer) and not isinstance(answer, type):
        return asdict(answer)
    return answer


def _error(sentence: str, status: int) -> web.Response:
    return _json({"error": sentence}, status=status)


async def _body(request: web.Request, *keys: str) -> Mapping[str, str]:
    """Read an order's body: exactly `keys`, each a text; a reason may be left out."""
    raw = await request.read()
    try:
        body: object = json.loads(raw or b"{}")
    except ValueError:
        raise OperatorError('the body is not JSON; send {"reason": "…"}') from None
    if not isinstance(body, dict) or not all(isinstance(value, str) for value in body.values()):
        raise OperatorError("the body is not an object of texts: " + ", ".join(keys))
    if unknown := body.keys() - set(keys):
        raise OperatorError(f"unknown in the body: {', '.join(unknown)}; send {', '.join(keys)}")
    return {"reason": "", "scope": "", **body}


def _query(request: web.Request, *keys: str) -> Mapping[str, str]:
    if unknown := request.query.keys() - set(keys):
        known = ", ".join(keys)
        raise OperatorError(f"unknown in the query: {', '.join(unknown)}; known are {known}")
    return request.query


def _limit(query: Mapping[str, str], default: int = LINES) -> int:
    text = query.get("limit", str(default))
    if not (text.isascii() and text.isdecimal() and 0 < int(text) <= MOST_LINES):
        raise OperatorError(f"limit is not a number from 1 to {MOST_LINES}")
    return int(text)


def _scope(text: str) -> Scope:
    for scope in get_args(Scope):
        if text == scope:
            known: Scope = scope
            return known
    raise OperatorError(f"scope is neither of {', '.join(get_args(Scope))}")


def _verb(text: str) -> Verb:
    if text not in list(Verb):
        raise OperatorError(f"order is none of {', '.join(Verb)}")
    return Verb(text)


def _block(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) < MOST_BLOCKS):
        raise OperatorError("block is not the number of a block")
    return int(text)


def _order_number(request: web.Request) -> int:
    text = request.match_info["number"]
    if not (text.isascii() and text.isdecimal() and int(text) < 2**63):
        raise OperatorError("the order's number is not one; `chainwatch show` lists them")
    return int(text)


def _vmid(request: web.Request) -> int:
    text = request.match_info["vmid"]
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise OperatorError("the VMID is no number of a guest")
    return int(text)


def _source(request: web.Request) -> str:
    return request.match_info["source"]


def _lease(request: web.Request) -> str:
    return request.match_info["lease"]


def _uid(request: web.Request) -> int:
    return request[_PEER].uid

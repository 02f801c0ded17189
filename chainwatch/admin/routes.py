"""What is answered under which path: one route an act, JSON both ways.

Every answer is JSON but `/metrics`; what went wrong is `{"error": sentence}`. A request is let in
by who sends it (`peers`), so no route asks again; an order takes `{"reason": …}` and is done in the
name of the user who connected.
"""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from chainwatch.admin.bodies import (
    MOST_LINES,
    PEER,
    answered,
    block_of,
    body_of,
    lease_of,
    limit_of,
    order_number,
    query_of,
    refused,
    scope_of,
    source_of,
    uid_of,
    verb_of,
    vmid_of,
)
from chainwatch.admin.hands import HandRoutes
from chainwatch.admin.metrics import CONTENT_TYPE, exposition
from chainwatch.admin.peers import Permissions, peer_of
from chainwatch.control.desk import Desk, Filter, UnknownLease
from chainwatch.control.source_desk import UnknownSource
from chainwatch.domain.desired import Hold
from chainwatch.errors import OperatorError, Transient
from provisioner.errors import Declined, ProvisionError

LARGEST_BODY: Final = 64 * 1024


class Routes:
    """The routes over one desk; `listening` is where metrics are served over TCP, if at all."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._hands = desk, HandRoutes(desk)
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
            *self._hands.looking(),
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
            *self._hands.working(),
            web.post("/pause", self._pause),
            web.post("/resume-all", self._resume_all),
            web.post("/survey", self._survey),
            web.post("/check", self._check),
        ]

    # -------------------------------------------------------------------------------- readings

    async def _healthz(self, _request: web.Request) -> web.Response:
        pulse = self._desk.outlook.pulse
        body = {"alive": pulse.alive, "silent_for": int(pulse.silent_for)}
        return answered(body, status=200 if pulse.alive else 503)

    async def _readyz(self, _request: web.Request) -> web.Response:
        why = await self._desk.outlook.unready()
        return answered({"ready": not why, "unready": why}, status=503 if why else 200)

    async def _metrics(self, _request: web.Request) -> web.Response:
        text = await exposition(self._desk)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})

    async def _status(self, _request: web.Request) -> web.Response:
        status = asdict(await self._desk.status())
        return answered({**status, "metrics_listen": self.listening})

    async def _sources(self, _request: web.Request) -> web.Response:
        return answered(await self._desk.sources.all())

    async def _source(self, request: web.Request) -> web.Response:
        return answered(await self._desk.sources.show(source_of(request)))

    async def _foreseen(self, request: web.Request) -> web.Response:
        block = block_of(query_of(request, "block").get("block", ""))
        return answered(await self._desk.sources.foreseen(source_of(request), block))

    async def _leases(self, request: web.Request) -> web.Response:
        query = query_of(request, "source", "phase", "after", "limit")
        wanted = Filter(
            query.get("source"),
            query.get("phase"),
            query.get("after", ""),
            limit_of(query, default=MOST_LINES),
        )
        return answered(await self._desk.leases(wanted))

    async def _show(self, request: web.Request) -> web.Response:
        return answered(await self._desk.show(lease_of(request)))

    async def _operations(self, request: web.Request) -> web.Response:
        query = query_of(request, "lease", "limit")
        return answered(await self._desk.operations(limit_of(query), query.get("lease")))

    async def _events(self, request: web.Request) -> web.Response:
        query = query_of(request, "lease", "source", "limit")
        found = await self._desk.events(limit_of(query), query.get("lease"), query.get("source"))
        return answered(found)

    async def _orphans(self, _request: web.Request) -> web.Response:
        return answered(self._desk.orphans())

    async def _alarms(self, _request: web.Request) -> web.Response:
        return answered(await self._desk.alarms())

    async def _audit(self, request: web.Request) -> web.Response:
        return answered(await self._desk.audit(limit_of(query_of(request, "limit"))))

    # ---------------------------------------------------------------------------------- orders

    async def _resume(self, request: web.Request) -> web.Response:
        body = await body_of(request, "reason")
        sources, uid = self._desk.sources, uid_of(request)
        return answered({"halted": await sources.resume(source_of(request), body["reason"], uid)})

    async def _reread(self, request: web.Request) -> web.Response:
        body = await body_of(request, "block", "reason")
        sources, block = self._desk.sources, block_of(body.get("block", ""))
        said = await sources.reread(source_of(request), block, body["reason"], uid_of(request))
        return answered(said)

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
        body = await body_of(request, "reason")
        return answered(await order(lease_of(request), kind, body["reason"], uid_of(request)))

    async def _retry(self, request: web.Request) -> web.Response:
        body = await body_of(request, "reason")
        parked = await self._desk.retry(lease_of(request), body["reason"], uid_of(request))
        return answered({"was_parked": parked})

    async def _cancel(self, request: web.Request) -> web.Response:
        body = await body_of(request, "reason")
        return answered(await self._desk.cancel(lease_of(request), body["reason"], uid_of(request)))

    async def _order(self, request: web.Request) -> web.Response:
        body = await body_of(request, "order", "snapshot", "reason")
        asked = (verb_of(body.get("order", "")), body.get("snapshot", ""))
        wish = await self._desk.order(lease_of(request), asked, body["reason"], uid_of(request))
        return answered(wish)

    async def _withdraw(self, request: web.Request) -> web.Response:
        reason, uid = (await body_of(request, "reason"))["reason"], uid_of(request)
        wish = await self._desk.withdraw(lease_of(request), order_number(request), reason, uid)
        return answered(wish)

    async def _candidate(self, request: web.Request) -> web.Response:
        return answered(await self._desk.candidate(lease_of(request), vmid_of(request)))

    async def _adopt(self, request: web.Request) -> web.Response:
        reason, uid = (await body_of(request, "reason"))["reason"], uid_of(request)
        return answered(await self._desk.adopt(lease_of(request), vmid_of(request), reason, uid))

    async def _pause(self, request: web.Request) -> web.Response:
        body = await body_of(request, "scope", "reason")
        scope = scope_of(body["scope"])
        return answered(await self._desk.pause(scope, body["reason"], uid_of(request)))

    async def _resume_all(self, request: web.Request) -> web.Response:
        body = await body_of(request, "reason")
        return answered(await self._desk.resume_all(body["reason"], uid_of(request)))

    async def _survey(self, request: web.Request) -> web.Response:
        return answered(await self._desk.survey(uid_of(request)))

    async def _check(self, request: web.Request) -> web.Response:
        deep = (await body_of(request, "deep")).get("deep", "no")
        if deep not in ("yes", "no"):
            raise OperatorError("deep is neither yes nor no")
        return answered(await self._desk.check(deep=deep == "yes"))


def doorkeeper(allowed: Permissions) -> Middleware:
    """Return the middleware that lets readers read and admins change."""

    @web.middleware
    async def let_in(request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = request.get_extra_info("socket")
        if connection is None:  # it has gone already
            return refused("nobody is there", 400)
        peer = peer_of(connection)
        if not allowed.may_read(peer):
            return refused(f"user {peer.uid} may not read here: join the group that may", 403)
        if request.method not in ("GET", "HEAD") and not allowed.may_change(peer):
            return refused(f"user {peer.uid} may read, but only root and admins change things", 403)
        request[PEER] = peer
        return await handler(request)

    return let_in


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer what went wrong in one sentence, with the status that says whose fault it is."""
    try:
        return await handler(request)
    except (UnknownLease, UnknownSource) as error:
        return refused(str(error), 404)
    except (OperatorError, Declined) as error:
        return refused(str(error), 400)
    except (ProvisionError, Transient) as error:
        return refused(str(error), 503)
    except web.HTTPException as error:
        return refused(f"{request.method} {request.path}: {error.reason}", error.status)

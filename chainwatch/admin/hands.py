"""The routes of what is done by hand to the machine of a lease; see `control.hands`.

Looking at how much a machine uses is for readers; whatever else goes into a machine, or opens it,
is for those who may change things, which the method of the request tells the doorkeeper. A ticket
to a screen is in the answer and nowhere else: nothing here logs answers.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Final

from aiohttp import web

from chainwatch.admin.bodies import answered, body_of, lease_of, number_of, uid_of, words_of
from chainwatch.control.desk import Desk
from chainwatch.errors import OperatorError
from provisioner.verbs.throttle import Limits

#: What may be limited, as it is called in a body.
LIMITS: Final = tuple(each.name for each in fields(Limits) if each.name != "reset")
#: Seconds that a command gets where nobody says.
USUAL: Final = 60


class HandRoutes:
    """The routes over one desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def looking(self) -> list[web.RouteDef]:
        """Return what readers may ask."""
        return [web.get("/leases/{lease:.+}/metrics", self._metrics)]

    def working(self) -> list[web.RouteDef]:
        """Return what admins may do."""
        return [
            web.post("/leases/{lease:.+}/throttle", self._throttle),
            web.post("/leases/{lease:.+}/exec", self._exec),
            web.post("/leases/{lease:.+}/console", self._console),
        ]

    async def _metrics(self, request: web.Request) -> web.Response:
        return answered(await (await self._desk.hands(lease_of(request))).metrics())

    async def _throttle(self, request: web.Request) -> web.Response:
        body = await body_of(request, *LIMITS, "reset", "reason")
        hands, limits = await self._desk.hands(lease_of(request)), _limits(body)
        return answered(await hands.throttle(limits, body["reason"], uid_of(request)))

    async def _exec(self, request: web.Request) -> web.Response:
        words, body = await words_of(request, "words", "limit", "reason")
        limit = number_of(body, "limit")
        hands = await self._desk.hands(lease_of(request))
        ended = await hands.run(
            words, USUAL if limit is None else limit, body["reason"], uid_of(request)
        )
        return answered(ended)

    async def _console(self, request: web.Request) -> web.Response:
        body = await body_of(request, "reason")
        hands = await self._desk.hands(lease_of(request))
        return answered(await hands.console(body["reason"], uid_of(request)))


def _limits(body: Mapping[str, str]) -> Limits:
    reset = body.get("reset", "no")
    if reset not in ("yes", "no"):
        raise OperatorError("reset is neither yes nor no")
    return Limits(
        cpu_shares=number_of(body, "cpu_shares"),
        cpu_quota=number_of(body, "cpu_quota"),
        bandwidth_in=number_of(body, "bandwidth_in"),
        bandwidth_out=number_of(body, "bandwidth_out"),
        iops_read=number_of(body, "iops_read"),
        iops_write=number_of(body, "iops_write"),
        reset=reset == "yes",
    )

"""The puppeteer's strings: looking into the simulated world and meddling with it, over HTTP.

Everything is below `/simulator` and wants `Authorization: Bearer TOKEN` with the control token that
the simulator wrote at its start; nothing here exists in Proxmox VE. Bodies are JSON objects. It
plays the stranger (a guest made by hand, a machine started from the web interface), the failing
hardware, and the judge (`inventory`, `admits`).
"""

import hmac
import json
from collections.abc import Awaitable, Callable

from aiohttp import web

from provisioner.backends.proxmox.api import JsonValue
from provisioner.simulator.faults import Fault, FaultName
from provisioner.simulator.front import Front
from provisioner.simulator.modes.catalogue import MODES, arm, mend
from provisioner.simulator.outages import restart_network

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Body = dict[str, JsonValue]


class Control:
    """The control endpoints of one front."""

    def __init__(self, front: Front, token: str) -> None:
        self._front = front
        self._cluster = front.cluster
        self._token = token

    def routes(self) -> list[web.RouteDef]:
        """Return what to mount."""
        return [
            web.get("/simulator/inventory", self._guarded(self._inventory)),
            web.post("/simulator/advance", self._guarded(self._advance)),
            web.get("/simulator/faults", self._guarded(self._faults)),
            web.post("/simulator/faults", self._guarded(self._arm)),
            web.delete("/simulator/faults", self._guarded(self._disarm)),
            web.post("/simulator/modes/{mode}", self._guarded(self._arm_mode)),
            web.delete("/simulator/modes/{mode}", self._guarded(self._mend_mode)),
            web.post("/simulator/template", self._guarded(self._template)),
            web.post("/simulator/guests", self._guarded(self._add_guest)),
            web.delete("/simulator/guests/{vmid}", self._guarded(self._remove_guest)),
            web.post("/simulator/guests/{vmid}/config", self._guarded(self._edit)),
            web.post("/simulator/guests/{vmid}/power", self._guarded(self._power)),
            web.post("/simulator/guests/{vmid}/sessions", self._guarded(self._log_in)),
            web.get("/simulator/guests/{vmid}/admits", self._guarded(self._admits)),
            web.post("/simulator/storages", self._guarded(self._add_storage)),
            web.post("/simulator/quorum", self._guarded(self._quorum)),
            web.post("/simulator/grants", self._guarded(self._grants)),
            web.post("/simulator/nodes/{node}/power-cycle", self._guarded(self._power_cycle)),
            web.post("/simulator/nodes/{node}/network", self._guarded(self._restart_network)),
        ]

    def _guarded(self, handler: Callable[[web.Request, Body], JsonValue]) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(given.encode(), self._token.encode()):
                return web.json_response({"error": "wrong control token"}, status=403)
            self._front.catch_up()
            try:
                text = await request.text()
                body: Body = json.loads(text) if text else {}
                answer = handler(request, body)
            except (LookupError, ValueError, TypeError) as wrong:
                return web.json_response({"error": f"cannot do that: {wrong!r}"}, status=400)
            self._front.catch_up()
            return web.json_response(answer)

        return guarded

    def _inventory(self, _: web.Request, __: Body) -> JsonValue:
        return self._cluster.inventory().as_json()

    def _advance(self, _: web.Request, body: Body) -> JsonValue:
        self._front.skip(_number(body["seconds"]))
        return {"now": self._cluster.now}

    def _faults(self, _: web.Request, __: Body) -> JsonValue:
        faults = self._cluster.state.faults
        return {
            "unused": [_fault_json(fault) for fault in faults.unused()],
            "struck": [_fault_json(fault) for fault in faults.struck],
        }

    def _arm(self, _: web.Request, body: Body) -> JsonValue:
        given = dict(body)
        name = FaultName(str(given.pop("name")))
        fault = Fault(
            name,
            method=str(given.pop("method", "*")),
            path=str(given.pop("path", "*")),
            nth=int(_number(given.pop("nth", 1))),
            status=int(_number(given.pop("status", 500))),
            text=str(given.pop("text", "")),
            seconds=_number(given.pop("seconds", 60)),
            lasting=bool(given.pop("lasting", False)),
        )
        if given:
            raise ValueError(f"unknown: {', '.join(given)}")
        self._cluster.arm(fault)
        return _fault_json(fault)

    def _disarm(self, _: web.Request, __: Body) -> JsonValue:
        self._cluster.state.faults.clear()
        return None

    def _arm_mode(self, request: web.Request, body: Body) -> JsonValue:
        at = (str(body["method"]), str(body["path"])) if "path" in body else None
        nth, form = int(_number(body.get("nth", 1))), int(_number(body.get("form", 0)))
        armed = arm(self._cluster, MODES[int(request.match_info["mode"])], at, nth, form)
        return [_fault_json(fault) for fault in armed]

    def _mend_mode(self, request: web.Request, _: Body) -> JsonValue:
        mend(self._cluster, MODES[int(request.match_info["mode"])])
        return None

    def _template(self, _: web.Request, body: Body) -> JsonValue:
        return self._cluster.add_template(int(_number(body["vmid"]))).vmid

    def _add_storage(self, _: web.Request, body: Body) -> JsonValue:
        return self._cluster.add_storage(str(body["name"]), str(body["kind"])).name

    def _add_guest(self, _: web.Request, body: Body) -> JsonValue:
        config = body.get("config") or {}
        if not isinstance(config, dict):
            raise TypeError("config is an object")
        plain = {k: v for k, v in config.items() if isinstance(v, str | int | float)}
        guest = self._cluster.add_guest(
            int(_number(body["vmid"])), running=bool(body.get("running")), config=plain
        )
        return guest.vmid

    def _remove_guest(self, request: web.Request, _: Body) -> JsonValue:
        self._cluster.remove_guest(_vmid(request))
        return None

    def _edit(self, request: web.Request, body: Body) -> JsonValue:
        plain = {k: v for k, v in body.items() if v is None or isinstance(v, str | int | float)}
        self._cluster.edit_guest(_vmid(request), **plain)
        return None

    def _power(self, request: web.Request, body: Body) -> JsonValue:
        if body["on"]:
            self._cluster.start_guest(_vmid(request))
        else:
            self._cluster.stop_guest(_vmid(request))
        return None

    def _log_in(self, request: web.Request, body: Body) -> JsonValue:
        return self._cluster.log_in(_vmid(request), str(body["key"]))

    def _admits(self, request: web.Request, _: Body) -> JsonValue:
        return self._cluster.admits(_vmid(request), request.query["key"])

    def _quorum(self, _: web.Request, body: Body) -> JsonValue:
        self._cluster.set_quorum(quorate=bool(body["quorate"]))
        return None

    def _grants(self, _: web.Request, body: Body) -> JsonValue:
        self._cluster.set_grants(str(body["token"]), everything=bool(body["everything"]))
        return None

    def _power_cycle(self, request: web.Request, _: Body) -> JsonValue:
        self._cluster.power_cycle(request.match_info["node"])
        return None

    def _restart_network(self, request: web.Request, _: Body) -> JsonValue:
        restart_network(self._cluster.state, request.match_info["node"])
        return None


def _vmid(request: web.Request) -> int:
    return int(request.match_info["vmid"])


def _number(value: JsonValue) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number")
    return value


def _fault_json(fault: Fault) -> JsonValue:
    return {
        "name": fault.name.value,
        "method": fault.method,
        "path": fault.path,
        "nth": fault.nth,
        "status": fault.status,
        "text": fault.text,
        "seconds": fault.seconds,
        "lasting": fault.lasting,
        "mode": fault.mode,
    }

"""What a fault makes of an answer: none at all, another one, or one that gets lost.

A call is kept out before it has any effect, or its answer is spoiled afterwards; whoever asked
cannot always tell which, and that is the point.
"""

from dataclasses import replace

from provisioner.simulator.faults import NO_WORKER, Fault, FaultName
from provisioner.simulator.wire import ApiResponse, Fate

HTML_502 = "<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>"
KEEPS_OUT = {
    FaultName.REFUSE,
    FaultName.DROP,
    FaultName.UNREACHABLE,
    FaultName.PROXY_DOWN,
    FaultName.HTML,
}


def kept_out(fault: Fault) -> ApiResponse:
    """Return the answer to a call that `fault` keeps from having any effect."""
    if fault.name is FaultName.UNREACHABLE:
        return ApiResponse(595, "Connection refused", fate=Fate.UNREACHABLE)
    if fault.name is FaultName.DROP:
        return ApiResponse(500, "connection closed", fate=Fate.LOST)
    if fault.name is FaultName.PROXY_DOWN:
        return ApiResponse(595, fault.text or "No route to host", raw="")
    if fault.name is FaultName.HTML:
        return ApiResponse(502, "Bad Gateway", raw=HTML_502)
    errors = dict(fault.errors) or None
    raw = "" if fault.status == 401 else fault.raw
    return ApiResponse(fault.status, fault.text or NO_WORKER, errors=errors, raw=raw)


def spoiled(response: ApiResponse, fault: Fault) -> ApiResponse:
    """Return what becomes of the answer to a call that had its effect."""
    if fault.name is FaultName.LOSE_REPLY:
        return ApiResponse(response.status, response.reason, fate=Fate.LOST)
    if fault.name is FaultName.PROXY_BROKEN:
        return ApiResponse(596, "Broken pipe", raw="")
    return response


def delayed(response: ApiResponse, delay: float) -> ApiResponse:
    """Return the same answer, `delay` virtual seconds late."""
    return replace(response, delay=delay)

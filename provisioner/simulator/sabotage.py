"""What a fault makes of a task: it fails, lies, never ends, is cut off, or is forgotten.

A worker that is cut off cleans nothing up: its file locks are gone with it, what it wrote into a
configuration stays, and its status is `unexpected status`, which proves nothing. All this strikes
at the first real wait of the work, when something has begun and nothing is finished.
"""

import math

from provisioner.simulator.faults import NO_WORKER, Fault, FaultName
from provisioner.simulator.timeline import Script, Sleep
from provisioner.simulator.wire import Refused

MIDWAY = {FaultName.TASK_FAILS, FaultName.TASK_ENDLESS, FaultName.TASK_SLOW, FaultName.TASK_LIES}
UNEXPECTED = "unexpected status"
#: How long a worker lives that is cut off, in seconds: a clone is in its window by then.
CUT_OFF_AFTER = 0.2


def sabotaged(script: Script[None], fault: Fault | None) -> Script[None]:
    """Return `script` as `fault` has it go."""
    if fault is None or fault.name not in MIDWAY:
        return script
    return _lying(script, fault) if fault.name is FaultName.TASK_LIES else _midway(script, fault)


def _lying(script: Script[None], fault: Fault) -> Script[None]:
    yield from script
    raise Refused(fault.text or NO_WORKER)


def _midway(script: Script[None], fault: Fault) -> Script[None]:
    """Run `script` up to its first real wait, then go wrong there."""
    for wait in script:
        yield wait
        if isinstance(wait, Sleep):
            break
    try:
        if fault.name is FaultName.TASK_ENDLESS:
            yield Sleep(math.inf)
        if fault.name is FaultName.TASK_SLOW:
            yield Sleep(fault.seconds)
            yield from script
            return
        raise Refused(fault.text or NO_WORKER)
    except Refused as refusal:
        yield from _thrown(script, refusal)


def _thrown(script: Script[None], refusal: Refused) -> Script[None]:
    try:
        wait = script.throw(refusal)
    except StopIteration:
        raise refusal from None
    yield wait
    yield from script

"""All 62 modes, and how one is armed and mended.

`arm` has a mode strike the n-th call that matches; where no call is named it may strike at any
that the mode is known at. `mend` is what an operator does: it disarms what still lurks, and puts
right what the mode changed. A mode that no call to the cluster shows cannot be armed, and says why.
"""

from dataclasses import replace
from functools import partial
from typing import Final

from provisioner.simulator.cluster import Cluster
from provisioner.simulator.faults import Fault, FaultName, Struck
from provisioner.simulator.modes.asking import ACCESS, CLUSTER, VMIDS, WIRE
from provisioner.simulator.modes.living import GUESTS, OTHERS
from provisioner.simulator.modes.mode import Call, Form, Mode
from provisioner.simulator.modes.working import LOCKED, STORAGES, WORKERS
from provisioner.simulator.modes.world import taken_afterwards
from provisioner.simulator.wire import Refused

MODES: Final[dict[int, Mode]] = {
    mode.number: mode
    for group in (
        VMIDS,
        LOCKED,
        CLUSTER,
        WIRE,
        ACCESS,
        WORKERS,
        STORAGES,
        GUESTS,
        OTHERS,
    )
    for mode in group
}
REUSED: Final = 36


def arm(
    cluster: Cluster, mode: Mode, at: Call | None = None, nth: int = 1, form: int = 0
) -> tuple[Fault, ...]:
    """Have `mode` strike the `nth` call that `at` means; returns what was armed.

    Without `at`, one fault lies in wait at each kind of call that the mode can strike.
    """
    if not mode.forms:
        raise ValueError(f"mode {mode.number} is not of the cluster, but of the {mode.elsewhere}")
    chosen = mode.forms[form]
    armed = tuple(
        _fault(cluster, mode, chosen, call, nth) for call in ((at,) if at else mode.strikes)
    )
    for fault in armed:
        cluster.arm(fault)
    return armed


def _fault(cluster: Cluster, mode: Mode, form: Form, at: Call, nth: int) -> Fault:
    act = None if form.happens is None else partial(_happens, cluster, mode, form)
    then = partial(taken_afterwards, cluster) if mode.number == REUSED else None
    return replace(
        form.fault, method=at[0], path=at[1], nth=nth, act=act, then=then, mode=mode.label
    )


def _happens(cluster: Cluster, mode: Mode, form: Form, struck: Struck) -> None:
    if form.happens is None:
        return
    remedy = form.happens(cluster, struck)
    if remedy is not None:
        cluster.state.faults.remedies.setdefault(mode.label, []).append(remedy)


def mend(cluster: Cluster, mode: Mode) -> None:
    """Do what an operator does about `mode`; nothing, where it never struck."""
    faults = cluster.state.faults
    faults.lift(mode.label)
    for remedy in reversed(faults.remedies.pop(mode.label, [])):
        remedy()
    _stop_endless(cluster, mode)


def _stop_endless(cluster: Cluster, mode: Mode) -> None:
    if mode.forms and mode.forms[0].fault.name is FaultName.TASK_ENDLESS:
        for task in cluster.state.tasks.values():
            if task.status is None and task.process is not None:
                task.process.interrupt(Refused("received interrupt"))


def has_struck(cluster: Cluster, mode: Mode) -> bool:
    """Say whether `mode` has struck any call."""
    return any(fault.mode == mode.label for fault in cluster.state.faults.struck)

"""How an order stands: done, refused, or still to be done. Pure.

An order is done once. What was done is seen on the machine, by a stamp, by a snapshot of the
order's own name, or by the task that ended; where none of these says so, it is done still. An order
to a machine that nobody pays for is refused, so that it does not come true much later.
"""

from dataclasses import dataclass
from typing import Final

from provisioner.errors import NO_DISK_LIMITS
from provisioner.model import DesiredMachine, Kind, Observed, Order, Presence, Verb

#: What the end of an order is called when all went well.
DONE: Final = {
    Verb.START: "it was started",
    Verb.STOP: "it was shut down",
    Verb.KILL: "its power was cut",
    Verb.REBOOT: "it was shut down and started again",
    Verb.SNAPSHOT: "a snapshot was taken",
    Verb.ROLLBACK: "it was rolled back and started",
    Verb.REINSTALL: "it was destroyed and made anew",
}


@dataclass(frozen=True, slots=True)
class Ended:
    """How an order ended (`done` or `refused`), and the sentence that says so."""

    outcome: str
    said: str


def ended(want: DesiredMachine, have: Observed) -> Ended | None:
    """Return how the order that is wanted has ended; None while it is to be done, or waits."""
    order = want.order
    if order is None or have.operation is not None:
        return None
    if have.config is not None and have.config.lock is not None:
        return None
    if want.presence is not Presence.RUNNING:
        return Ended("refused", "nobody pays for the machine, or it is suspended by order")
    if have.config is None:
        return None  # one is owed: the order waits for it
    if have.stamps.ordered >= order.number:
        return Ended("done", DONE[order.verb])
    if order.verb is Verb.REINSTALL and want.terms.disk and have.kind is Kind.CONTAINER:
        return Ended(
            "refused", f"it could not be made anew: {NO_DISK_LIMITS}, and its plan has some"
        )
    return _of_snapshot(order, have) if have.snapshots is not None else None


def snapshot_name(order: Order) -> str:
    """Return the name of the snapshot that an order is about: its own, where it takes one."""
    return order.name if order.verb is Verb.ROLLBACK else f"order-{order.number}"


def _of_snapshot(order: Order, have: Observed) -> Ended | None:
    name, there = snapshot_name(order), have.snapshots or ()
    if order.verb is Verb.SNAPSHOT:
        return Ended("done", f"snapshot {name} was taken") if name in there else None
    if order.verb is not Verb.ROLLBACK or have.obeyed or name in there:
        return None
    return Ended("refused", f"it has no snapshot {name}; there are: {', '.join(there) or 'none'}")

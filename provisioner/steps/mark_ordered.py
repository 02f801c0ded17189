"""Stamp that an order about a machine's power was done, and whether a start is owed because of it.

The stamp and the start that it owes come in one call: a crash leaves the order to be done, or done
and owed its start, but never done twice. After a rollback what the machine knows of its disks is
given up in the same call, because they are those of the snapshot, with the keys of whoever owned it
then: its cable stays pulled until the owner of now was let in.
"""

from dataclasses import replace
from typing import Final

from provisioner.model import DesiredMachine, Observed, PowerState, Verb
from provisioner.site import Site
from provisioner.steps.step import Step, Target, ordered

OFF: Final = (Verb.STOP, Verb.KILL)


def _due(_site: Site, want: DesiredMachine, have: Observed) -> str | None:
    off = have.power is PowerState.STOPPED
    if have.obeyed and ordered(want, have, Verb.ROLLBACK):
        return "it was rolled back by order and is to be started"
    if ordered(want, have, Verb.START) and have.power is not PowerState.UNKNOWN:
        return "it is to be started by order"
    if off and ordered(want, have, Verb.REBOOT):
        return "it was shut down by order and is to be started again"
    return "it was switched off by order" if off and ordered(want, have, *OFF) else None


async def _effect(target: Target) -> str | None:
    order, stamps = target.want.order, target.have.stamps
    if order is None:
        raise LookupError("there is no order to mark")
    if order.verb is Verb.ROLLBACK:
        stamps = replace(stamps, access=None, generation=None)
    started = order.verb in OFF
    await target.put_config(replace(stamps, ordered=order.number, started=started))
    return None


MARK_ORDERED = Step("mark-ordered", _due, _effect, obeys=True)

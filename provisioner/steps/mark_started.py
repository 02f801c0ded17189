"""Stamp that the start that was owed has been observed: the guest runs and answers.

A guest that runs without answering for longer than the site's patience is stamped all the same, so
that an agent which its owner removed cannot make us start his machine again and again.
"""

from dataclasses import replace

from provisioner.model import DesiredMachine, Observed, PowerState, Presence
from provisioner.site import Site
from provisioner.steps.step import Step, Target


def _due(site: Site, want: DesiredMachine, have: Observed) -> str | None:
    if want.presence is not Presence.RUNNING or have.stamps.started:
        return None
    if have.power is not PowerState.RUNNING:
        return None
    if have.answers:
        return "it runs and answers"
    overdue = have.uptime >= site.answer_timeout
    return f"it runs and has not answered for {have.uptime} s" if overdue else None


async def _effect(target: Target) -> str | None:
    await target.put_config(replace(target.have.stamps, started=True))
    return None


MARK_STARTED = Step("mark-started", _due, _effect, last=True)

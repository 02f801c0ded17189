"""Stamp that the start that was owed has been observed: the guest runs and answers.

A guest that runs without answering for longer than the site's patience is stamped all the same, so
that an agent which its owner removed cannot make us start his machine again and again. Whose it is
the account inside is told right before, where a login reads it and neither its user-data nor an
earlier start has; one that cannot be told for as long is stamped without.
"""

from dataclasses import replace

from provisioner.errors import AgentSilent, Permanent, Transient
from provisioner.identity import gecos_stamp, says
from provisioner.model import DesiredMachine, Kind, Observed, PowerState, Presence, Stamps
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
    await target.put_config(replace(await _told(target), started=True))
    return None


async def _told(target: Target) -> Stamps:
    """Say inside whose the account is, if that is owed; returns the stamps of then."""
    stamps, gecos = target.have.stamps, target.want.gecos
    if says(stamps, gecos) or not (target.have.answers and _has_way(target)):
        return stamps
    try:
        await target.say(gecos)
    except Permanent:  # asking again changes nothing, and nobody else's way in depends on it
        return stamps
    except (Transient, AgentSilent):  # cloud-init may not have made the account yet
        if target.have.uptime < target.site.answer_timeout:
            raise
        return stamps
    return replace(stamps, gecos=gecos_stamp(gecos))


def _has_way(target: Target) -> bool:
    """Whether to go in for it: into a container from its node; else it costs two calls."""
    if target.kind is Kind.CONTAINER:
        return target.nodes is not None
    return target.site.wallet_login


MARK_STARTED = Step("mark-started", _due, _effect, last=True)

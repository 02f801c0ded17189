"""Take away what nobody pays for, in two phases: suspend what has expired, destroy after the grace.

Only machines of the command line, by their own cards; the daemon's are not looked at. Grace runs
from the suspension that was observed, never from the expiry. What was begun and never finished goes
after a while; what is protected, tampered with or just being made is told and left. One machine's
trouble is not the others': it is told, and makes the whole a failure in the end, and so is one that
could not be read, for nobody knows whether it is due. With the second phase goes the user-data, on
the nodes, of machines that are gone, and what they have left on storages is told, as long as their
VMIDs rest. A round of both phases also has the nodes told again what they forgot of the machines
that stay.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from provisioner.census import Found, ours
from provisioner.errors import ProvisionError
from provisioner.model import Presence, Retirement
from provisioner.moments import utc
from provisioner.terms import ANY_TERMS
from provisioner.verbs import tending, userdata
from provisioner.verbs.destroy import retire
from provisioner.verbs.leavings import left_behind
from provisioner.workshop import DAY, Workshop, wanted


class Phase(StrEnum):
    """What is to be done to a machine."""

    SUSPEND = "suspend"
    DESTROY = "destroy"


@dataclass(frozen=True, slots=True)
class Due:
    """A machine that it is time for, and why."""

    phase: Phase
    found: Found
    why: str
    grace: int

    def __str__(self) -> str:
        return f"{self.phase} {self.found.name} (VM {self.found.vmid}): {self.why}"


@dataclass(frozen=True, slots=True)
class Round:
    """What a collection came to: what was due, and what went wrong, a sentence each.

    `leftovers` are snippets whose machines are gone, `errands` what nodes forgot.
    """

    due: list[Due]
    failures: list[str]
    leftovers: list[userdata.Leftover]
    errands: list[tending.Errand]


async def collect(
    shop: Workshop, *, execute: bool, phases: frozenset[Phase], grace_days: int | None = None
) -> Round:
    """Say what is due and, if it is to be done, do it."""
    days = shop.settings.grace_days if grace_days is None else grace_days
    sighting = await shop.census.all()
    unread = sighting.unread
    for sentence in sighting.doubts:
        if sentence not in unread:
            shop.say(f"left alone: {sentence}")
    now = shop.clock.now()
    due = [
        each
        for found in sorted(sighting.found, key=lambda each: each.vmid)
        for each in _due(shop, found, now, days * DAY)
        if each.phase in phases
    ]
    failures = [f"left alone: {sentence}" for sentence in unread]
    for each in due if execute else ():
        try:
            await _do(shop, each, now)
        except ProvisionError as error:
            failures.append(f"{each.phase} {each.found.name}: {error}")
    going = {each.found.vmid for each in due}
    staying = [found for found in sighting.found if found.vmid not in going]
    leftovers: list[userdata.Leftover] = []
    if Phase.DESTROY in phases:
        leftovers, untold = await userdata.left_over(shop, userdata.read_by(staying))
        failures += [*untold, *(await _drop(shop, leftovers) if execute else ())]
        failures += await left_behind(shop)
    errands: list[tending.Errand] = []
    if phases == frozenset(Phase):
        errands, untold = await tending.due(shop, staying)
        failures += [*untold, *(await _run(shop, errands) if execute else ())]
    return Round(due, failures, leftovers, errands)


async def _run(shop: Workshop, errands: list[tending.Errand]) -> list[str]:
    """Tell the nodes; returns a sentence for each that could not be told."""
    failures = []
    for each in errands:
        try:
            await tending.run(shop, each)
        except ProvisionError as error:
            failures.append(f"{each}: {error}")
    return failures


async def _drop(shop: Workshop, leftovers: list[userdata.Leftover]) -> list[str]:
    """Drop snippets; returns a sentence for each that could not be."""
    failures = []
    for each in leftovers:
        try:
            await userdata.drop(shop, each)
        except ProvisionError as error:
            failures.append(f"{each}: {error}")
    return failures


def _due(shop: Workshop, found: Found, now: int, grace: int) -> Iterator[Due]:
    card, stamps = found.card, found.stamps
    if card is None:
        shop.say(f"left alone: the card of VM {found.vmid} does not hold")
        return
    if found.config.settings.protection:
        if card.expires_at <= now:
            shop.say(f"left alone: VM {found.vmid} ({found.name}) has expired, but is protected")
        return
    if not found.finished:
        if card.created_at + _patience(shop, found) <= now:
            why = f"it was begun on {utc(card.created_at)} and never finished"
            yield Due(Phase.DESTROY, found, why, 0)
    elif card.expires_at > now:
        return
    elif stamps.suspended_at is None or not stamps.ended:
        yield Due(Phase.SUSPEND, found, f"its time ended on {utc(card.expires_at)}", grace)
    elif stamps.suspended_at + grace <= now:
        why = f"its grace ended on {utc(stamps.suspended_at + grace)}"
        yield Due(Phase.DESTROY, found, why, grace)


def _patience(shop: Workshop, found: Found) -> int:
    """Return the seconds after which a machine that was never finished counts as abandoned.

    Who waits for a whole copy still has all of that time once the copy is there.
    """
    cloning = shop.settings.site.cloned(ANY_TERMS, found.kind)
    return shop.settings.unfinished_after + cloning.allowance(found.config.disk_gib)


async def _do(shop: Workshop, due: Due, now: int) -> None:
    """Do what is due, unless the machine's card says otherwise by now."""
    found = ours(due.found, shop.settings.site)
    again = await shop.existing(found.name)
    if again.identity != found.identity or again.card != found.card:
        shop.say(f"left alone: {found.name} was changed meanwhile")
        return
    card = again.card
    retirement = None
    if due.phase is Phase.DESTROY and card is not None:
        ended = min(card.expires_at, now)
        retirement = Retirement(ended_at=ended, grace=due.grace, final_time=now)
    await retire(shop, again, wanted(again, Presence.SUSPENDED, now, retirement=retirement))
    shop.say(f"done: {due}")

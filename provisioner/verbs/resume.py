"""Give a suspended machine back, and tell when it ends: in absolute seconds, where that is known.

Days are added to what is left, and to now where nothing is: never to the day it was made, and never
to a number that was made up. Without any, a machine whose time is over stays suspended, for the
next `gc` would take it away again. The new expiry and the end of the suspension are written in one
call, so that a command that was cut off adds its days once.
"""

from dataclasses import replace
from typing import Final

from provisioner.errors import Declined
from provisioner.model import Card, Presence
from provisioner.moments import utc
from provisioner.verbs import tending
from provisioner.verbs.cards import card_of, write_card
from provisioner.verbs.order import days, moment
from provisioner.workshop import DAY, Workshop, wanted

_LAST: Final = 253_402_300_799


async def resume(
    shop: Workshop,
    name: str,
    *,
    extend_days: int | None = None,
    expires_at: int | None = None,
    dry_run: bool = False,
) -> str:
    """Resume a suspended machine; returns a sentence."""
    found = await shop.existing(name)
    card, now = card_of(found), shop.clock.now()
    if found.stamps.suspended_at is None:
        if found.stamps.started or not found.stamps.configured:
            raise Declined(f"{name} is not suspended")
        shop.say(f"{name} was resumed before and not started yet")
    else:
        card = _extended(card, now, extend_days, expires_at)
    if card.expires_at <= now:
        raise Declined(
            f"the time of {name} ended on {utc(card.expires_at)}: write --extend-days or "
            "--expires-at"
        )
    if dry_run:
        return f"would resume {name} until {utc(card.expires_at)}"
    await shop.reach(found, wanted(found, Presence.RUNNING, now, card=card))
    await tending.tend(shop, name)
    return f"{name} runs until {utc(card.expires_at)}"


async def renew(shop: Workshop, name: str, expires_at: int) -> str:
    """Write down until when a machine is paid; saying it twice is saying it once."""
    moment(expires_at)
    await write_card(shop, name, lambda card: replace(card, expires_at=expires_at))
    return f"{name} is paid until {utc(expires_at)}"


def _extended(card: Card, now: int, extend_days: int | None, expires_at: int | None) -> Card:
    if expires_at is not None:
        return replace(card, expires_at=moment(expires_at))
    if extend_days is None:
        return card
    until = max(card.expires_at, now) + days(extend_days) * DAY
    return replace(card, expires_at=min(until, _LAST))

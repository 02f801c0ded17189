"""Shut a machine down by order: to leave it off, to start it again, or to make it anew.

A guest that does not listen is stopped by force after the site's patience; who cannot wait orders
`kill`, which cuts the power at once. What comes after is for the order's mark, or for `reinstall`.
"""

from typing import Final

from provisioner.model import DesiredMachine, Observed, PowerState, Verb
from provisioner.site import Site
from provisioner.steps.step import Step, Target, ordered

WORDS: Final = {
    Verb.STOP: "it is to be shut down by order",
    Verb.REBOOT: "it is to be rebooted by order",
    Verb.REINSTALL: "it is to be made anew by order",
}


def _due(_site: Site, want: DesiredMachine, have: Observed) -> str | None:
    order = ordered(want, have, *WORDS)
    if order is None or have.power not in (PowerState.RUNNING, PowerState.PAUSED):
        return None
    return WORDS[order.verb]


async def _effect(target: Target) -> str | None:
    return await target.shut_down()


SWITCH_OFF = Step("switch-off", _due, _effect, obeys=True)

"""Run a command in a guest and hand on what it said and how it ended; a time-out is a failure.

Words go to the guest as they are. One single word with blanks in it is a line for the guest's own
shell, as callers write it who know no other way.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from provisioner.controls import GuestCommands
from provisioner.errors import Declined, ProvisionError, UnknownOutcome
from provisioner.model import Kind, PowerState
from provisioner.ports import Finished, Place
from provisioner.workshop import Workshop

#: What is said of a command whose end was not seen, and of one that could not be begun.
TIMED_OUT: Final = 124
NOT_BEGUN: Final = 125
#: What is said of a machine that its owner, or somebody else, has switched off.
STANDS_STILL: Final = "does not run: start it first"
_LONGEST: Final = 32_768
_LOOK: Final = "look whether it ran before it is run again"
_SILENT: Final = b"where the agent stays silent, start the agent or reboot the guest\n"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended; not `seen` is one of which nobody knows whether it did."""

    finished: Finished
    seen: bool


async def guest_exec(shop: Workshop, name: str, words: Sequence[str], limit: int) -> Finished:
    """Run `words` in the guest for `limit` seconds at most."""
    command = checked(words)
    found = await shop.existing(name)
    at = Place(found.vmid, found.node)

    async def power() -> PowerState:
        return (await shop.hypervisor.power(at.node, at.vmid, kind=found.kind)).state

    ended = await run(shop.into(found), at, command, limit, called=name, power=power)
    finished = ended.finished
    if not ended.seen and found.kind is Kind.VM:
        return replace(finished, error=finished.error + _SILENT)
    return finished


def checked(words: Sequence[str]) -> tuple[str, ...]:
    """Return what is run for `words`. Raises Declined for what is no command."""
    if not words or not words[0]:
        raise Declined("write the command to run")
    if sum(map(len, words)) > _LONGEST or any("\0" in word for word in words):
        raise Declined(f"a command has at most {_LONGEST} characters, and no zero bytes")
    line = len(words) == 1 and any(letter.isspace() for letter in words[0])
    return ("/bin/sh", "-c", words[0]) if line else tuple(words)


async def run(
    way: GuestCommands,
    at: Place,
    command: Sequence[str],
    limit: int,
    *,
    called: str,
    power: Callable[[], Awaitable[PowerState]],
) -> Ended:
    """Run a command that was checked in the guest that stands there, and is told of as `called`.

    Raises Declined if it does not run, by its `power`, which is asked where the command failed.
    """
    try:
        return Ended(await way.run(at.node, at.vmid, command, limit), seen=True)
    except UnknownOutcome as error:
        return Ended(Finished(TIMED_OUT, b"", f"{error}; {_LOOK}\n".encode()), seen=False)
    except ProvisionError as error:
        if await _stands_still(power):
            raise Declined(f"{called} {STANDS_STILL} ({error})") from error
        raise


async def _stands_still(power: Callable[[], Awaitable[PowerState]]) -> bool:
    """Say whether a machine surely does not run; whoever cannot tell says no."""
    try:
        return await power() is PowerState.STOPPED
    except ProvisionError:
        return False

"""Asking guests whether they are up: seldom, and few at once.

A silent guest is the slowest thing there is to ask: Proxmox waits three seconds for its agent, and
one that comes up meanwhile may be noticed only then. So a guest that boots is asked when the last
few boots would be over, each silence makes the next pause longer, and only so many are asked at
once: however many guests are silent, somebody is left for the other leases. One guest at a time is
the scout, asked sooner than is known to do, so that a quicker boot is found out. Learnt is only
from boots of which it is known when they began. What was learnt is lost at a restart, and costs a
few calls to learn again.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from provisioner.foresight import Foresight
from provisioner.model import Kind
from provisioner.ports import GuestShells

#: What is too long to be a boot, in seconds.
LONGEST_BOOT: Final = 60
#: How closely it is worth knowing when a boot is over, in seconds: to find out costs silences.
SURE: Final = 0.1
#: Seconds after which a guest is asked while no boot is known and another one is the scout.
UNKNOWN: Final = 15
#: Seconds between two looks at whether the scout has found out.
UNKNOWN_PAUSE: Final = 2
#: Shortest and longest pause between two questions to a guest, in seconds.
SHORTEST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 8
#: How long Proxmox takes to say that a guest is silent, in seconds.
SILENCE: Final = 3
#: An answer that took longer than so many seconds was waited for.
PROMPT: Final = 0.5
#: After so many silences a guest is no scout any more: others may try.
HOPELESS: Final = 4
#: Seconds until one that found too many being asked comes again.
CROWDED: Final = 0.5


@dataclass(frozen=True, slots=True)
class Ring:
    """Whether the guest answers, as far as is known: None if it was not asked since its start.

    Unless it answers, `again_in` says in how many seconds to come again.
    """

    answers: bool | None
    again_in: float = 0


@dataclass(frozen=True, slots=True)
class _Silence:
    """A guest was silent so many times in a row, the last time when it had run for `up_for` s."""

    times: int
    up_for: float

    @property
    def pause(self) -> float:
        """The first one is short: Proxmox has already waited for a while."""
        return min(self.times - 1, LONGEST_PAUSE) or SHORTEST_PAUSE

    @property
    def over_at(self) -> float:
        return self.up_for + SILENCE + self.pause


@dataclass(slots=True)
class _Lore:
    """What is known of how long guests of one kind boot, and who finds out more: the scout."""

    boots: Foresight = field(default_factory=Foresight)
    scout: int | None = None

    @property
    def usual(self) -> float:
        """For how long a guest has to have run that is no scout, to be asked the first time."""
        expected = self.boots.expected
        return UNKNOWN if expected is None else expected

    def first(self, vmid: int) -> float:
        """Return for how long a guest has to have run to be asked the first time."""
        if self.scout not in (None, vmid):
            return self.usual
        if self.boots.expected is None:
            return 0
        scouted = self.boots.scouted(SURE)
        return self.usual if scouted is None else scouted

    def dismiss(self, vmid: int) -> None:
        """Have a guest be the scout no more, if it was."""
        if self.scout == vmid:
            self.scout = None


class Doorbell:
    """Rings at guests through `guests`, at most at `at_once` of them at a time.

    `monotonic` tells seconds: how long an answer took.
    """

    def __init__(self, guests: GuestShells, at_once: int, monotonic: Callable[[], float]) -> None:
        self._guests = guests
        self._monotonic = monotonic
        self._at_once = at_once
        self._ringing = 0
        self._lores: defaultdict[Kind, _Lore] = defaultdict(_Lore)
        self._silent: dict[int, _Silence] = {}

    async def ring(
        self, node: str, vmid: int, up_for: float, kind: Kind = Kind.VM, *, exact: bool = True
    ) -> Ring:
        """Ask a guest that has run for `up_for` seconds, if it is worth asking.

        `exact` says that these were counted from when its start was seen to end.
        """
        silence, lore = self._silence(vmid, up_for), self._lores[kind]
        wait = (silence.over_at if silence else lore.first(vmid)) - up_for
        if wait > 0:
            known = silence or lore.boots.expected is not None
            return Ring(False if silence else None, wait if known else min(wait, UNKNOWN_PAUSE))
        if self._ringing >= self._at_once:
            return Ring(None, CROWDED)
        if silence is None and up_for < lore.usual:
            lore.scout = vmid
        self._ringing += 1
        answers: bool | None = None
        asked_at = self._monotonic()
        try:
            answers = await self._guests.of(kind).answers(node, vmid)
        finally:
            self._ringing -= 1
            if answers is None:
                lore.dismiss(vmid)
        if not answers:
            return self._was_silent(vmid, up_for, lore)
        if exact and up_for <= LONGEST_BOOT:
            _learn(lore.boots, silence, up_for, self._monotonic() - asked_at)
        self._silent.pop(vmid, None)
        lore.dismiss(vmid)
        return Ring(answers=True)

    async def insist(self, node: str, vmid: int, kind: Kind = Kind.VM) -> bool:
        """Ask a guest now, however often it was silent: somebody may be inside who should not."""
        return await self._guests.of(kind).answers(node, vmid)

    def _silence(self, vmid: int, up_for: float) -> _Silence | None:
        """Return how silent the guest has been since it was started."""
        silence = self._silent.get(vmid)
        return silence if silence is not None and silence.up_for <= up_for else None

    def _was_silent(self, vmid: int, up_for: float, lore: _Lore) -> Ring:
        before = self._silence(vmid, up_for)
        silence = _Silence(before.times + 1 if before else 1, up_for)
        self._silent[vmid] = silence
        if silence.times >= HOPELESS:
            lore.dismiss(vmid)
        return Ring(False, silence.pause)


def _learn(boots: Foresight, silence: _Silence | None, up_for: float, took: float) -> None:
    """Learn from an answer; one that Proxmox had to wait for was not there when it was asked.

    To take it for a boot that was over then had every guest asked too soon, and each of them cost
    the rest of Proxmox's patience.
    """
    if took >= PROMPT:
        boots.learn(up_for, up_for + took)
    else:
        boots.learn(silence.up_for if silence else 0, up_for)

"""Asking guests whether they are up: seldom, and few at once.

A silent guest is the slowest thing there is to ask: Proxmox waits three seconds for its agent. So a
guest that boots is asked when the quickest of the last few boots would be over, each silence makes
the next pause longer, and only so many are asked at once: however many guests are silent, somebody
is left for the other leases. One guest at a time is the scout, asked sooner than is known to do, so
that a quicker boot is found out; where that was too soon, the next few are left alone. An
answer to a question that came late says nothing of how long the boot took, and is not learnt from.
What was learnt is lost at a restart, and costs a few calls to learn again.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from provisioner.model import Kind
from provisioner.ports import GuestShells

#: How many boots are remembered, and what is too long to be one, in seconds.
REMEMBERED: Final = 8
LONGEST_BOOT: Final = 60
#: Seconds by which a scout is asked sooner than the quickest of those took.
SOONER: Final = 1
#: Seconds after which a guest is asked while no boot is known and another one is the scout.
UNKNOWN: Final = 15
#: Seconds between two looks at whether the scout has found out.
UNKNOWN_PAUSE: Final = 2
#: Longest pause between two questions to a guest, in seconds.
LONGEST_PAUSE: Final = 8
#: How long Proxmox takes to say that a guest is silent, in seconds.
SILENCE: Final = 3


@dataclass(frozen=True, slots=True)
class Ring:
    """Whether the guest answers, as far as is known: None if it was not asked since its start.

    Unless it answers, `again_in` says in how many seconds to come again.
    """

    answers: bool | None
    again_in: int = 0


@dataclass(frozen=True, slots=True)
class _Silence:
    """A guest was silent so many times in a row, the last time when it had run for `up_for` s."""

    times: int
    up_for: int

    @property
    def pause(self) -> int:
        return min(self.times, LONGEST_PAUSE)

    @property
    def over_at(self) -> int:
        return self.up_for + SILENCE + self.pause


class Doorbell:
    """Rings at guests through `guests`, at most at `at_once` of them at a time."""

    def __init__(self, guests: GuestShells, at_once: int) -> None:
        self._guests = guests
        self._at_once = at_once
        self._ringing = 0
        self._boots: deque[int] = deque(maxlen=REMEMBERED)
        self._silent: dict[int, _Silence] = {}
        self._scout: int | None = None
        self._boots_to_wait = 0

    async def ring(self, node: str, vmid: int, up_for: int, kind: Kind = Kind.VM) -> Ring:
        """Ask a guest that was started `up_for` seconds ago, if it is worth asking."""
        silence = self._silence(vmid, up_for)
        wait = (silence.over_at if silence else self._first(vmid)) - up_for
        if wait > 0:
            known = silence or self._boots
            return Ring(False if silence else None, wait if known else min(wait, UNKNOWN_PAUSE))
        if self._ringing >= self._at_once:
            return Ring(None, 1)
        if up_for < min(self._boots, default=UNKNOWN):
            self._scout = vmid
        self._ringing += 1
        answers: bool | None = None
        try:
            answers = await self._guests.of(kind).answers(node, vmid)
        finally:
            self._ringing -= 1
            if answers is None and self._scout == vmid:
                self._scout = None
        return self._answered(vmid, up_for) if answers else self._was_silent(vmid, up_for)

    def _first(self, vmid: int) -> int:
        """Return for how long a guest has to have run to be asked the first time."""
        may_scout = self._scout in (None, vmid) and self._boots_to_wait == 0
        if not self._boots:
            return 0 if may_scout else UNKNOWN
        return min(self._boots) - (SOONER if may_scout else 0)

    async def insist(self, node: str, vmid: int, kind: Kind = Kind.VM) -> bool:
        """Ask a guest now, however often it was silent: somebody may be inside who should not."""
        return await self._guests.of(kind).answers(node, vmid)

    def _silence(self, vmid: int, up_for: int) -> _Silence | None:
        """Return how silent the guest has been since it was started."""
        silence = self._silent.get(vmid)
        return silence if silence is not None and silence.up_for <= up_for else None

    def _answered(self, vmid: int, up_for: int) -> Ring:
        was_silent = self._silent.pop(vmid, None) is not None
        if self._scout == vmid or not self._boots:
            self._scout = None
        if up_for <= LONGEST_BOOT:
            self._boots_to_wait = max(0, self._boots_to_wait - 1)
            if was_silent or up_for <= min(self._boots, default=LONGEST_BOOT):
                self._boots.append(up_for)
        return Ring(answers=True)

    def _was_silent(self, vmid: int, up_for: int) -> Ring:
        if self._scout == vmid and self._boots:
            self._scout = None
            self._boots_to_wait = REMEMBERED
        before = self._silence(vmid, up_for)
        silence = _Silence(before.times + 1 if before else 1, up_for)
        self._silent[vmid] = silence
        return Ring(False, silence.pause)

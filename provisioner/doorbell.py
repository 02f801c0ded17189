"""Asking guests whether they are up: seldom, and few at once.

A silent guest is the slowest thing there is to ask: Proxmox waits three seconds for its agent. So a
guest that boots is not asked before the quickest of the last few boots would be over, each silence
makes the next pause longer, and only so many are asked at once: however many guests are silent,
somebody is left for the other leases. What was learnt is lost at a restart, and costs a few calls
to learn again.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from provisioner.ports import GuestShell

#: How many boots are remembered, and what is too long to be one, in seconds.
REMEMBERED: Final = 8
LONGEST_BOOT: Final = 60
#: Seconds by which the next guest is asked sooner than the quickest of those took.
SOONER: Final = 1
#: Longest pause between two questions to a guest, in seconds.
LONGEST_PAUSE: Final = 8
#: How long Proxmox takes to say that a guest is silent, in seconds.
SILENCE: Final = 3


@dataclass(frozen=True, slots=True)
class Ring:
    """What came of it: whether the guest answers, None if it was not asked now.

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


class Doorbell:
    """Rings at guests through `guest`, at most at `at_once` of them at a time."""

    def __init__(self, guest: GuestShell, at_once: int) -> None:
        self._guest = guest
        self._at_once = at_once
        self._ringing = 0
        self._boots: deque[int] = deque(maxlen=REMEMBERED)
        self._silent: dict[int, _Silence] = {}

    async def ring(self, node: str, vmid: int, up_for: int) -> Ring:
        """Ask a guest that was started `up_for` seconds ago, if it is worth asking."""
        wait = self._worth_asking_at(vmid, up_for) - up_for
        if wait > 0:
            return Ring(None, wait)
        if self._ringing >= self._at_once:
            return Ring(None, 1)
        self._ringing += 1
        try:
            answers = await self._guest.answers(node, vmid)
        finally:
            self._ringing -= 1
        return self._answered(vmid, up_for) if answers else self._was_silent(vmid, up_for)

    def _worth_asking_at(self, vmid: int, up_for: int) -> int:
        silence = self._silent.get(vmid)
        if silence is None or up_for < silence.up_for:  # it was started again since
            return min(self._boots, default=0) - SOONER
        return silence.up_for + SILENCE + silence.pause

    def _answered(self, vmid: int, up_for: int) -> Ring:
        self._silent.pop(vmid, None)
        if up_for <= LONGEST_BOOT:
            self._boots.append(up_for)
        return Ring(answers=True)

    def _was_silent(self, vmid: int, up_for: int) -> Ring:
        before = self._silent.get(vmid)
        times = before.times if before is not None and before.up_for <= up_for else 0
        self._silent[vmid] = _Silence(times + 1, up_for)
        return Ring(False, self._silent[vmid].pause)

"""One mode of failure at one call of one thing done by hand to the machine of a lease, played.

It is answered rightly, or fails with a sentence; then it is typed again, after an operator did what
the sentence says where the mode lasts. What is told as not done was not done, however long one
waits, and what was typed once is asked for once. The judge looks on, and the daemon goes on.
"""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import pytest

from chainwatch.control.hands import Execution, Throttled
from chainwatch.errors import OperatorError
from provisioner.controls import ConsoleTicket
from provisioner.errors import ProvisionError, UnknownOutcome
from provisioner.model import Kind
from provisioner.simulator.guestos import GuestOs, Run
from provisioner.simulator.modes.catalogue import has_struck, mend
from provisioner.simulator.modes.mode import EXEC, GUEST, Call, Mode
from provisioner.simulator.programs import PROGRAMS
from provisioner.verbs.guest_exec import TIMED_OUT
from provisioner.verbs.metrics import Metrics
from tests.support.advice import says_what_to_do
from tests.support.by_hand_playing import HANDED_ON, Ended, Meeting, meetings_at
from tests.support.handling import VERBS, done, handling
from tests.support.judge import Judge
from tests.support.matrix import OF_THE_CHAIN, generic, settled
from tests.support.playing import POWERED_OFF, TROUBLE, arm_in
from tests.support.realm import GRACE, Realm

#: A privilege that is missing, and the calls besides that it may be missing for.
UNPRIVILEGED: Final = 27
OPERATORS: Final = (EXEC, ("POST", f"{GUEST}/vncproxy"))
#: What is said of whatever may have happened.
UNSURE: Final = " may "
#: For how long nobody looked at the cluster before, in seconds: a list is read anew then.
LONG_SINCE: Final = 60
#: How many looks of the daemon a mode is given to pass, and how many seconds apart they are.
LOOKS, APART = 12, 10


@dataclass(frozen=True, slots=True)
class Hand:
    """One thing that operators do by hand, to machines of one kind."""

    name: str
    kind: Kind

    @property
    def id(self) -> str:
        """Return what it is called among those of both kinds."""
        return f"{self.kind}-{self.name}"


HANDS: Final = tuple(Hand(name, kind) for kind in Kind for name in VERBS)
_CALLS: Final[dict[str, Counter[Call]]] = {}


async def calls_of(hand: Hand, folder: Path) -> dict[Call, int]:
    """Return the calls that are made when nothing goes wrong, and how often each."""
    if hand.id not in _CALLS:
        async with handling(folder, hand.kind) as world:
            world.cluster.advance(LONG_SINCE)
            before = len(world.cluster.inventory().call_log)
            await done(world, hand.name)
            made = list(world.cluster.inventory().call_log[before:])
            made.sort(key=lambda call: call.method == "GET")  # what it is for comes first
            _CALLS[hand.id] = Counter((c.method, generic(c.method, c.path)) for c in made)
    return _CALLS[hand.id]


async def meetings(hand: Hand, mode: Mode, folder: Path) -> list[Meeting[Hand]]:
    """Return every form of a mode at every call; that of the table comes first."""
    if mode.number == UNPRIVILEGED:
        mode = replace(mode, strikes=(*mode.strikes, *OPERATORS))
    return meetings_at(hand, mode, await calls_of(hand, folder))


async def play(meeting: Meeting[Hand], folder: Path) -> Ended:
    """Play one meeting; raises AssertionError for what must never be."""
    with counted() as runs:
        async with handling(folder, meeting.command.kind) as world:
            world.cluster.advance(LONG_SINCE)
            return await Play(meeting, world, Judge(world), runs).play()


@contextmanager
def counted() -> Iterator[list[str]]:
    """Have every run of `echo` in any guest be noted."""
    runs: list[str] = []
    echo = PROGRAMS["echo"]

    def noting(system: GuestOs, words: tuple[str, ...], text: str) -> Run:
        runs.append(" ".join(words))
        return echo(system, words, text)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROGRAMS, "echo", noting)
        yield runs


@dataclass(slots=True)
class Play:
    """A meeting under way; `said` is what the operator was told."""

    meeting: Meeting[Hand]
    world: Realm
    judge: Judge
    runs: list[str]
    said: list[str] = field(default_factory=list)

    async def play(self) -> Ended:
        """Do it, with the mode at its call."""
        meeting, mode, cluster = self.meeting, self.meeting.mode, self.world.cluster
        self.judge.look()
        arm_in(self.world, mode, meeting.at, meeting.nth, meeting.form)
        right = await self._typed()
        if not has_struck(cluster, mode):
            assert meeting.nth > 1, "it never struck"
            return Ended.UNTOUCHED
        if right:
            ended = Ended.WELL
        elif await self._typed_again():
            ended = Ended.AGAIN
        else:
            ended = Ended.MENDED
        if ended is Ended.MENDED:
            assert says_what_to_do(mode.number, self.said), (
                f"nothing in {self.said} says what to do"
            )
        await self._operate()
        assert await self._typed(), self.said
        await self._nothing_left()
        return ended

    async def _typed(self) -> bool:
        """Do it and wait for what may still come of it; says whether it was answered rightly."""
        hand, before = self.meeting.command, self._effects()
        calls = len(self.world.cluster.inventory().call_log)
        answer: object
        try:
            answer = await done(self.world, hand.name)
        except (OperatorError, ProvisionError) as error:
            answer = error
            self.said.append(str(error))
        self._asked_for_once(calls)
        right = self._right(answer, len(self.runs) - before[0])
        await self._wait()
        if isinstance(answer, Exception) and not isinstance(answer, UnknownOutcome):
            assert self._effects() == before, f"it was done after all: {answer}"
        return right

    async def _typed_again(self) -> bool:
        """Do it once more, when the daemon has looked at everything, as it does by itself."""
        await self._look_over()
        await self._wait()
        return await self._typed()

    async def _look_over(self) -> None:
        resync = self.world.daemon.supervisor.resync
        with suppress(ProvisionError):
            await resync.survey()
        await resync.enqueue_all("periodic resync")

    async def _wait(self) -> None:
        for _ in range(LOOKS):
            self.judge.look()
            await self.world.turns(1, APART)
        self.judge.look()

    # ------------------------------------------------------------------------- what is judged

    def _effects(self) -> tuple[int, bool]:
        """Return what was done so far: how often a command ran, and whether there are limits."""
        limited = ["cpuunits" in guest.config for guest in self.world.guests().values()]
        return len(self.runs), any(limited)

    def _asked_for_once(self, before: int) -> None:
        """See that at most one thing was asked for; whose it was asked of, the judge sees."""
        made = self.world.cluster.inventory().call_log[before:]
        asked = [call for call in made if call.method != "GET" and not call.path.endswith("/login")]
        assert len(asked) <= (self.meeting.command.name != "metrics"), asked

    def _right(self, answer: object, ran: int) -> bool:
        """Say whether it is an answer, and see that it is true of a command that `ran` so often."""
        match answer:
            case Metrics():
                guest = self.world.guest()
                assert answer.state == ("running" if guest.running else "stopped")
                sold = int(guest.config["cores"]), int(guest.config["memory"])
                assert (answer.cpu_count, answer.memory_total_mb) == sold
            case Throttled():
                assert str(self.world.guest().config["cpuunits"]) == "50"
            case Execution(seen=False):
                assert answer.code == TIMED_OUT
                self.said.append(answer.error)
                return False
            case Execution():
                own = HANDED_ON.get((self.meeting.mode.number, self.meeting.command.name))
                if own is None or not re.search(own, answer.error):
                    assert (answer.code, answer.output, ran) == (0, "hello\n", 1), answer
            case UnknownOutcome():
                assert UNSURE in str(answer), answer
                return False
            case ConsoleTicket():
                guest = self.world.guest()
                assert (answer.node, answer.vmid) == (guest.node, guest.vmid)
            case _:
                return False
        return True

    async def _nothing_left(self) -> None:
        """See that all is as it should be, and that nothing of it is still open."""
        await settled(self.world, self.judge.look)
        await self.judge.tidy()
        assert await self.world.daemon.stores.operations.open_all() == []
        assert not TROUBLE & (await self.world.alarms()).keys(), await self.world.alarms()

    # ------------------------------------------------------------------- what an operator does

    async def _operate(self) -> None:
        """Do what an operator does who has read the sentence, and have all be looked at."""
        world, meeting = self.world, self.meeting
        mend(world.cluster, meeting.mode)
        if (meeting.mode.number, meeting.form) == POWERED_OFF:
            for vmid in world.guests():
                world.cluster.start_guest(vmid)
        if meeting.mode.number == OF_THE_CHAIN:
            world.renew(lasts=100 * GRACE)
            world.finalize()
        world.cluster.advance(301)
        await settled(world, self.judge.look)
        await self._look_over()
        await settled(world, self.judge.look)

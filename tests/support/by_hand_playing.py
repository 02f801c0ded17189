"""One mode of failure at one call of one command, played: what came of it, and what was said.

The command ends well, or fails with a sentence; then it is typed again, after an operator did what
the sentence says where the mode lasts. Never is there a second machine, a leaked volume, or a
change to what is somebody else's.
"""

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final, Generic, Protocol, TypeVar

from provisioner.errors import ProvisionError
from provisioner.model import MAKING
from provisioner.simulator.faults import FaultName, Struck
from provisioner.simulator.guests import ConfigValue, Guest
from provisioner.simulator.modes.catalogue import arm, has_struck, mend
from provisioner.simulator.modes.mode import Call, Mode
from tests.support.advice import says_what_to_do
from tests.support.blindness import Strike
from tests.support.by_hand import Command
from tests.support.cli import TOKEN, Yard
from tests.support.matrix import (
    OF_THE_CHAIN,
    TIMES,
    fits,
    forms_of,
    generic,
    means_it,
    struck_calls,
)
from tests.support.playing import GONE, POWERED_OFF

#: What a command hands on besides, by mode and command: what a program in the container said.
HANDED_ON: Final = dict.fromkeys(((60, "guest-exec"), (60, "exec")), r"^there is no such file$")
#: How long a command may wait in all, in seconds.
SECONDS: Final = 400


class Ended(Enum):
    """What came of a command under a mode."""

    UNTOUCHED = "—"  # the command makes no call at which the mode can strike
    WELL = "passes"
    AGAIN = "again"  # it failed, and was done when it was typed again
    MENDED = "mend"  # it failed, and was done when the cause was mended and it was typed again


class Typed(Protocol):
    """What somebody types and waits for."""

    @property
    def id(self) -> str:
        """Return what it is called among all of its sort."""


T = TypeVar("T", bound=Typed)


@dataclass(frozen=True, slots=True)
class Meeting(Generic[T]):
    """One form of one mode at one call of one command."""

    command: T
    mode: Mode
    at: Call
    nth: int = 1
    form: int = 0

    @property
    def id(self) -> str:
        """Return what it is called."""
        call = f"{self.at[0]}-{self.at[1].rpartition('/')[2]}"
        return f"{self.mode.number}.{self.form}-{self.command.id}-{call}-{self.nth}"


_CALLS: Final[dict[str, dict[Call, int]]] = {}


async def calls_of(command: Command) -> dict[Call, int]:
    """Return the calls that a command makes when nothing goes wrong, and how often each."""
    if command.id not in _CALLS:
        it = await ready(command)
        before = len(it.cluster.inventory().call_log)
        await command.does(it.shop(SECONDS))
        assert command.ends(the_machine(it))
        made = it.cluster.inventory().call_log[before:]
        _CALLS[command.id] = Counter((c.method, generic(c.method, c.path)) for c in made)
    return _CALLS[command.id]


async def meetings(command: Command, mode: Mode) -> list[Meeting[Command]]:
    """Return every form of a mode at every call of a command; that of the table comes first."""
    if mode.number == OF_THE_CHAIN:
        return []
    return meetings_at(command, mode, await calls_of(command))


def meetings_at(command: T, mode: Mode, calls: dict[Call, int]) -> list[Meeting[T]]:
    """Return every form of a mode at each of the calls that a command makes."""
    return [
        Meeting(command, mode, call, nth, form)
        for form in range(forms_of(mode))
        for call in struck_calls(mode, calls)
        if fits(mode, form, call) and means_it(mode, form, call, calls)
        for nth in range(1, min(calls[call], TIMES) + 1)
    ]


async def ready(command: Command) -> Yard:
    """Return a cluster in which a command may be typed."""
    it = command.yard()
    for stage in command.before:
        await stage(it)
    it.said.clear()
    return it


def the_machine(it: Yard) -> Guest | None:
    """Return the machine; None where there is none, and never are there two."""
    guests = it.guests()
    assert len(guests) <= 1, f"{len(guests)} machines: {sorted(guests)}"
    return next(iter(guests.values()), None)


@dataclass(slots=True)
class Play:
    """A meeting under way; `strike` is when it struck first."""

    meeting: Meeting[Command]
    it: Yard
    strike: Strike | None = None
    errors: list[str] = field(default_factory=list)

    async def play(self) -> Ended:
        """Type the command; raises AssertionError for what must never be."""
        mode, cluster = self.meeting.mode, self.it.cluster
        before = the_machine(self.it)
        config = dict(before.config) if before else {}
        self._arm()
        came = await self._typed()
        if not has_struck(cluster, mode):
            assert self.meeting.nth > 1, "it never struck"
            return Ended.UNTOUCHED
        self._judge_blindness()
        if came:
            self._judge(config)
            return Ended.WELL
        if not mode.lasts and await self._typed():
            self._judge(config)
            return Ended.AGAIN
        sentences = [*self.it.said, *self.errors]
        assert self._handed_on() or says_what_to_do(mode.number, sentences), (
            f"nothing in {sentences} says what to do"
        )
        self._operate()
        assert await self._typed(), self.errors
        self._judge(config)
        return Ended.MENDED

    async def _typed(self) -> bool:
        """Type the command; says whether it ended well."""
        try:
            await self.meeting.command.does(self.it.shop(SECONDS))
        except ProvisionError as error:
            self.errors.append(str(error))
            return self._is_gone()
        return True

    def _handed_on(self) -> bool:
        own = HANDED_ON.get((self.meeting.mode.number, self.meeting.command.name))
        return own is not None and any(re.search(own, each) for each in self.errors)

    def _is_gone(self) -> bool:
        """Whether it is told, rightly, that there is no such machine: somebody removed it."""
        gone = self.meeting.mode.number == GONE and the_machine(self.it) is None
        return gone and "no machine called web" in self.errors[-1]

    def _undone(self, guest: Guest | None) -> bool:
        """Whether somebody undid what was done, or left nothing that it could be done to.

        A machine that is gone is made again by `create` alone.
        """
        if guest is None:
            return self.meeting.mode.number == GONE and self.meeting.command.name != "create"
        return (self.meeting.mode.number, self.meeting.form) == POWERED_OFF and not guest.running

    # ------------------------------------------------------------------------- how it strikes

    def _arm(self) -> None:
        meeting, cluster = self.meeting, self.it.cluster
        arm(cluster, meeting.mode, meeting.at, meeting.nth, meeting.form)
        armed = cluster.state.faults.armed
        for position, (fault, left) in enumerate(armed):
            armed[position] = (replace(fault, act=self._noting(fault.act)), left)

    def _noting(self, act: Callable[[Struck], None] | None) -> Callable[[Struck], None]:
        def noted(struck: Struck) -> None:
            if self.strike is None:
                self.strike = Strike.now(self.it.cluster, struck)
            if act is not None:
                act(struck)

        return noted

    # ------------------------------------------------------------------------- what is judged

    def _judge_blindness(self) -> None:
        if self.strike is not None:
            cluster, meeting = self.it.cluster, self.meeting
            asked = self.strike.forbidden(cluster, meeting.mode.number, meeting.form)
            assert asked == [], f"asked for in the dark: {asked}"

    def _judge(self, before: Mapping[str, ConfigValue]) -> None:
        """See that the command did what it is for, once, and nothing else."""
        command, mode, cluster = self.meeting.command, self.meeting.mode, self.it.cluster
        mend(cluster, mode)
        cluster.settle()
        guest = the_machine(self.it)
        done = command.ends(guest) or self._undone(guest)
        assert done, (guest and dict(guest.config), guest and guest.power)
        assert self.it.leaks() == [], f"left behind: {self.it.leaks()}"
        if command.looks and guest is not None and not _changes_the_world(mode):
            assert guest.config == before, f"looking changed {before} to {dict(guest.config)}"
        touched = cluster.inventory().foreign_touched.get(TOKEN)
        assert not touched, f"we laid hands on {touched}, which are not ours"

    # ------------------------------------------------------------------- what an operator does

    def _operate(self) -> None:
        """Do what an operator does who has read the sentence."""
        cluster = self.it.cluster
        mend(cluster, self.meeting.mode)
        cluster.advance(1)
        said = " ".join([*self.it.said, *self.errors])
        for volume, vmid in list(cluster.inventory().volumes.items()):
            left = vmid not in cluster.state.guests
            if left and (volume in said or f"volumes of VM {vmid}" in said):
                del cluster.state.volumes[volume]
        if (self.meeting.mode.number, self.meeting.form) == POWERED_OFF:
            for vmid in self.it.guests():
                cluster.start_guest(vmid)
        at_work = {task.id for task in cluster.state.tasks.values() if task.status is None}
        for vmid, guest in self.it.guests().items():
            if guest.lock is None or str(vmid) in at_work:
                continue
            if guest.lock in MAKING:
                cluster.remove_guest(vmid)
            else:
                cluster.edit_guest(vmid, lock=None)
        cluster.advance(301)


def _changes_the_world(mode: Mode) -> bool:
    return any(form.fault.name is FaultName.HAPPENS for form in mode.forms)


async def trouble(
    meeting: Meeting[T], playing: Awaitable[Ended], told: str | None = None
) -> str | None:
    """Say what is wrong with what comes of a meeting; `told` is what should, where that is told."""
    again = f"CHAINWATCH_CASE={meeting.id} plays it again"
    try:
        ended = await playing
    except Exception as error:  # noqa: BLE001 - whatever it is, the others are played too
        return f"{again}: {error!r}"
    if told not in (None, ended.value):
        return f"{again}: {ended.value}, not {told}"
    return None


async def play(meeting: Meeting[Command]) -> Ended:
    """Play one meeting."""
    return await Play(meeting, await ready(meeting.command)).play()

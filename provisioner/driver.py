"""Takes one machine to what is wanted, a step at a time, and waits: what a command may do.

It is the reconciler's loop for somebody who has no database and no daemon: look, decide, do one
step, wait for its task, look again. Every pass may find that another process did the step, and the
log of intents lives as long as the command; what a former command left is found by looking. Errors
that pass are waited out, until the deadline.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from provisioner.errors import (
    AgentSilent,
    Declined,
    HypervisorDown,
    ProvisionError,
    Transient,
    UnknownOutcome,
)
from provisioner.executor import Executor
from provisioner.intents import Intents
from provisioner.machines import Machines
from provisioner.model import DesiredMachine, Observed
from provisioner.plan import Decision, decide
from provisioner.ports import TaskState
from provisioner.site import Site
from provisioner.steps.step import Step
from provisioner.taskboard import LENIENT, LONG, TaskBoard

#: Seconds between looks at a task, and after something that passes.
PAUSE: Final = 0.5
#: For how many seconds a hypervisor that cannot be reached is waited for.
OUTAGE: Final = 60
#: How many sentences back one is not said again: a step, what came of it, and why it is waited.
RECENT: Final = 3
#: Errors after which looking again may show something else.
PASSING: Final = (Transient, UnknownOutcome, AgentSilent, HypervisorDown)


class Clock(Protocol):
    """The time, and a way to let it pass."""

    def now(self) -> int:
        """Return wall seconds."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class OutOfTime(ProvisionError):
    """The deadline passed before the machine was as wanted.

    What to do: run the same command again, it goes on where this one stopped.
    """


#: Called before a step is done; raises what forbids it.
Guard = Callable[[Step, Observed], Awaitable[None]]


@dataclass(slots=True)
class Patience:
    """How long to go on, and telling once what is waited for; `until` is monotonic seconds.

    A step that is tried again and kept from the same way is no news: neither is said again, and
    the waits grow with the time since anything new was said.
    """

    clock: Clock
    say: Callable[[str], None]
    until: float
    _recent: deque[str] = field(default_factory=lambda: deque(maxlen=RECENT))
    _since: float = 0
    _down_since: float | None = None

    def tell(self, sentence: str) -> None:
        """Say a sentence unless it is one of the last few."""
        if sentence in self._recent:
            self._recent.remove(sentence)
        else:
            self.say(sentence)
            self._since = self.clock.monotonic()
        self._recent.append(sentence)

    async def wait(self, reason: str) -> None:
        """Let a moment pass, a longer one where it takes long. Raises OutOfTime at the deadline."""
        self.tell(reason)
        now = self.clock.monotonic()
        if now >= self.until:
            raise OutOfTime(f"not done in time: {reason}; run the same command again to go on")
        waited = now - self._since
        pause = PAUSE if waited < LONG else min(waited * LENIENT, self.until - now)
        await self.clock.sleep(max(PAUSE, pause))

    async def outlast(self, error: ProvisionError) -> None:
        """Let what passes pass; a hypervisor that stays away is given up sooner."""
        if not isinstance(error, HypervisorDown):
            self._down_since = None
        elif self._down_since is None:
            self._down_since = self.clock.monotonic()
        elif self.clock.monotonic() - self._down_since >= OUTAGE:
            raise error
        await self.wait(str(error))


@dataclass(slots=True)
class Driver:
    """Drives machines of one site; `log` is this process's own."""

    machines: Machines
    executor: Executor
    board: TaskBoard
    log: Intents
    site: Site
    patience: Patience

    async def reach(self, want: DesiredMachine, guard: Guard | None = None) -> Observed:
        """Do what is due until nothing is. Raises what does not pass, and OutOfTime."""
        while True:
            try:
                have, decision = await self._pass(want, guard)
            except PASSING as error:
                await self.patience.outlast(error)
                continue
            if decision.settled:
                return have
            if decision.stuck:
                raise Declined(decision.reason)
            if decision.step is None:
                self._note_leftovers(have, decision)
                await self.patience.wait(decision.reason)
            await self._look()

    async def _pass(self, want: DesiredMachine, guard: Guard | None) -> tuple[Observed, Decision]:
        have = await self.machines.observe(want)
        decision = decide(self.site, want, have)
        if decision.step is not None:
            self.patience.tell(f"{decision.step.name}: {decision.reason}")
            if guard is not None:
                await guard(decision.step, have)
            await self.executor.run(decision.step, want, have, self.patience.clock.now())
        return have, decision

    def _note_leftovers(self, have: Observed, decision: Decision) -> None:
        if have.leftovers:
            self.patience.tell(decision.reason)

    async def _look(self) -> None:
        """Wait for the task that is open, if one is."""
        for _, operation in await self.log.open_all():
            if operation.upid is not None:
                await self.ended(operation.upid, f"{operation.step} of VM {operation.vmid}")

    async def ended(self, upid: str, what: str) -> TaskState:
        """Wait until a task has ended, and return how."""
        while True:
            try:
                await self.board.look([upid])
            except PASSING as error:
                await self.patience.outlast(error)
                continue
            if not (state := self.board.state(upid)).running:
                return state
            try:
                await self.patience.wait(f"waiting for {what}")
            except OutOfTime as error:
                raise OutOfTime(f"{error}; stop the task if nothing moves: {upid}") from None

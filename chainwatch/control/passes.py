"""What a pass came to: for one machine, and for a lease with all of its machines."""

from dataclasses import dataclass, field

from chainwatch.control.expiry import Wakes
from chainwatch.domain.desired import Facts
from chainwatch.errors import Refused
from provisioner.errors import NoRoom, ProvisionError
from provisioner.model import DesiredMachine, Observed
from provisioner.plan import Decision


@dataclass(frozen=True, slots=True)
class Pass:
    """What a pass came to for one machine: what was wanted, seen, decided and done.

    `seen` is None when it could not be looked at, and `error` then says why; `refused` is the
    guard's reason for not taking the step; `waiting` says that a task was started. `cramped` is why
    it is not made larger yet; it is wanted as it was until then.
    """

    want: DesiredMachine
    seen: Observed | None
    decision: Decision | None
    acted: bool = False
    waiting: bool = False
    refused: Refused | None = None
    error: ProvisionError | None = None
    cramped: NoRoom | None = None

    @property
    def sentence(self) -> str:
        """What was decided, and why."""
        return self._sentence if self.cramped is None else f"{self._sentence}; {self.cramped}"

    @property
    def _sentence(self) -> str:
        if self.error is not None:
            return str(self.error)
        if self.decision is None:
            return "not looked at"
        step = self.decision.step
        if step is None:
            return self.decision.reason
        if self.refused is not None:
            return f"{step.name} is due ({self.decision.reason}), but {self.refused.reason}"
        return f"{step.name}: {self.decision.reason}"

    @property
    def last(self) -> bool:
        """Whether a step was taken from which nothing follows by itself."""
        step = self.decision.step if self.decision else None
        well = self.acted and self.error is None and self.cramped is None
        return well and step is not None and step.last

    @property
    def settled(self) -> bool:
        """Whether this machine is as desired."""
        if self.error is not None or self.cramped is not None or self.decision is None:
            return False
        return self.decision.settled


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a pass over a lease came to, for each of its machines, and when to look again."""

    facts: Facts | None
    passes: tuple[Pass, ...] = ()
    refused: Refused | None = None
    wakes: Wakes = field(default_factory=lambda: Wakes(None, None))

    @property
    def through(self) -> bool:
        """Whether every machine is as desired, or was just given the last thing that it lacked."""
        if self.facts is None or len(self.passes) != len(self.facts.nonces):
            return False
        return bool(self.passes) and all(each.settled or each.last for each in self.passes)

    @property
    def sentence(self) -> str:
        """What was decided, and why, in one line."""
        if self.refused is not None:
            return self.refused.reason
        if not self.passes:
            return "there is no such lease"
        return "; ".join(each.sentence for each in self.passes)

"""The heart: one lease, one pass, at most one step, and a sentence.

A pass reads the facts, looks at the machines that they speak of, and takes the first step that is
due and allowed; what came of it is for the next pass to see. It never waits. It can be cut off
anywhere and run again. `explain` makes the same decision without taking the step.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from chainwatch.control.expiry import Wakes, wakes
from chainwatch.control.facts import FactsReader
from chainwatch.control.guards import Guards
from chainwatch.domain.desired import Facts, Policy, desired
from chainwatch.errors import OneAtATime, Refused
from chainwatch.runtime.clock import Clock
from provisioner.errors import NotOurs, ProvisionError
from provisioner.executor import Executor
from provisioner.machines import Machines
from provisioner.model import DesiredMachine, Observed
from provisioner.plan import Decision, decide
from provisioner.site import Site


class Index(Protocol):
    """Which VMIDs prove to be a machine, as the last resync saw it."""

    @property
    def places(self) -> Mapping[tuple[str, str], tuple[int, ...]]:
        """The VMIDs of each machine, by its key and nonce, in order."""
        ...


@dataclass(frozen=True, slots=True)
class Pass:
    """What a pass came to for one machine: what was wanted, seen, decided and done.

    `seen` is None when it could not be looked at, and `error` then says why; `refused` is the
    guard's reason for not taking the step; `waiting` says that a task was started.
    """

    want: DesiredMachine
    seen: Observed | None
    decision: Decision | None
    acted: bool = False
    waiting: bool = False
    refused: Refused | None = None
    error: ProvisionError | None = None

    @property
    def sentence(self) -> str:
        """What was decided, and why."""
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
        return self.acted and self.error is None and step is not None and step.last

    @property
    def settled(self) -> bool:
        """Whether this machine is as desired."""
        return self.error is None and self.decision is not None and self.decision.settled


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


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Makes machines what their leases say, a step at a time."""

    facts: FactsReader
    machines: Machines
    executor: Executor
    guards: Guards
    site: Site
    policy: Policy
    index: Index
    clock: Clock
    _deciding: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def reconcile(self, lease: str) -> Outcome:
        """Take at most one step for `lease` (CAIP-19 id).

        Errors of the hypervisor as a whole, and unexpected ones, are raised; what concerns one
        machine is in its `Pass`.
        """
        facts = await self.facts.of(lease)
        if facts is None:
            return Outcome(None)
        try:
            await self.guards.admit(facts)
        except Refused as refused:
            await self._settle(facts)
            return Outcome(facts, refused=refused)
        passes: list[Pass] = []
        for nonce in facts.nonces:
            passes.append(await self._pass(facts, nonce))
            if passes[-1].acted and passes[-1].error is None:
                break
        decisions = [each.decision for each in passes if each.decision]
        return Outcome(facts, tuple(passes), wakes=wakes(facts, decisions))

    async def _settle(self, facts: Facts) -> None:
        """Close what has ended of a lease that waits, so that nobody else waits for it."""
        for nonce in facts.nonces:
            if await self.machines.log.open_for(str(facts.id), nonce):
                await self._look(desired(facts, nonce, self.policy))

    async def explain(self, lease: str) -> Outcome:
        """Decide as `reconcile` would, looking but not touching."""
        facts = await self.facts.of(lease)
        if facts is None:
            return Outcome(None)
        passes = []
        for nonce in facts.nonces:
            seen = await self._look(desired(facts, nonce, self.policy), settle=False)
            passes.append(await self._gate(facts, seen))
        return Outcome(facts, tuple(passes))

    async def _pass(self, facts: Facts, nonce: str) -> Pass:
        seen = await self._look(desired(facts, nonce, self.policy))
        step = seen.decision.step if seen.decision else None
        if step is None or not step.irreversible:
            return await self._act(facts, seen)
        if self._deciding.locked():
            return replace(seen, refused=OneAtATime("another machine is about to be destroyed"))
        async with self._deciding:  # so that the budget counts each before the next is judged
            return await self._act(facts, seen)

    async def _act(self, facts: Facts, looked: Pass) -> Pass:
        seen = await self._gate(facts, looked)
        step = seen.decision.step if seen.decision else None
        if step is None or seen.seen is None or seen.refused:
            return seen
        try:
            ran = await self.executor.run(step, seen.want, seen.seen, self.clock.now())
        except ProvisionError as error:
            return Pass(seen.want, seen.seen, seen.decision, acted=True, error=error)
        waiting = ran.upid is not None
        return Pass(seen.want, seen.seen, seen.decision, acted=True, waiting=waiting)

    async def _look(self, want: DesiredMachine, *, settle: bool = True) -> Pass:
        try:
            have = await self.machines.observe(want, settle=settle)
            doubles = self.index.places.get((want.key, want.nonce), ())
            if len(doubles) > 1:
                raise NotOurs(
                    f"VMs {', '.join(map(str, doubles))} all prove to be this machine; "
                    "remove the one that is not, then retry"
                )
        except ProvisionError as error:
            return Pass(want, None, None, error=error)
        return Pass(want, have, decide(self.site, want, have))

    async def _gate(self, facts: Facts, seen: Pass) -> Pass:
        step = seen.decision.step if seen.decision else None
        if step is None:
            return seen
        try:
            await self.guards.allow(step, seen.want, facts)
        except Refused as refused:
            return Pass(seen.want, seen.seen, seen.decision, refused=refused)
        return seen

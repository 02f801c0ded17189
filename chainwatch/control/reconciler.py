"""The heart: one lease, one pass, at most one step, and a sentence.

A pass reads the facts, looks at the machines that they speak of, and takes the first step that is
due and allowed; what came of it is for the next pass to see. It never waits. It can be cut off
anywhere and run again. `explain` makes the same decision without taking the step.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from chainwatch.control.expiry import wakes
from chainwatch.control.facts import FactsReader
from chainwatch.control.guards import Guards, grave
from chainwatch.control.obedience import Obedience
from chainwatch.control.passes import Outcome, Pass
from chainwatch.domain.desired import Facts, Policy, desired
from chainwatch.errors import OneAtATime, Refused
from chainwatch.runtime.clock import Clock
from provisioner.errors import NoRoom, NotOurs, ProvisionError
from provisioner.executor import Executor
from provisioner.machines import Machines
from provisioner.model import DesiredMachine, Observed
from provisioner.plan import decide
from provisioner.site import Site


class Index(Protocol):
    """Which VMIDs prove to be a machine, as the last resync saw it."""

    @property
    def places(self) -> Mapping[tuple[str, str], tuple[int, ...]]:
        """The VMIDs of each machine, by its key and nonce, in order."""
        ...


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Makes machines what their leases say, a step at a time."""

    facts: FactsReader
    machines: Machines
    executor: Executor
    guards: Guards
    obedience: Obedience
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
        if await self.obedience.misled(facts):
            facts = replace(facts, order=None)
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
            passes.append(self._queued(await self._gate(facts, seen)))
        return Outcome(facts, tuple(passes))

    def _queued(self, seen: Pass) -> Pass:
        """Say of a machine that is to be made whether it waits for its turn."""
        step = seen.decision.step if seen.decision else None
        if step is None or not step.creates or seen.refused:
            return seen
        return replace(seen, error=self.executor.turn_of(seen.want.key))

    async def _pass(self, facts: Facts, nonce: str) -> Pass:
        seen = await self._heeded(desired(facts, nonce, self.policy))
        step = seen.decision.step if seen.decision else None
        if step is None or not grave(step, seen.want):
            return await self._act(facts, seen)
        if self._deciding.locked():
            return replace(seen, refused=OneAtATime("another machine is about to be destroyed"))
        async with self._deciding:  # so that the budget counts each before the next is judged
            return await self._act(facts, seen)

    async def _heeded(self, want: DesiredMachine) -> Pass:
        """Look, and end the machine's order if it is done, refused or beyond hope."""
        obeying = await self.obedience.busy_for(want)
        seen = await self._look(want)
        if obeying and seen.error is not None and await self.obedience.give_up(want, seen.error):
            return await self._look(replace(want, order=None))
        return await self.obedience.heed(seen)

    async def _act(self, facts: Facts, looked: Pass) -> Pass:
        seen = await self._gate(facts, looked)
        step = seen.decision.step if seen.decision else None
        if step is None or seen.seen is None or seen.refused:
            return seen
        asked = grave(step, seen.want)  # the chain, for as long as that took
        try:
            ran = await self.executor.run(
                *(step, seen.want, seen.seen, self.clock.now()), stale=asked
            )
        except ProvisionError as error:
            over = step.obeys and await self.obedience.give_up(seen.want, error)
            said = None if over else error
            return replace(seen, acted=True, error=said)
        return replace(seen, acted=True, waiting=ran.upid is not None)

    async def _look(self, want: DesiredMachine, *, settle: bool = True) -> Pass:
        try:
            have = await self.machines.observe(want, settle=settle)
            doubles = self.index.places.get((want.key, want.nonce), ())
            if len(doubles) > 1:
                raise NotOurs(
                    f"VMs {', '.join(map(str, doubles))} all prove to be this machine; "
                    "remove the one that is not, then retry"
                )
            cramped = await self._cramped(want, have)
        except ProvisionError as error:
            return Pass(want, None, None, error=error)
        if cramped is not None:
            want = replace(want, spec=want.before)
        return Pass(want, have, decide(self.site, want, have), cramped=cramped)

    async def _cramped(self, want: DesiredMachine, have: Observed) -> NoRoom | None:
        """Say why a machine stays as it is that is to be made larger, if there is no room."""
        rooms = self.executor.rooms
        if want.spec is not None and want.before is not None:
            return await rooms.growth(want.spec, have, self.clock.now())
        rooms.count(have, spec=want.spec)
        return None

    async def _gate(self, facts: Facts, seen: Pass) -> Pass:
        step = seen.decision.step if seen.decision else None
        if step is None:
            return seen
        try:
            await self.guards.allow(step, seen.want, facts)
        except Refused as refused:
            return replace(seen, refused=refused)
        return seen

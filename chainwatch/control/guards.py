"""What has to be true before a step runs: the last gate before an effect.

The plan has already decided that the step is due. Here an operator's pause, the destroy budget and
one last look at the chain can still stop it, and every error on the way stops it too. A guard never
waits and never repairs: it raises, and the sentence says what it would need.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from chainwatch.chain.latest import LatestReader
from chainwatch.domain.batches import LatestLease
from chainwatch.domain.desired import Facts, Hold
from chainwatch.errors import ChainDisagrees, Held, OverBudget, Paused, SourceBehind, Transient
from chainwatch.runtime.clock import Clock
from chainwatch.store.holds import Holds, Scope
from chainwatch.store.operations import Operations
from chainwatch.store.standings import Standings
from provisioner.model import DesiredMachine, Verb
from provisioner.moments import utc
from provisioner.steps.step import Step

HOUR: Final = 3600


@dataclass(frozen=True, slots=True)
class Guards:
    """The guards of one installation; `budget` is destroys per hour (wall time)."""

    holds: Holds
    operations: Operations
    standings: Standings
    latest: Mapping[str, LatestReader]
    clock: Clock
    budget: int

    async def admit(self, facts: Facts) -> None:
        """Let a pass go on at all. Raises SourceBehind while the lease's source is catching up.

        An operator's order to suspend needs no chain; but while its source is read again, what is
        stored of the lease is less than was known, and must not be written onto its machine.
        """
        if facts.source.rereading:
            raise SourceBehind("its source is being read again by order")
        if not facts.source.caught_up and facts.hold is not Hold.SUSPEND:
            raise SourceBehind("its source has not read up to the confirmed head yet")

    async def allow(self, step: Step, want: DesiredMachine, facts: Facts) -> None:
        """Let `step` run. Raises Paused, Held, OverBudget, SourceBehind or ChainDisagrees."""
        await self._not_paused("effects")
        if not grave(step, want):
            return
        if step.obeys:
            await self._ordered(step, want, facts)
        else:
            await self._irreversible(step, want, facts)

    async def _irreversible(self, step: Step, want: DesiredMachine, facts: Facts) -> None:
        await self._not_paused("destroys")
        if want.held or want.retirement is None:
            raise Held(f"{step.name} is not allowed while the lease is held or not finally ended")
        if not facts.source.live:
            raise SourceBehind("its source is stale: nothing is taken away")
        await self._within_budget(want)
        _agree(await self._asked_again(want, facts), want, facts)
        await self._nothing_new(want, facts)

    async def _ordered(self, step: Step, want: DesiredMachine, facts: Facts) -> None:
        """Let an order take away what is inside: of whoever owns the lease, now and for good.

        Whoever waits for that waits with the machine on: its shutdown is part of it.
        """
        await self._not_paused("destroys")
        if want.held:
            raise Held(f"{step.name} is not allowed while the lease is held")
        if not facts.source.live:
            raise SourceBehind("its source is stale: nothing is taken away")
        if _to_wipe(want):
            await self._within_budget(want)
        _same_owner(await self._asked_again(want, facts), want, facts)
        await self._nothing_new(want, facts)

    async def _not_paused(self, scope: Scope) -> None:
        pause = await self.holds.paused(scope)
        if pause is not None:
            raise Paused(f"{scope} are paused ({pause.reason}); `chainwatch resume-all` goes on")

    async def _within_budget(self, want: DesiredMachine) -> None:
        since = self.clock.now() - HOUR
        spent = await self.operations.destroys_since(since, other_than=(want.key, want.nonce))
        if spent >= self.budget:
            raise OverBudget(
                f"{spent} machines were destroyed within the hour and {self.budget} are allowed; "
                "this one waits"
            )

    async def _asked_again(self, want: DesiredMachine, facts: Facts) -> LatestLease:
        """Ask the chain at `latest`, from an endpoint at or past our cursor, one last time."""
        standing = await self.standings.of(want.key)
        if standing is None or standing.state.cursor is None:
            raise ChainDisagrees("the lease is no longer stored")
        reader = self.latest[standing.source]
        try:
            return await reader.lease_at_latest(facts.id.token, standing.state.cursor)
        except Transient as error:
            raise ChainDisagrees(f"the chain could not be asked once more: {error}") from error

    async def _nothing_new(self, want: DesiredMachine, facts: Facts) -> None:
        """See that nobody said otherwise while the chain was being asked."""
        standing = await self.standings.of(want.key)
        if standing is None or (standing.lease, standing.final) != (facts.lease, facts.final):
            raise ChainDisagrees("the chain said something new about the lease meanwhile")
        if standing.state.halted is not None or standing.state.reread_to is not None:
            raise SourceBehind("its source was halted, or is read again by order, meanwhile")
        if standing.hold is not None:
            raise Held("an operator has put the lease on hold meanwhile")
        await self._not_paused("effects")
        await self._not_paused("destroys")


def grave(step: Step, want: DesiredMachine) -> bool:
    """Say whether there is no way back from a step, or from what it is there for."""
    return step.irreversible or (step.obeys and _to_wipe(want))


def _to_wipe(want: DesiredMachine) -> bool:
    """Say whether a machine is ordered to be made anew; all that obeys is then for that."""
    return want.order is not None and want.order.verb is Verb.REINSTALL


def _agree(latest: LatestLease, want: DesiredMachine, facts: Facts) -> None:
    """Hold the answer at `latest` against the finalized view. Raises ChainDisagrees."""
    final = facts.final
    if final is not None and final.nonce != want.nonce and not final.burnt:
        return  # another mint of this token is final: this one can never come back
    if latest.owner is None:
        if final is not None and not final.burnt:
            raise ChainDisagrees("the token is gone at latest, but not in the finalized view")
        return
    if final is None or final.burnt:
        raise ChainDisagrees("the token exists at latest, but not in the finalized view")
    if latest.expires_at > latest.timestamp:
        raise ChainDisagrees(
            f"block {latest.block} shows it paid until {utc(latest.expires_at)}, not yet confirmed"
        )


def _same_owner(latest: LatestLease, want: DesiredMachine, facts: Facts) -> None:
    """See that the lease is whose it was when the order was given. Raises ChainDisagrees."""
    lease, final = facts.lease, facts.final
    if lease is None or final is None or (final.nonce, final.owner) != (want.nonce, lease.owner):
        raise ChainDisagrees("who owns the lease is not final yet")
    if latest.owner != lease.owner:
        raise ChainDisagrees(f"block {latest.block} shows another owner, not yet confirmed")

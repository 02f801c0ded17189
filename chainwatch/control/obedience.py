"""How an order ends: seen to be done, refused with a reason, or given up, and told once.

An order is the operator's trouble and not the lease's: one that can never be done ends, and the
lease goes on without it. What is done is judged by what was seen of the machine (`orders.ended`),
never by having called. How it fails: a crash before the end was written finds the same again.
"""

from dataclasses import dataclass, replace
from typing import Final

import structlog

from chainwatch.control.passes import Pass
from chainwatch.domain.desired import Facts
from chainwatch.runtime.clock import Clock
from chainwatch.store.wishes import Wishes
from provisioner.errors import (
    HypervisorDown,
    Locked,
    NodeDown,
    Permanent,
    ProvisionError,
    UnknownOutcome,
)
from provisioner.model import DesiredMachine
from provisioner.oplog import OperationLog
from provisioner.orders import ended
from provisioner.plan import TABLE, decide
from provisioner.site import Site

log = structlog.get_logger(__name__)

#: The steps that are there for an order alone.
OBEYING: Final = frozenset(step.name for step in TABLE if step.obeys)
#: How often what an order takes is tried before it is given up.
TRIES: Final = 10
#: Seconds of chain time after which what an owner asked for is not what he wants now.
TOO_OLD: Final = 86_400


@dataclass(frozen=True, slots=True)
class Obedience:
    """Ends orders."""

    wishes: Wishes
    log: OperationLog
    site: Site
    clock: Clock

    async def misled(self, facts: Facts) -> bool:
        """Refuse an order that nobody means any more; true if there was one.

        It was to a machine that its lease no longer is about, or an owner asked long ago.
        """
        order, lease = facts.order, facts.lease
        if order is None:
            return False
        said = "the chain says now that the lease has another machine than the one that was meant"
        if lease is not None and lease.nonce == facts.ordered_of:
            if facts.ordered_at is None or facts.source.chain_time - facts.ordered_at < TOO_OLD:
                return False
            said = "it was asked for more than a day ago, and could not be done since: ask again"
        await self._end(str(facts.id), order.number, "refused", said)
        return True

    async def busy_for(self, want: DesiredMachine) -> bool:
        """Say whether the operation under way is there for an order."""
        if want.order is None:
            return False
        operation = await self.log.open_for(want.key, want.nonce)
        return operation is not None and operation.step in OBEYING

    async def heed(self, seen: Pass) -> Pass:
        """End the order if the machine shows that it is done, or must be refused."""
        want, have = seen.want, seen.seen
        end = ended(want, have) if have is not None else None
        if have is None or want.order is None or end is None:
            return seen
        await self._end(want.key, want.order.number, end.outcome, end.said)
        want = replace(want, order=None)
        return replace(seen, want=want, decision=decide(self.site, want, have))

    async def give_up(self, want: DesiredMachine, error: ProvisionError) -> bool:
        """End an order whose step failed, if it is never to be; true if so."""
        if want.order is None or isinstance(
            error, Locked | NodeDown | HypervisorDown | UnknownOutcome
        ):
            return False
        if (
            not isinstance(error, Permanent)
            and await self.wishes.failures(want.order.number) < TRIES
        ):
            return False
        await self._end(want.key, want.order.number, "refused", str(error))
        return True

    async def _end(self, lease: str, number: int, outcome: str, said: str) -> None:
        log.info("order ended", lease=lease, order=number, outcome=outcome, said=said)
        await self.wishes.end(lease, number, outcome, said, now=self.clock.now())

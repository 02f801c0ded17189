"""Which terms a plan has: the operator's word on it, found by its number, else by its name. Pure.

A plan's name comes from a contract and may be anything; it is compared and never used otherwise. A
rule for one source goes before one for all of them, and a number before a name.
"""

from dataclasses import dataclass
from typing import Final

from chainwatch.domain.lease import LeaseId, Plan
from provisioner.terms import ANY_TERMS, Terms


@dataclass(frozen=True, slots=True)
class PlanRule:
    """The terms of plan number `plan`, or of plans named `name`, of one contract or of all.

    `contract` is (chain id, address in lower case); a number is always of one contract.
    """

    terms: Terms
    plan: int | None = None
    name: str | None = None
    contract: tuple[int, str] | None = None

    def fits(self, lease: LeaseId, plan: Plan) -> bool:
        """Say whether the rule speaks of `plan`, which `lease` is of."""
        here = (lease.chain_id, lease.contract.lower())
        if self.contract is not None and self.contract != here:
            return False
        return plan.id == self.plan if self.plan is not None else plan.name == self.name

    @property
    def rank(self) -> tuple[bool, bool]:
        """Return what sorts the rule that goes first to the front."""
        return (self.plan is None, self.contract is None)


@dataclass(frozen=True, slots=True)
class PlanRules:
    """All of them."""

    rules: tuple[PlanRule, ...] = ()

    def of(self, lease: LeaseId, plan: Plan | None) -> Terms:
        """Return the terms of `plan`; those that say nothing where no rule speaks of it."""
        if plan is None:
            return ANY_TERMS
        fitting = (rule for rule in self.rules if rule.fits(lease, plan))
        best = min(fitting, key=lambda rule: rule.rank, default=None)
        return best.terms if best else ANY_TERMS


#: An operator who says nothing about any plan.
NO_RULES: Final = PlanRules()

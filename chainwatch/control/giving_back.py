"""An operator gives back what was paid for a lease that can't be delivered: whether he may.

Law: nobody's machine is taken from under him. What may run, or is about to be delivered, is not
cancelled; who can't be asked whether it runs counts as one that does.
"""

from chainwatch.chain.sender import lease_calls
from chainwatch.control.passes import Outcome
from chainwatch.domain.desired import Hold
from chainwatch.domain.lease import LeaseId
from chainwatch.domain.sendings import Intent, Kind
from provisioner.model import PowerState


def cancelling(source: str, lease: LeaseId, nonce: str) -> Intent:
    """Return the wish that all that was paid for a lease goes back; the same whoever wants it."""
    return Intent(source, Kind.CANCEL, str(lease), nonce, lease_calls.cancel(lease))


def not_cancelled(outcome: Outcome, name: str) -> str | None:
    """Say why a lease can't be cancelled by us, None when it can."""
    facts = outcome.facts
    if facts is None or facts.lease is None or facts.lease.burnt:
        return f"{name} is gone: there is nothing to give back"
    if facts.mints:
        return f"the contract of {name} knows no deliveries, and nothing that we could give back"
    if facts.hold is not None:
        lift = "release" if facts.hold is Hold.HOLD else "unsuspend"
        return f"{name} is held, and nothing is taken from it: `chainwatch {lift} {name}` first"
    lease, dealings = facts.lease, facts.dealings
    if lease.delivered_at:
        return f"{name} was delivered: only an admin of the contract can end it for its owner"
    if dealings.cancels(lease.nonce):
        return f"{name} is being cancelled already; `chainwatch show {name}` says how far that is"
    if dealings.wants(Kind.DELIVER, lease.nonce):
        return f"the delivery of {name} is under way"
    seen = [each.seen for each in outcome.passes if each.want.nonce == lease.nonce]
    if not seen or seen[0] is None:
        return f"it can't be seen whether the machine of {name} runs; try again"
    have = seen[0]
    idle = have.config is None or have.power is PowerState.STOPPED
    if have.operation is not None or not idle:
        return f"the machine of {name} runs, or is being worked on: stop it first"
    return None

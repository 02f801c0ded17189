"""What machine a lease should have: one frozen input, one pure function.

Everything that the daemon knows of a lease is in `Facts`; `desired` says how the machine with a
given nonce should look because of it, and `nonces` which machines there are to speak of. What the
confirmed head says may be followed while it is reversible; only the finalized view permits a
destroy (`Retirement`) and lets a new owner in. A hold, or a source that cannot be trusted now,
leaves machines as they are.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from chainwatch.domain.dealings import NOTHING, Dealings
from chainwatch.domain.events import ZERO_ADDRESS
from chainwatch.domain.lease import Lease, LeaseId, Phase, Plan, phase
from chainwatch.domain.plans import NO_RULES, PlanRules
from chainwatch.domain.sendings import Kind as Saying
from provisioner.model import (
    Access,
    DesiredMachine,
    Kind,
    MachineSpec,
    Order,
    Presence,
    Retirement,
)
from provisioner.terms import ANY_TERMS

#: The on-chain number of a kind of machine (`PlanDefined.kind`).
KINDS = {0: Kind.VM, 1: Kind.CONTAINER}


@dataclass(frozen=True, slots=True)
class Policy:
    """The site's own rules: the grace (s) where no plan tells one, and what plans decide here."""

    default_grace: int
    plans: PlanRules = NO_RULES


@dataclass(frozen=True, slots=True)
class SourceView:
    """What a source says of time and of itself; times are chain seconds.

    `caught_up`: since the start, the cursor has reached the confirmed head. `live`: the head has
    been seen lately and the cursor is at it. `final_time` is None before anything is final.
    `rereading`: by order it is read again, and has been known further than it is now.
    """

    chain_time: int
    final_time: int | None
    caught_up: bool
    live: bool
    halted: bool
    rereading: bool = False


class Hold(StrEnum):
    """An operator's word on one lease: take nothing away, or suspend it now (abuse).

    Both keep the machine from being destroyed.
    """

    HOLD = "hold"
    SUSPEND = "suspend"


@dataclass(frozen=True, slots=True)
class Facts:
    """All that decides about one lease.

    `lease` is folded to the confirmed head, `final` to the finalized block; either is None where
    its view knows no such lease. `former` are nonces that this token had in other mints. `order` is
    the next one, `ordered_of` the nonce of the machine that it is to, and `ordered_at` when its
    owner asked for it (chain time); `unripe` that there is one which waits for the finalized view.
    `delivers` says that its contract knows deliveries, `mints` that whoever holds a credential that
    we mint owns it; `dealings` is what was said of its own, and
    `larger` the plan of the upgrade that is asked for; `answers` says that we answer there.
    """

    id: LeaseId
    lease: Lease | None
    final: Lease | None
    plan: Plan | None
    source: SourceView
    hold: Hold | None
    former: frozenset[str] = frozenset()
    order: Order | None = None
    ordered_of: str = ""
    ordered_at: int | None = None
    unripe: bool = False
    delivers: bool = False
    mints: bool = False
    dealings: Dealings = NOTHING
    larger: Plan | None = None
    answers: bool = True

    @property
    def nonces(self) -> tuple[str, ...]:
        """Every machine that this lease is about, the one that is paid for first."""
        current = (self.lease.nonce,) if self.lease else ()
        return current + tuple(sorted(self.former - set(current)))


def desired(facts: Facts, nonce: str, policy: Policy) -> DesiredMachine:
    """Return how the machine (lease, `nonce`) should look."""
    lease = facts.lease if facts.lease and facts.lease.nonce == nonce else None
    access = _access(facts, lease)
    return DesiredMachine(
        key=str(facts.id),
        nonce=nonce,
        name=machine_name(facts.id, nonce),
        presence=_presence(facts, lease),
        spec=_spec(_sold(facts)) if lease and not facts.dealings.cancels(nonce) else None,
        access=access,
        held=facts.hold is not None,
        ended=not _paid(facts, lease),
        at=facts.source.chain_time,
        retirement=_retirement(facts, nonce, policy),
        gecos=_gecos(facts, access),
        order=facts.order if lease and facts.ordered_of == nonce else None,
        terms=policy.plans.of(facts.id, _sold(facts)) if lease else ANY_TERMS,
        before=_spec(facts.plan) if lease and grows(facts) else None,
    )


def machine_name(lease: LeaseId, nonce: str) -> str:
    """Return a machine's name: a DNS label that tells the token and which mint of it."""
    token = str(lease.token)
    return f"lease-{token if len(token) <= 20 else 'x' + token[-19:]}-{nonce[:8]}"


def deadline(facts: Facts) -> int | None:
    """Return the chain time at which this lease will want something else by itself."""
    if facts.lease is None or phase(facts.lease, facts.source.chain_time) is not Phase.ACTIVE:
        return None
    wanted = facts.dealings.upgrade
    if wanted is None or wanted.deadline <= facts.source.chain_time:
        return facts.lease.expires_at
    return min(facts.lease.expires_at, wanted.deadline)


def _paid(facts: Facts, lease: Lease | None) -> bool:
    return lease is not None and phase(lease, facts.source.chain_time) is Phase.ACTIVE


def _presence(facts: Facts, lease: Lease | None) -> Presence:
    if facts.hold is Hold.SUSPEND:
        return Presence.SUSPENDED
    if _paid(facts, lease):
        return Presence.RUNNING
    trusted = facts.source.live and not facts.source.halted
    return Presence.SUSPENDED if trusted and facts.hold is None else Presence.AS_IS


def grows(facts: Facts) -> bool:
    """Say whether the machine is to become one of the larger plan before the lease does.

    Where nobody would say that it is done, its owner would have it for nothing.
    """
    lease, wanted = facts.lease, facts.dealings.upgrade
    if not facts.answers or lease is None or wanted is None or facts.larger is None:
        return False
    if facts.dealings.has(Saying.REFUSE, wanted.cause(lease.nonce)):
        return False
    return facts.source.chain_time < wanted.deadline


def is_settled(facts: Facts, lease: Lease) -> bool:
    """Say whether it can't be taken back who owns the lease: its buyer, or who is final.

    A delivery does not wait for it, or passing a token to and fro would keep it off; what is told
    with it does, and who may enter.
    """
    final = facts.final
    return lease.generation == 0 or (
        final is not None and (final.nonce, final.generation) == (lease.nonce, lease.generation)
    )


def _sold(facts: Facts) -> Plan | None:
    return facts.larger if grows(facts) else facts.plan


def _spec(plan: Plan | None) -> MachineSpec | None:
    if plan is None or not plan.defined or plan.kind not in KINDS:
        return None
    return MachineSpec(KINDS[plan.kind], plan.cores, plan.memory_mib, plan.disk_gib)


def _access(facts: Facts, lease: Lease | None) -> Access:
    """Say who may enter: a buyer at once, who bought it from him only when that is final."""
    if lease is None or lease.burnt:
        return Access(0, ZERO_ADDRESS, "")
    settled = is_settled(facts, lease)
    return Access(lease.generation, lease.owner, lease.ssh_key if settled else "", settled=settled)


def _gecos(facts: Facts, access: Access) -> str:
    """Return what the account says of its owner: a wallet that may log in by its signature.

    While it is not final whose the lease is, that is nobody's. Of a credential the number is said
    as soon as there is one, which is after the account was first written.
    """
    wallet = access.owner.lower() if access.settled else ZERO_ADDRESS
    if not re.fullmatch(r"0x[0-9a-f]{40}", wallet):
        wallet = ZERO_ADDRESS
    token = facts.dealings.credential if facts.mints else facts.id.token
    return f"wallet={wallet}" if token is None else f"wallet={wallet},nft={token}"


def _retirement(facts: Facts, nonce: str, policy: Policy) -> Retirement | None:
    """Return the permission to destroy, as far as the finalized view gives one.

    A mint that is no longer on the chain (or not of this nonce) ended when nobody knows: its
    grace then runs from its suspension alone.
    """
    final, final_time = facts.final, facts.source.final_time
    if final_time is None or facts.hold or facts.source.halted:
        return None
    grace = facts.plan.grace if facts.plan and facts.plan.defined else policy.default_grace
    if final is None or final.nonce != nonce:
        current = facts.lease is not None and facts.lease.nonce == nonce
        return None if current else Retirement(0, policy.default_grace, final_time)
    if phase(final, final_time) is Phase.ACTIVE:
        return None
    return Retirement(0 if final.burnt else final.expires_at, grace, final_time)

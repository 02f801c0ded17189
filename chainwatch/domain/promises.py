"""What is owed on the chain because of how a lease and its machine stand. Pure.

Law: a delivery follows from a machine that was observed running, and once it is under way nothing
else does; what was paid goes back at once when it can't be delivered any more, and never while the
machine runs; a lease is burnt when the finalized view ends it, its grace is over, and its machine
is gone. Whoever owns the lease is told how to get in when his key is final, and told anew when the
way becomes another (`domain/tellings.py`).
"""

from dataclasses import dataclass

from chainwatch.domain.desired import Facts, Hold
from chainwatch.domain.lease import Lease, Phase, phase
from chainwatch.domain.sealing import is_key
from chainwatch.domain.sendings import Kind
from chainwatch.domain.tellings import Due, Telling, Way, due, last_told


@dataclass(frozen=True, slots=True)
class Shown:
    """What a pass saw of the machine that is paid for.

    `started`: it was observed running once; `running`: it may run now; `gone`: there is none, and
    none is owed; `grown`: it has all that the larger plan has; `cramped`: why it had not when that
    was last tried; `hopeless`: why it never will; `way`: the way in, as soon as the machine is set
    up for it.
    """

    started: bool = False
    running: bool = True
    gone: bool = False
    grown: bool = False
    cramped: str | None = None
    hopeless: str | None = None
    way: Way | None = None


@dataclass(frozen=True, slots=True)
class Promise:
    """Something that is owed on the chain, and because of what; `said` tells the owner why.

    `asks`: only if the guest has other host keys than its owner was told.
    """

    kind: Kind
    cause: str
    said: str = ""
    asks: bool = False


def promised(facts: Facts, shown: Shown, *, gives_back: bool = True) -> Promise | None:
    """Return what is owed now and not wanted yet.

    `gives_back` says that what is not delivered in time is cancelled without being asked.
    """
    lease, source = facts.lease, facts.source
    trusted = source.caught_up and source.live and not source.halted and not source.rereading
    if lease is None or lease.burnt or not trusted:
        return None
    if facts.mints:
        owed = _credential(facts, lease, shown)
    elif not lease.delivered_at:
        owed = _undelivered(facts, lease, shown, gives_back=gives_back)
    else:
        owed = (
            _upgrade(facts, lease, shown) or _connection(facts, lease, shown) or _end(facts, shown)
        )
    return None if owed is None or facts.dealings.has(owed.kind, owed.cause) else owed


def _credential(facts: Facts, lease: Lease, shown: Shown) -> Promise | None:
    """Mint the credential of a machine that is there, once its subscription is final.

    What is minted can't be taken back, and one that was minted before its subscription, as it would
    be after a reorg, is linked with nothing.
    """
    final = facts.final
    if facts.dealings.credential is not None or final is None or final.nonce != lease.nonce:
        return None
    if not shown.started or facts.hold is Hold.SUSPEND:
        return None
    if phase(lease, facts.source.chain_time) is not Phase.ACTIVE:
        return None
    if facts.dealings.has(Kind.MINT, lease.nonce):
        return None
    return Promise(Kind.MINT, f"{lease.nonce} from {facts.dealings.next_credential}")


def reader(facts: Facts, lease: Lease) -> str:
    """Return whoever owns the lease now, by his present key, in the words of a telling."""
    return f"{lease.generation}:{facts.dealings.keys_by}"


def telling(facts: Facts, lease: Lease, way: Way) -> Telling:
    """Return what whoever owns the lease now, by his present key, is to be told."""
    last, life = last_told(facts.dealings), way.life
    return Telling(
        nonce=lease.nonce,
        reader=reader(facts, lease),
        after=0 if last is None else last.id,
        place=way.place,
        made=life.made,
        started=life.started,
    )


def can_seal(lease: Lease) -> bool:
    """Say whether the lease has an encryption key, and one to which something can be sealed."""
    key = bytes.fromhex(lease.encryption_key.removeprefix("0x"))
    return bool(key) and is_key(key)


def _undelivered(facts: Facts, lease: Lease, shown: Shown, *, gives_back: bool) -> Promise | None:
    dealings, now = facts.dealings, facts.source.chain_time
    if dealings.cancels(lease.nonce) or dealings.has(Kind.DELIVER, lease.nonce):
        return _overdue(facts, lease, shown) if gives_back else None
    if now >= lease.expires_at:
        return _overdue(facts, lease, shown) if gives_back else None
    if not shown.started or facts.hold is Hold.SUSPEND:
        return None
    return Promise(Kind.DELIVER, lease.nonce)


def _overdue(facts: Facts, lease: Lease, shown: Shown) -> Promise | None:
    """Give back what is not delivered when its time is over for good."""
    final, at = facts.final, facts.source.final_time
    if final is None or at is None or final.nonce != lease.nonce or final.burnt:
        return None
    if final.delivered_at or at < final.expires_at or shown.running or facts.hold is not None:
        return None
    return Promise(Kind.CANCEL, lease.nonce)


def _connection(facts: Facts, lease: Lease, shown: Shown) -> Promise | None:
    final, way = facts.final, shown.way
    if not can_seal(lease) or final is None or not shown.started or way is None:
        return None
    if phase(lease, facts.source.chain_time) is not Phase.ACTIVE:
        return None
    who = (final.nonce, final.generation, final.encryption_key, bool(final.delivered_at))
    if who != (lease.nonce, lease.generation, lease.encryption_key, True):
        return None
    now = telling(facts, lease, way)
    wanted = due(facts.dealings, now, way.life.begun)
    if wanted is Due.NO:
        return None
    return Promise(Kind.PUBLISH, str(now), asks=wanted is Due.ASK)


def _upgrade(facts: Facts, lease: Lease, shown: Shown) -> Promise | None:
    wanted = facts.dealings.upgrade
    if wanted is None:
        return None
    cause = wanted.cause(lease.nonce)
    if facts.dealings.has(Kind.REFUSE, cause):
        return None
    if facts.source.chain_time >= wanted.deadline:
        late = "it was not done within the time that was promised"
        said = late if shown.cramped is None else f"{late}: {shown.cramped}"
        return Promise(Kind.REFUSE, cause, said)
    if shown.hopeless is not None:
        return Promise(Kind.REFUSE, cause, shown.hopeless)
    if not shown.grown or facts.dealings.has(Kind.UPGRADE, cause):
        return None
    return Promise(Kind.UPGRADE, cause)


def _end(facts: Facts, shown: Shown) -> Promise | None:
    final, at, plan = facts.final, facts.source.final_time, facts.plan
    if final is None or at is None or plan is None or not plan.defined or facts.hold is not None:
        return None
    if final.burnt or facts.lease is None or final.nonce != facts.lease.nonce:
        return None
    over = final.delivered_at and at >= final.expires_at + plan.grace
    still = facts.lease.expires_at == final.expires_at
    return Promise(Kind.BURN, final.nonce) if over and still and shown.gone else None

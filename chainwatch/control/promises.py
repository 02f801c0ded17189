"""What a pass leaves owed on the chain: a delivery, how to get in, an answer, or an end.

Law: what is owed follows from what the pass saw, and is written down in the commit that ends the
pass; a crash before it finds the same again. What is told to a buyer is sealed to his key for this
lease alone, with an ephemeral key of its own; a key to which nothing can be sealed costs nobody
anything: he is delivered without, and told when he publishes another. The guest may lie about its
host keys, or be silent; then it is told without them, and anew when it says them. Who is told too
often waits, and is woken by chain time when he may be told. Why there was no room for an upgrade
is remembered in memory only, for its refusal: after a restart that says no more than that it is
late.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import structlog
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from chainwatch.chain.sender import credential_calls, lease_calls
from chainwatch.control.giving_back import cancelling
from chainwatch.control.passes import Outcome, Pass
from chainwatch.domain.desired import Facts, grows, is_settled
from chainwatch.domain.details import Details, written
from chainwatch.domain.lease import Lease, LeaseId
from chainwatch.domain.promises import Promise, Shown, can_seal, promised, telling
from chainwatch.domain.sealing import Place, Unsealable, sealed
from chainwatch.domain.sendings import Call, Intent, Kind
from chainwatch.domain.tellings import UNREAD, Way, again_at, digest, is_news
from chainwatch.runtime.clock import Clock
from chainwatch.store.dealings import Owed
from chainwatch.store.operations import Operations
from provisioner.errors import Permanent, ProvisionError
from provisioner.model import Observed, PowerState
from provisioner.ports import GuestShells
from provisioner.site import Site
from provisioner.steps.mark_started import MARK_STARTED

log = structlog.get_logger(__name__)

_TELLING: Final = (Kind.DELIVER, Kind.PUBLISH)

_PLAIN: Final[Mapping[Kind, Callable[[LeaseId], Call]]] = {
    Kind.BURN: lease_calls.burn,
}
_ANSWERS: Final[Mapping[Kind, Callable[[LeaseId, int, int], Call]]] = {
    Kind.UPGRADE: lease_calls.upgrade,
    Kind.REFUSE: lease_calls.refuse,
}


@dataclass(frozen=True, slots=True)
class Later:
    """Something is owed, and not before `after` seconds from now."""

    after: int


@dataclass(frozen=True, slots=True)
class Promises:
    """Works out what is owed on contracts that we send to: `sources` by (chain id, contract).

    `news` is called by source when something new is wanted there. `gives_back` says that what was
    not delivered in time is cancelled without being asked; `credentials` are the contracts, by
    source, whose tokens say who owns its leases.
    """

    sources: Mapping[tuple[int, str], str]
    guests: GuestShells
    operations: Operations
    site: Site
    clock: Clock
    gives_back: bool
    credentials: Mapping[str, str] = field(default_factory=dict)
    news: Mapping[str, Sequence[Callable[[], None]]] = field(default_factory=dict)
    _asked: dict[str, int] = field(default_factory=dict)
    _cramped: dict[str, str] = field(default_factory=dict)

    @property
    def answered(self) -> frozenset[str]:
        """The sources to whose contracts we send."""
        return frozenset(self.sources.values())

    def source_of(self, lease: LeaseId) -> str | None:
        """Return the source through which a lease's contract is told things; None: it is not."""
        return self.sources.get((lease.chain_id, lease.contract))

    async def of(self, outcome: Outcome) -> Owed | Later | None:
        """Return what is owed because of what a pass saw, None when nothing new is."""
        facts = outcome.facts
        source = self.source_of(facts.id) if facts else None
        if facts is None or facts.lease is None or source is None or outcome.refused is not None:
            return None
        seen = _of_lease(outcome, facts.lease)
        if seen is None:
            return None
        shown = await self._shown(facts, facts.lease, outcome, seen)
        owed = promised(facts, shown, gives_back=self.gives_back)
        if owed is None:
            return None
        if owed.kind in _TELLING:
            return await self._telling(facts, facts.lease, seen, owed, source)
        if owed.kind is Kind.CANCEL:
            return self._owed(facts, owed, cancelling(source, facts.id, owed.cause))
        call = self._call(facts, facts.lease, owed, source)
        return self._owed(facts, owed, _intent(facts, owed, call, source))

    def _owed(self, facts: Facts, owed: Promise, intent: Intent) -> Owed:
        log.info("owed", lease=str(facts.id), kind=owed.kind, cause=owed.cause)
        wanted = facts.dealings.upgrade
        refused = wanted.plan if wanted and owed.kind is Kind.REFUSE else None
        return Owed(intent, self.clock.now(), refused, owed.said)

    async def way(self, outcome: Outcome) -> Way | None:
        """Return the way in that a pass saw set up; None where there is none, or not yet."""
        facts = outcome.facts
        lease = facts.lease if facts else None
        seen = _of_lease(outcome, lease) if lease else None
        if facts is None or seen is None:
            return None
        return await self._way(seen) if _shown(facts, outcome, seen).started else None

    def _why_not_grown(self, facts: Facts, seen: Pass) -> str | None:
        """Say why there was no room for an upgrade when last looked, also when it is too late."""
        lease = str(facts.id)
        if seen.cramped is not None:
            self._cramped[lease] = str(seen.cramped)
        elif facts.dealings.upgrade is None or grows(facts):
            self._cramped.pop(lease, None)
        return self._cramped.get(lease)

    def ring(self, source: str) -> None:
        """Say that there is something to send on a source."""
        for call in self.news.get(source, ()):
            call()

    def _call(self, facts: Facts, lease: Lease, owed: Promise, source: str) -> Call:
        if owed.kind is Kind.MINT:
            return credential_calls.mint(facts.id, lease.owner, self.credentials[source])
        wanted = facts.dealings.upgrade
        if wanted is not None and owed.kind in _ANSWERS:
            return _ANSWERS[owed.kind](facts.id, wanted.plan, wanted.deadline)
        return _PLAIN[owed.kind](facts.id)

    async def _shown(self, facts: Facts, lease: Lease, outcome: Outcome, seen: Pass) -> Shown:
        cramped = self._why_not_grown(facts, seen)
        shown = replace(_shown(facts, outcome, seen), cramped=cramped)
        if not (shown.started and lease.delivered_at and can_seal(lease)):
            return shown
        return replace(shown, way=await self._way(seen))

    async def _telling(
        self, facts: Facts, lease: Lease, seen: Pass, owed: Promise, source: str
    ) -> Owed | Later | None:
        """Return what tells the owner his way in, with the host keys that the guest says now."""
        way, key, anew = await self._way(seen), str(facts.id), owed.kind is Kind.PUBLISH
        if way is None or (owed.asks and self._asked.get(key) == way.life.started):
            return None
        now, wall = telling(facts, lease, way), self.clock.now()
        wait = again_at(facts.dealings, now, wall) if anew else None
        if wait is not None:
            return Later(max(1, wait - wall))
        blob = b""
        if is_settled(facts, lease) and lease.encryption_key:
            details = await self._details(seen)
            keys = digest(*details.host_keys) if details.host_keys else UNREAD
            now = replace(now, keys=keys)
            if owed.asks and not is_news(facts.dealings, now):
                if keys != UNREAD:
                    self._asked[key] = way.life.started
                return None
            blob = _blob(facts.id, lease, details)
        tell = lease_calls.publish if anew else lease_calls.deliver
        call = tell(facts.id, lease.owner, blob)
        owed = replace(owed, cause=str(now))
        return self._owed(facts, owed, _intent(facts, owed, call, source))

    async def _way(self, seen: Pass) -> Way | None:
        """Return the way into a machine; None while it is set to other addresses than are told."""
        if seen.seen is None or not self.site.addressed(seen.want, seen.seen):
            return None
        told = self._place(seen)
        place = digest(told.user, told.ipv4, told.ipv6, str(told.port))
        return Way(place, await self.operations.life(seen.want.key, seen.want.nonce))

    def _place(self, seen: Pass) -> Details:
        if seen.seen is None or seen.seen.vmid is None:
            raise LookupError("there is no machine to tell of")
        addresses = self.site.pool.addresses(seen.seen.vmid, seen.want.terms)
        return Details(
            user=self.site.account(seen.seen.kind),
            ipv4=_bare(addresses.ipv4),
            ipv6=_bare(addresses.ipv6),
        )

    async def _details(self, seen: Pass) -> Details:
        have = seen.seen
        keys = await self._host_keys(have, have.vmid) if have and have.vmid is not None else ()
        return replace(self._place(seen), host_keys=keys)

    async def _host_keys(self, have: Observed, vmid: int) -> tuple[str, ...]:
        if have.node is None:
            return ()
        try:
            return await self.guests.of(have.kind).host_keys(have.node, vmid)
        except ProvisionError as error:
            log.info("no host keys", vmid=vmid, why=str(error))
            return ()


def _intent(facts: Facts, owed: Promise, call: Call, source: str) -> Intent:
    return Intent(source, owed.kind, str(facts.id), owed.cause, call)


def _blob(lease: LeaseId, state: Lease, details: Details) -> bytes:
    """Return how to get in, for the owner alone; nothing where nothing can be sealed to him."""
    key = bytes.fromhex(state.encryption_key.removeprefix("0x"))
    place = Place(lease.chain_id, lease.contract, lease.token)
    try:
        return sealed(written(details), key, place, X25519PrivateKey.generate())
    except Unsealable as error:
        log.warning("nothing can be sealed", lease=str(lease), why=str(error))
        return b""


def _of_lease(outcome: Outcome, lease: Lease) -> Pass | None:
    return next((each for each in outcome.passes if each.want.nonce == lease.nonce), None)


def _shown(facts: Facts, outcome: Outcome, current: Pass) -> Shown:
    have, step = current.seen, current.decision.step if current.decision else None
    hopeless = _hopeless(facts, current)
    if have is None or current.error is not None:
        return Shown(hopeless=hopeless)
    marked = current.acted and step is MARK_STARTED
    still = have.operation is None and not current.acted
    there = have.config is not None
    return Shown(
        started=there and (have.stamps.started or marked),
        running=not still or (there and have.power is not PowerState.STOPPED),
        gone=still and not there and not have.leftovers and all(p.settled for p in outcome.passes),
        grown=((still and current.settled) or current.last) and _has_grown(facts, current, have),
        hopeless=hopeless,
    )


def _has_grown(facts: Facts, current: Pass, have: Observed) -> bool:
    spec, config = current.want.spec, have.config
    if not grows(facts) or spec is None or config is None:
        return False
    hardware = (config.settings.cores, config.settings.memory_mib)
    return hardware == (spec.cores, spec.memory_mib) and config.disk_gib >= spec.disk_gib


def _hopeless(facts: Facts, current: Pass) -> str | None:
    """Say why the machine never becomes the larger one that is asked for, if so."""
    if facts.dealings.upgrade is None:
        return None
    if facts.larger is None or not facts.larger.defined:
        return f"nobody knows what plan {facts.dealings.upgrade.plan} is"
    if grows(facts) and isinstance(current.error, Permanent):
        return str(current.error)
    return None


def _bare(address: str | None) -> str:
    return (address or "").partition("/")[0]

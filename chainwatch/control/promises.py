"""What a pass leaves owed on the chain: a delivery, how to get in, an answer, or an end.

Law: what is owed follows from what the pass saw, and is written down in the commit that ends the
pass; a crash before it finds the same again. What is told to a buyer is sealed to his key for this
lease alone, with an ephemeral key of its own; a key to which nothing can be sealed costs nobody
anything: he is delivered without, and told when he publishes another. The guest may lie about its
host keys, or be silent; then it is told without them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from chainwatch.chain.sender import credential_calls, lease_calls
from chainwatch.control.passes import Outcome, Pass
from chainwatch.domain.desired import Facts, grows
from chainwatch.domain.details import Details, written
from chainwatch.domain.lease import Lease, LeaseId
from chainwatch.domain.promises import Promise, Shown, is_settled, promised
from chainwatch.domain.sealing import Place, Unsealable, sealed
from chainwatch.domain.sendings import Call, Intent, Kind
from chainwatch.runtime.clock import Clock
from chainwatch.store.dealings import Owed
from provisioner.errors import Permanent, ProvisionError
from provisioner.model import Observed, PowerState
from provisioner.ports import GuestShells
from provisioner.site import Site
from provisioner.steps.mark_started import MARK_STARTED

log = structlog.get_logger(__name__)

#: How often an owner is told anew in a day: telling costs us more than changing a key costs him.
OFTEN: Final = 4
DAY: Final = 86_400

_PLAIN: Final[Mapping[Kind, Callable[[LeaseId], Call]]] = {
    Kind.CANCEL: lease_calls.cancel,
    Kind.BURN: lease_calls.burn,
    Kind.UPGRADE: lease_calls.upgrade,
    Kind.REFUSE: lease_calls.refuse,
}


@dataclass(frozen=True, slots=True)
class Promises:
    """Works out what is owed on contracts that we send to: `sources` by (chain id, contract).

    `news` is called by source when something new is wanted there. `gives_back` says that what was
    not delivered in time is cancelled without being asked; `credentials` are the contracts, by
    source, whose tokens say who owns its leases.
    """

    sources: Mapping[tuple[int, str], str]
    guests: GuestShells
    site: Site
    clock: Clock
    gives_back: bool
    credentials: Mapping[str, str] = field(default_factory=dict)
    news: Mapping[str, Sequence[Callable[[], None]]] = field(default_factory=dict)

    def source_of(self, lease: LeaseId) -> str | None:
        """Return the source through which a lease's contract is told things; None: it is not."""
        return self.sources.get((lease.chain_id, lease.contract))

    async def of(self, outcome: Outcome) -> Owed | None:
        """Return what is owed because of what a pass saw, None when nothing new is."""
        facts = outcome.facts
        source = self.source_of(facts.id) if facts else None
        if facts is None or facts.lease is None or source is None or outcome.refused is not None:
            return None
        seen = _of_lease(outcome, facts.lease)
        if seen is None:
            return None
        owed = promised(facts, _shown(facts, outcome, seen), gives_back=self.gives_back)
        if owed is None or (owed.kind is Kind.PUBLISH and self._told_often(facts)):
            return None
        call = await self._call(facts, facts.lease, seen, owed, source)
        log.info("owed", lease=str(facts.id), kind=owed.kind, cause=owed.cause)
        intent = Intent(source, owed.kind, str(facts.id), owed.cause, call)
        wanted = facts.dealings.upgrade
        refused = wanted.plan if wanted and owed.kind is Kind.REFUSE else None
        return Owed(intent, self.clock.now(), refused, owed.said)

    def _told_often(self, facts: Facts) -> bool:
        """Say whether an owner changes his key so often that he has to wait to be told."""
        since = self.clock.now() - DAY
        times = [each.wanted_at for each in facts.dealings.dealt if each.kind is Kind.PUBLISH]
        return sum(at > since for at in times) >= OFTEN

    def tell(self, intent: Intent) -> None:
        """Say that something new is wanted on a source."""
        for call in self.news.get(intent.source, ()):
            call()

    async def _call(
        self, facts: Facts, lease: Lease, seen: Pass, owed: Promise, source: str
    ) -> Call:
        if owed.kind is Kind.MINT:
            return credential_calls.mint(facts.id, lease.owner, self.credentials[source])
        if plain := _PLAIN.get(owed.kind):
            return plain(facts.id)
        blob = await self._blob(facts.id, lease, seen) if is_settled(facts, lease) else b""
        tell = lease_calls.deliver if owed.kind is Kind.DELIVER else lease_calls.publish
        return tell(facts.id, lease.owner, blob)

    async def _blob(self, lease: LeaseId, state: Lease, seen: Pass) -> bytes:
        """Return how to get in, for the owner alone; nothing where nothing can be sealed to him."""
        key = bytes.fromhex(state.encryption_key.removeprefix("0x"))
        if not key or seen.seen is None or seen.seen.vmid is None:
            return b""
        details = await self._details(seen, seen.seen, seen.seen.vmid)
        place = Place(lease.chain_id, lease.contract, lease.token)
        try:
            return sealed(written(details), key, place, X25519PrivateKey.generate())
        except Unsealable as error:
            log.warning("nothing can be sealed", lease=str(lease), why=str(error))
            return b""

    async def _details(self, seen: Pass, have: Observed, vmid: int) -> Details:
        addresses = self.site.pool.addresses(vmid, seen.want.terms)
        return Details(
            user=self.site.account(have.kind),
            ipv4=_bare(addresses.ipv4),
            ipv6=_bare(addresses.ipv6),
            host_keys=await self._host_keys(have, vmid),
        )

    async def _host_keys(self, have: Observed, vmid: int) -> tuple[str, ...]:
        if have.node is None:
            return ()
        try:
            return await self.guests.of(have.kind).host_keys(have.node, vmid)
        except ProvisionError as error:
            log.info("no host keys", vmid=vmid, why=str(error))
            return ()


def _of_lease(outcome: Outcome, lease: Lease) -> Pass | None:
    return next((each for each in outcome.passes if each.want.nonce == lease.nonce), None)


def _shown(facts: Facts, outcome: Outcome, current: Pass) -> Shown:
    have, step = current.seen, current.decision.step if current.decision else None
    hopeless = _hopeless(facts, current)
    if have is None or current.error is not None:
        return Shown(hopeless=hopeless)
    marked = current.last and step is MARK_STARTED
    still = have.operation is None and not current.acted
    there = have.config is not None
    return Shown(
        started=there and (have.stamps.started or marked),
        running=not still or (there and have.power is not PowerState.STOPPED),
        gone=still and not there and not have.leftovers and all(p.settled for p in outcome.passes),
        grown=((still and current.settled) or marked) and _has_grown(facts, current, have),
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

"""Giving a machine that proves nothing to a lease, on an operator's word.

Somebody edited its description, or moved it by hand and gave it another uuid: then nothing may be
done to it, and its lease waits. An operator who has looked can vouch for it. It is given name,
description, uuid and addresses as if it had been made here; since nobody knows whom it lets in, its
cable is pulled until its owner was let in. What may be somebody else's is refused, whoever asks.
How it fails: a crash on the way leaves it an orphan, or adopted; what was open is looked at.
"""

from dataclasses import dataclass, replace
from typing import Final

from chainwatch.control.reconciler import Reconciler
from chainwatch.control.resync import Resync
from chainwatch.domain.desired import desired
from chainwatch.errors import OperatorError
from chainwatch.store.leases import LeaseRow
from chainwatch.store.stores import Stores
from provisioner.errors import Locked, ProvisionError, UnknownOutcome
from provisioner.identity import uuid_of
from provisioner.model import DesiredMachine, GuestConfig, Identity, Kind, Stamps

#: The generation of whoever an adopted machine lets in: nobody's, so that the owner's follows.
UNKNOWN: Final = -1


@dataclass(frozen=True, slots=True)
class Candidate:
    """A machine that may become a lease's, and what is known of it.

    `refusal` says why it may not, None if it may.
    """

    vmid: int
    lease: str
    node: str
    name: str
    evidence: tuple[str, ...]
    refusal: str | None


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at a candidate, with what adopting it needs; `config` None: there is no such VM."""

    want: DesiredMachine
    node: str
    config: GuestConfig | None
    identity: Identity | None
    others: tuple[int, ...]
    occupant: str | None


@dataclass(frozen=True, slots=True)
class Adoption:
    """Looks at machines and adopts them."""

    stores: Stores
    reconciler: Reconciler
    resync: Resync

    async def examine(self, row: LeaseRow, vmid: int) -> Candidate:
        """Return what speaks for `vmid` being the machine of a lease, and what forbids it.

        Raises what the hypervisor raises.
        """
        return self._judged(row, vmid, await self._look(row, vmid))

    async def adopt(self, row: LeaseRow, vmid: int, reason: str, uid: int) -> Candidate:
        """Make `vmid` the machine of a lease. Raises OperatorError when that is refused."""
        if not reason.strip():
            raise OperatorError("say why: a reason is required, and kept in the audit")
        look = await self._look(row, vmid)
        found = self._judged(row, vmid, look)
        if found.refusal is not None or look.config is None:
            raise OperatorError(f"VM {vmid} is not adopted: {found.refusal}")
        key, clock, log = str(row.id), self.reconciler.clock, self.stores.operations
        text = f"VM {vmid}: {reason}"
        await self.stores.audit.append(uid, "adopt", key, text, now=clock.now())
        try:
            operation = await log.begin(key, "adopt", vmid, look.node, look.want.nonce)
        except Locked as error:
            raise OperatorError(f"VM {vmid} is not adopted now: {error}") from None
        try:
            await self._make_it_so(operation, vmid, look, look.config)
        except UnknownOutcome:
            await self._have_looked(key, f"VM {vmid} may be adopted: the answer was lost")
            raise  # left open: the next pass looks
        await self._have_looked(key, f"VM {vmid} was adopted")
        return found

    async def _have_looked(self, key: str, why: str) -> None:
        """Have a pass look at the lease, which may have been given up."""
        if not await self.stores.work.unpark(key):
            await self.stores.work.enqueue([key], why)
        await self.resync.survey()
        self.resync.wake()

    async def _make_it_so(
        self, operation: int, vmid: int, look: _Look, config: GuestConfig
    ) -> None:
        site, stamps = self.reconciler.site, Stamps(generation=UNKNOWN)
        settings = site.settings(look.want, vmid, config, stamps)
        description = site.describe(look.want, vmid, stamps)
        try:
            await self.resync.hypervisor.configure(
                look.node, vmid, settings, description, config.digest, kind=config.kind
            )
        except UnknownOutcome:
            raise
        except ProvisionError as error:
            await self.stores.operations.finish(operation, "failed", str(error))
            raise
        await self.stores.operations.finish(operation, "ok")

    async def _look(self, row: LeaseRow, vmid: int) -> _Look:
        facts = await self.reconciler.facts.of(str(row.id))
        if facts is None or row.lease is None or row.lease.burnt:
            raise OperatorError(f"{row.id} is no lease that has a machine")
        want = desired(replace(facts, order=None), row.nonce, self.reconciler.policy)
        survey = await self.resync.examine()
        snapshot = await self.resync.snapshots.get()
        guest = snapshot.guests.get(vmid)
        node = guest.node if guest else ""
        config = await self.resync.hypervisor.config(node, vmid, kind=guest.kind) if guest else None
        proof = self.reconciler.site.signer.prove(config.description, vmid) if config else None
        others = [
            guest_row.vmid
            for identity, guest_row in survey.identities
            if (identity.key, identity.nonce) == (want.key, want.nonce) and guest_row.vmid != vmid
        ]
        occupant = await self.stores.operations.occupant(vmid)
        return _Look(want, node, config, proof and proof[0], tuple(others), occupant)

    def _judged(self, row: LeaseRow, vmid: int, look: _Look) -> Candidate:
        return Candidate(
            vmid=vmid,
            lease=str(row.id),
            node=look.node,
            name=look.config.settings.name if look.config else "",
            evidence=tuple(self._evidence(vmid, look)),
            refusal=self._refusal(vmid, look),
        )

    def _refusal(self, vmid: int, look: _Look) -> str | None:
        site, config, key = self.reconciler.site, look.config, look.want.key
        if vmid not in site.pool:
            return f"it is not in our range, {site.pool.first} to {site.pool.last}"
        if config is None:
            return (
                "the cluster shows no such VM: was it moved or removed? look; or has the token "
                "lost its permissions? `chainwatch check` tells"
            )
        if config.template:
            return "it is a template"
        if look.want.spec is not None and config.kind is not look.want.spec.kind:
            return f"it is a {config.kind}, and the lease bought a {look.want.spec.kind}"
        if config.lock is not None:
            return f"it is locked ({config.lock}): where no task works on it, unlock it"
        if look.identity is not None and look.identity.key != key:
            return f"it proves to be {look.identity.key}"
        if look.occupant not in (None, key):
            return f"by our own records it is {look.occupant}"
        if look.others:
            return f"the lease has VM {', '.join(map(str, look.others))} already"
        mine = site.identity(look.want, vmid)
        if look.identity == mine and site.bears(mine, config):
            return "it proves to be this lease's already: there is nothing to adopt"
        return None

    def _evidence(self, vmid: int, look: _Look) -> list[str]:
        site, config = self.reconciler.site, look.config
        if config is None or vmid not in site.pool:
            return []
        shown, uuid = config.settings, uuid_of(site.identity(look.want, vmid))
        mac = site.pool.addresses(vmid).mac
        known = look.occupant == look.want.key
        return [
            f"its name is {shown.name!r}; the lease's machine is called {look.want.name!r}",
            *([_same("uuid", shown.uuid, uuid)] if config.kind is Kind.VM else []),
            _same("MAC address", shown.mac, mac),
            "our own records say that it is this lease's" if known else "our records know it not",
            "its description proves whose it is"
            if look.identity is not None
            else "its description proves nothing",
        ]


def _same(what: str, shown: str, wanted: str) -> str:
    if shown == wanted:
        return f"its {what} is the one that the lease's machine has there"
    return f"its {what} is {shown or 'missing'}; the lease's machine would have {wanted}"

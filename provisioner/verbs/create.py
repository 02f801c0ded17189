"""Make a machine, or finish the one that an earlier run began: the same command, the same machine.

The clone is the reservation. The VMID follows from the name where it is free, so a command that was
cut off right after its clone meets its own clone again, and of two that race for a name Proxmox
refuses one; that one then looks whose it is and finishes it too. So a VMID that the name leads to
is passed over only once it is known whose it is: a clone says so when it ends. A name belongs to
its owner: another one is refused it.

All commands have to read the quarantine alike, or one makes the machine at the VMID that for the
other still rests. Tasks say when a VMID was freed, but it is one's own clock that says how long ago
that was. So one that has rested long enough, and only just, is nobody's to take yet: it is waited
until it is free by every clock.
"""

import secrets
from collections.abc import Collection
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from ipaddress import ip_interface
from typing import Final

from provisioner.allocate import Pool
from provisioner.census import Found, Sighting, ours, unclear
from provisioner.driver import PASSING
from provisioner.errors import Declined, Locked, NoRoom, NotOurs, ProvisionError, Transient
from provisioner.model import Access, Card, DesiredMachine, Kind, Observed, Presence
from provisioner.names import key_of, place_of, shown
from provisioner.placement import Demand
from provisioner.steps.configure import CONFIGURE
from provisioner.steps.step import Step
from provisioner.terms import ANY_TERMS
from provisioner.verbs import tending, userdata
from provisioner.verbs.gecos import write_gecos
from provisioner.verbs.order import ROOT, Order
from provisioner.workshop import DAY, Workshop, wanted

#: How far two clocks may be apart, with what a command needs from its choice to its clone (s).
APART: Final = 300
_WORDS: Final = {Kind.VM: "virtual machine", Kind.CONTAINER: "container"}


@dataclass(frozen=True, slots=True)
class Made:
    """A machine as its maker is told of it; addresses without their prefix."""

    name: str
    vmid: int
    ip: str | None
    ipv6: str | None
    nft: int | None
    user: str


class Overtaken(ProvisionError):
    """Somebody else made the machine meanwhile; look again."""


async def create(shop: Workshop, order: Order) -> Made:
    """Make the machine that is ordered, and return it running."""
    _check(shop, order)
    while True:
        found, told = await _standing(shop, order.name)
        try:
            if found is None:
                vmid, card = await _make(shop, order, told)
            else:
                vmid, card = found.vmid, await _finish(shop, order, found)
        except Overtaken as error:
            await shop.patience.outlast(Locked(str(error)))
            continue
        await tending.tend(shop, order.name)
        if order.gecos is not None:
            await write_gecos(shop, order.name, order.gecos)
            card = replace(card, nft=order.gecos.nft)
        if userdata.snippets(shop, order) is not None:
            await userdata.drop_all(shop)  # an earlier run may have put another
        return made(shop, order.name, vmid, card)


async def plan(shop: Workshop, order: Order) -> Made:
    """Say what `create` would make now; reserves nothing, so the VMID is a guess."""
    _check(shop, order)
    found = await shop.found(order.name)
    if found is not None:
        return made(shop, order.name, found.vmid, _card(order, found))
    driver = shop.driver(None, node=order.node, user_data=userdata.snippets(shop, order))
    snapshot, now = await shop.snapshots.get(), shop.clock.now()
    cloning = shop.settings.site.cloned(ANY_TERMS, order.spec.kind)
    spec = order.spec
    demand = Demand(spec.memory_mib, spec.disk_gib, spec.kind, cloning=cloning)
    await driver.executor.rooms.offer(demand, snapshot, now)
    taken = set(snapshot.guests) | await shop.hypervisor.freed(now - shop.settings.quarantine)
    return made(shop, order.name, _choose(shop, order, taken), _new_card(shop, order))


def mock(shop: Workshop, order: Order) -> Made:
    """Say what `create` would make on a cluster without machines; asks nobody."""
    return made(shop, order.name, _choose(shop, order, frozenset()), _new_card(shop, order))


def made(shop: Workshop, name: str, vmid: int, card: Card) -> Made:
    """Return what a machine's maker is told."""
    addresses = shop.settings.site.pool.addresses(vmid)
    return Made(
        name,
        vmid,
        _plain(addresses.ipv4),
        _plain(addresses.ipv6),
        card.nft,
        shop.site(card).user,
    )


def _plain(address: str | None) -> str | None:
    return None if address is None else address.partition("/")[0]


# ------------------------------------------------------------------------------ is it there already


async def _standing(shop: Workshop, name: str) -> tuple[Found | None, AbstractSet[int]]:
    """Return the machine called `name` once everything that may be it says whose it is.

    With it come the VMIDs of which that is known. What appears meanwhile is not waited for: it may
    be a rival's, which the guard looks at.
    """
    waiting: Collection[int] | None = None
    told: AbstractSet[int] = frozenset()
    while True:
        try:
            sighting = await shop.census.look(name, waiting)
        except PASSING as error:
            await shop.patience.outlast(error)
            continue
        told |= sighting.told
        if (found := sighting.the(name)) is not None:
            return found, told
        still = [vmid for vmid in sighting.unclear if waiting is None or vmid in waiting]
        if not still:
            return None, told
        waiting = frozenset(still)
        await shop.patience.wait(str(unclear(name, map(sighting.unclear.__getitem__, still))))


def _card(order: Order, found: Found) -> Card:
    """Return the card of a machine that is there, if it is the same owner's."""
    if found.card is None:
        raise NotOurs(
            f"VM {found.vmid} is {order.name}, but its card does not hold: somebody edited its "
            "description"
        )
    if found.card.owner.lower() != order.owner.lower():
        raise Declined(f"{order.name} exists and belongs to {found.card.owner}: choose a name")
    if found.kind is not order.spec.kind:
        raise Declined(f"{order.name} exists and is a {_WORDS[found.kind]}: choose a name")
    return found.card


def _check(shop: Workshop, order: Order) -> None:
    """Refuse what could not be finished here, before anything is made."""
    userdata.check(shop, order, _want(order, _new_card(shop, order)))
    tending.check(shop, order)
    if order.spec.kind is not Kind.CONTAINER:
        return
    settled = shop.settings.proxmox
    if settled.os_template is None or settled.container_storage is None:
        raise Declined(
            "no container can be made here: write machines.os_template and "
            "machines.container_storage"
        )
    if order.gecos is not None and shop.nodes is None:
        raise Declined(
            "a wallet is written into a container over SSH to its node: write [nodes_ssh], or "
            "leave it out with --no-web3"
        )


async def _finish(shop: Workshop, order: Order, found: Found) -> Card:
    """Finish a machine that is there; one that was finished is left as it is."""
    card = _card(order, found)
    if found.stamps.suspended_at is not None:
        raise Declined(f"{order.name} exists and is suspended: use resume")
    if found.finished:
        shop.say(f"{order.name} exists already: VM {found.vmid}")
        return card
    try:
        ours(found, shop.settings.site)
    except Locked as error:
        raise Overtaken(str(error)) from error
    want = wanted(found, Presence.RUNNING, shop.clock.now(), spec=order.spec)
    if found.kind is Kind.VM:
        want = replace(want, access=Access(1, order.name, order.ssh_key))
    await shop.reach(found, want, userdata.snippets(shop, order))
    return card


# -------------------------------------------------------------------------------------- it is not


@dataclass(frozen=True, slots=True)
class _Others:
    """All VMIDs but some."""

    some: AbstractSet[int]

    def __contains__(self, vmid: object) -> bool:
        return vmid not in self.some


@dataclass(slots=True)
class _Guard:
    """Looks before the clone whether somebody else was quicker, and after it for a double.

    Of a machine that this look finds gone nothing is configured: its firewall would outlive it.
    `told` are the VMIDs of which it is known whose they are. Any other one that the name leads to
    may be this very machine, of a rival or of an earlier run: it is no reason to take the next.
    `leaving` are those that come out of their quarantine about now.
    """

    shop: Workshop
    order: Order
    want: DesiredMachine
    told: AbstractSet[int]
    meant: int | None = None
    leaving: AbstractSet[int] = frozenset()

    async def __call__(self, step: Step, have: Observed) -> None:
        name = self.order.name
        if step.creates:
            sighting = await self.shop.census.look(name, _Others(self.told))
            self.told |= sighting.told
            found = sighting.the(name)
            if found is not None and found.identity.nonce != self.want.nonce:
                raise Overtaken(f"{name} was made by somebody else meanwhile")
            if self.meant is not None and self.meant in sighting.unclear:
                raise Locked(sighting.unclear[self.meant])
            self.leaving = await self._leaving()
        elif step is CONFIGURE and have.stamps.configured is None:
            sighting = await self.shop.census.look(name, ())
            sighting.the(name)
            if have.vmid is not None and await self._gone(have.vmid, sighting):
                raise Transient(
                    f"VM {have.vmid} was removed before it was configured: another is made"
                )

    async def _gone(self, vmid: int, sighting: Sighting) -> bool:
        """Say whether it does not stand at `vmid`; the list may not show a new machine yet."""
        if vmid in sighting.unclear:
            return False
        snapshot = self.shop.snapshots.last
        if snapshot is not None and vmid in snapshot.guests:  # somebody else's, maybe
            return all(each.vmid != vmid for each in sighting.found)
        return await self.shop.hypervisor.vmid_is_free(vmid)

    async def _leaving(self) -> AbstractSet[int]:
        rest = self.shop.settings.quarantine
        if not rest:
            return frozenset()
        now, freed = self.shop.clock.now(), self.shop.hypervisor.freed
        return await freed(now - rest - APART) - await freed(now - rest)

    def choose(self, _: DesiredMachine, taken: AbstractSet[int]) -> int:
        """Choose a VMID. Raises Overtaken where it is not known whose it is."""
        snapshot = self.shop.snapshots.last
        untold = (snapshot.guests.keys() if snapshot else frozenset()) - self.told
        self.meant = _choose(self.shop, self.order, taken - untold)
        if self.meant in untold:
            raise Overtaken(f"VM {self.meant} may be {self.order.name}: it does not say yet")
        if self.meant in self.leaving:
            raise Overtaken(
                f"VMID {self.meant} has only just rested long enough: somebody else may think that "
                f"it still rests, so it is left for {APART} s more"
            )
        return self.meant


async def _make(shop: Workshop, order: Order, told: AbstractSet[int]) -> tuple[int, Card]:
    card = _new_card(shop, order)
    want = _want(order, card)
    guard = _Guard(shop, order, want, told)
    wanted_data = userdata.snippets(shop, order)
    driver = shop.driver(card, choice=guard.choose, node=order.node, user_data=wanted_data)
    have = await driver.reach(want, guard)
    if have.vmid is None:
        raise NotOurs(f"{order.name} vanished while it was made; run the same command again")
    return have.vmid, card


def _want(order: Order, card: Card) -> DesiredMachine:
    return DesiredMachine(
        key=key_of(order.name),
        nonce=secrets.token_hex(16),
        name=shown(order.name),
        presence=Presence.RUNNING,
        spec=order.spec,
        access=Access(1, order.name, order.ssh_key),
        held=False,
        ended=False,
        at=card.created_at,
        card=card,
    )


def _new_card(shop: Workshop, order: Order) -> Card:
    now = shop.clock.now()
    until = order.expires_at
    container = order.spec.kind is Kind.CONTAINER
    return Card(
        owner=order.owner,
        created_at=now,
        expires_at=now + order.days * DAY if until is None else until,
        nft=order.nft,
        user=ROOT if container else order.user or shop.settings.site.user,
        purpose=order.purpose,
        tags=order.tags,
        ssh_key=order.ssh_key if container else "",
    )


def _choose(shop: Workshop, order: Order, taken: AbstractSet[int]) -> int:
    """Return the VMID with the address that was asked for, else the one that the name leads to."""
    pool = shop.settings.site.pool
    asked = {
        _vmid_of(pool, version, address)
        for version, address in ((4, order.ip), (6, order.ipv6))
        if address is not None
    }
    if not asked:
        return pool.choose(taken, pool.first + place_of(order.name, pool.size))
    if len(asked) > 1:
        raise Declined(
            f"{order.ip} and {order.ipv6} go with different VMIDs "
            f"({', '.join(map(str, sorted(asked)))}): an address follows from its machine's VMID"
        )
    (vmid,) = asked
    if vmid in taken:
        raise NoRoom(f"VMID {vmid}, which that address goes with, is taken or rests")
    return vmid


def _vmid_of(pool: Pool, version: int, address: str) -> int:
    addresses = pool.ipv4 if version == 4 else pool.ipv6
    if addresses is not None:
        first = ip_interface(addresses.first).ip
        asked = ip_interface(address).ip
        if asked.version == first.version:
            vmid = pool.first + int(asked) - int(first)
            if vmid in pool:
                return vmid
    raise Declined(f"{address} is not among the addresses of this installation's VMIDs")

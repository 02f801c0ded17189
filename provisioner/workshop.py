"""Everything that one command works with, joined: settings, ports, a clock, and a voice.

Nothing here opens a connection. What a machine is to show follows from the site of the settings
and from the machine's own card (its account, its tags), so that a later command wants of it what
the first one did.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from provisioner.backends.proxmox.api import Api
from provisioner.backends.proxmox.commands import AgentCommands
from provisioner.backends.proxmox.containershell import ContainerShell
from provisioner.backends.proxmox.controls import ProxmoxControls
from provisioner.backends.proxmox.hypervisor import ProxmoxHypervisor
from provisioner.backends.proxmox.ostemplates import os_template
from provisioner.backends.proxmox.sight import require_sight
from provisioner.backends.proxmox.snapshot import Snapshots
from provisioner.backends.proxmox.volumes import ProxmoxVolumes
from provisioner.births import Bare, Births
from provisioner.census import Census, Found, ours
from provisioner.configuration import Configuration
from provisioner.controls import GuestCommands
from provisioner.doorbell import Doorbell
from provisioner.driver import PASSING, Clock, Driver, Patience
from provisioner.errors import Declined, Locked
from provisioner.executor import Choice, Executor
from provisioner.guest.commands import PctCommands
from provisioner.guest.container import PctShell
from provisioner.identity import Signer
from provisioner.intents import Intents
from provisioner.machines import Machines
from provisioner.model import (
    MAKING,
    Access,
    Card,
    DesiredMachine,
    Kind,
    MachineSpec,
    Observed,
    Presence,
    Retirement,
)
from provisioner.names import key_of, shown
from provisioner.ostemplates import OsTemplate
from provisioner.ports import ClusterSnapshot, NodeShell, Place
from provisioner.provenance import doubted
from provisioner.rooms import Rooms
from provisioner.shells import Shells
from provisioner.site import Site
from provisioner.snippets import Snippets as UserData
from provisioner.steps.step import Step
from provisioner.taskboard import TaskBoard
from provisioner.tasklists import TaskLists

#: For how many seconds a snapshot of the cluster serves to choose a place.
FRESH: Final = 5.0
_USER: Final = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
DAY: Final = 86_400


@dataclass(frozen=True)
class Workshop:
    """One command's means; `say` tells a person what happens, `seconds` bounds all waiting.

    `nodes` is None where nodes are not reached over SSH.
    """

    settings: Configuration
    api: Api
    clock: Clock
    say: Callable[[str], None]
    seconds: float
    nodes: NodeShell | None = None

    @property
    def reached(self) -> frozenset[str]:
        """The nodes that are reached over SSH."""
        return frozenset(() if self.settings.nodes is None else self.settings.nodes.doors)

    @cached_property
    def hypervisor(self) -> ProxmoxHypervisor:
        return ProxmoxHypervisor(
            self.api, self.settings.proxmox, self.clock.monotonic, freed_for=0
        )  # other commands free VMIDs too, and none records it

    @cached_property
    def controls(self) -> ProxmoxControls:
        return ProxmoxControls(self.api)

    @cached_property
    def containers(self) -> OsTemplate:
        return os_template(self.api, self.settings.proxmox)

    @cached_property
    def guest(self) -> AgentCommands:
        return AgentCommands(self.api, self.clock.sleep, self.clock.monotonic)

    def into(self, found: Found) -> GuestCommands:
        """Return the way to run commands in a machine. Raises Declined where none leads in."""
        if found.kind is Kind.VM:
            return self.guest
        if self.nodes is None:
            raise Declined(
                f"{found.name} is a container: only its node leads into it, over SSH; write "
                "[nodes_ssh], see docs/howto/nodes-ssh.md"
            )
        return PctCommands(self.nodes)

    @cached_property
    def snapshots(self) -> Snapshots:
        return Snapshots(self._whole, self.clock.monotonic, FRESH)

    async def _whole(self) -> ClusterSnapshot:
        """Read the cluster. Raises Untrusted where the token does not see all of our machines."""
        snapshot = await self.hypervisor.snapshot()
        await require_sight(self.api, self.settings.proxmox.pool)
        return snapshot

    @cached_property
    def census(self) -> Census:
        return Census(
            self.hypervisor,
            self.snapshots,
            self.settings.site,
            self.clock.now,
            self.clock.monotonic,
        )

    @cached_property
    def patience(self) -> Patience:
        return Patience(self.clock, self.say, self.clock.monotonic() + self.seconds)

    def site(self, card: Card | None) -> Site:
        """Return the site as a machine with this card sees it."""
        site = self.settings.site
        if card is None:
            return site
        user = card.user if _USER.fullmatch(card.user) else site.user
        return replace(site, user=user, tags=site.tags | frozenset(card.tags))

    def driver(
        self,
        card: Card | None,
        *,
        choice: Choice | None = None,
        node: str | None = None,
        user_data: UserData | None = None,
    ) -> Driver:
        """Return a driver for machines with this card, to be made on `node` if one is named.

        It stands only on nodes that can be told of it, where they are to be: of its user-data, its
        route, its ports.
        """
        site = replace(self.site(card), snippets=user_data)
        log = Intents(self.clock.now)
        board = TaskBoard(self.hypervisor, self.clock.monotonic)
        limits = self.settings.limits
        if node is not None:
            limits = replace(limits, nodes=frozenset({node}))
        elif user_data is not None or (self.reached and self.settings.tends):
            limits = replace(limits, nodes=self.reached & (limits.nodes or self.reached))
        rooms = Rooms(
            self.hypervisor,
            self.snapshots,
            log,
            site.pool,
            ProxmoxVolumes(self.api),
            templates=self.settings.proxmox.templates,
            limits=limits,
            containers=self.containers,
            copies=site.cloning.full,
        )
        inside = None if self.nodes is None else PctShell(self.nodes)
        guests = Shells(self.guest, ContainerShell(self.api, inside))
        bell = Doorbell(guests, 1, self.clock.monotonic)
        return Driver(
            Machines(self.hypervisor, self.snapshots, board, bell, log, site, self.clock.now),
            Executor(
                self.hypervisor,
                self.snapshots,
                guests,
                log,
                site,
                rooms,
                self.settings.quarantine,
                nodes=self.nodes,
                choice=choice,
            ),
            board,
            log,
            site,
            self.patience,
        )

    async def found(self, name: str) -> Found | None:
        """Return the machine called `name`, waiting until it is clear whether there is one."""
        while True:
            try:
                return await self.census.find(name)
            except PASSING as error:
                await self.patience.outlast(error)

    async def existing(self, name: str) -> Found:
        """Return the machine called `name`, ready to be changed. Raises Declined if there is none.

        What locks it is waited for.
        """
        while True:
            found = await self._there(name)
            try:
                return await self._sure(ours(found, self.settings.site))
            except PASSING as error:
                await self.patience.outlast(error)

    async def shown(self, name: str) -> Found:
        """Return the machine called `name`, to be looked at. Raises Declined if there is none.

        What locks it is not waited for.
        """
        return await self._sure(ours(await self._there(name), self.settings.site, to_look=True))

    async def _sure(self, found: Found) -> Found:
        """Return a machine of ours. Raises NotOurs for what only says that it is a bare clone."""
        if found.config.lock in MAKING or self.settings.site.bears(found.identity, found.config):
            return found
        at = Place(found.vmid, found.node)
        clone = Bare(at, found.kind, found.identity, found.stamps)
        lists = TaskLists(self.hypervisor, self.clock.monotonic)
        births = Births(lists, self.settings.site.token)
        why = await births.doubt(clone, await self.snapshots.get())
        if why is not None:
            raise doubted(found.vmid, why)
        return found

    async def _there(self, name: str) -> Found:
        key_of(name)
        found = await self.found(name)
        if found is None:
            raise Declined(f"there is no machine called {name}")
        return found

    async def drives(self, found: Found, user_data: UserData | None = None) -> Driver:
        """Return a driver that knows where a machine stands."""
        driver = self.driver(found.card, user_data=user_data)
        identity = found.identity
        await driver.log.adopt(identity.key, identity.nonce, found.vmid, found.node)
        return driver

    async def reach(
        self, found: Found, want: DesiredMachine, user_data: UserData | None = None
    ) -> Observed:
        """Take a machine that exists to what is wanted, unless its card changes meanwhile."""
        driver = await self.drives(found, user_data)
        guard = Unchanged(driver.site.signer, want, found.card)
        return await driver.reach(want, guard)

    async def carried_out(self, begin: Callable[[], Awaitable[str | None]], what: str) -> None:
        """Have a task begun, and wait for it; what a lock keeps from it is begun again."""
        while True:
            try:
                return await self.done(await begin(), what)
            except Locked as error:
                await self.patience.outlast(error)

    async def done(self, upid: str | None, what: str) -> None:
        """Wait for a task. Raises what it failed with."""
        if upid is None:
            return
        state = await self.driver(None).ended(upid, what)
        if state.error is not None:
            raise state.error


def wanted(
    found: Found,
    presence: Presence,
    at: int,
    *,
    card: Card | None = None,
    spec: MachineSpec | None = None,
    retirement: Retirement | None = None,
) -> DesiredMachine:
    """Return how a machine should look that exists; its keys and protection stay as they are.

    Whoever may enter is told by its keys alone, so that a new owner in the records is no reason to
    end sessions. A container's key stands on its card, for its settings do not show it.
    """
    key = found.config.settings.ssh_keys
    if found.kind is Kind.CONTAINER:
        key = found.card.ssh_key if found.card else ""
    return DesiredMachine(
        key=found.identity.key,
        nonce=found.identity.nonce,
        name=shown(found.name),
        presence=presence,
        spec=spec,
        access=Access(1, found.name, key),
        held=found.config.settings.protection,
        ended=presence is Presence.SUSPENDED,
        at=at,
        retirement=retirement,
        card=_used(card or found.card, found),
    )


def _used(card: Card | None, found: Found) -> Card | None:
    """Note that a machine was finished before it is changed: a change takes its start back."""
    return replace(card, used=card.used or found.finished) if card else None


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A guard: nothing is done to a machine whose card somebody else has changed meanwhile.

    Writing the settings writes the card too, and a renewal must not be lost to an older reading.
    Nor is a machine made in the place of one that somebody has removed.
    """

    signer: Signer
    want: DesiredMachine
    before: Card | None

    async def __call__(self, step: Step, have: Observed) -> None:
        if step.creates:
            raise Declined("the machine is gone, somebody removed it: make it again with `create`")
        if have.config is None or have.identity is None:
            return
        card = self.signer.card(have.config.description, have.identity)
        if _plain(card) not in (_plain(self.want.card), _plain(self.before)):
            raise Declined(
                f"the card of VM {have.vmid} was changed meanwhile: run the same command again"
            )


def _plain(card: Card | None) -> Card | None:
    return replace(card, used=False) if card else None

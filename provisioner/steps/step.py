"""What a step is: a name, a pure predicate, and one effect.

The predicate returns the sentence that says why the step is due, or None. The effect returns the
UPID of the task that carries it out, or None when it was done synchronously; it must be safe to
run again after a crash anywhere in it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from provisioner.archives import Archives
from provisioner.errors import Permanent
from provisioner.identity import settings_stamp, uuid_of
from provisioner.isolation import Isolation
from provisioner.model import (
    DesiredMachine,
    GuestConfig,
    Kind,
    Observed,
    Order,
    Presence,
    Stamps,
    Verb,
)
from provisioner.ports import GuestShells, Hypervisor, NodeShell, Place
from provisioner.site import Site
from provisioner.snippets import name_in


@dataclass(frozen=True, slots=True)
class Target:
    """What an effect works on: the machine wanted at (node, vmid), and the ways to reach it.

    `source` is the template that it is cloned from, where it is, and `base` the firewall that it
    has from there, as far as that is known; `storage` is where there is room for its disks.
    `nodes` is None where nodes are not reached over SSH. `now` is wall seconds.
    """

    hypervisor: Hypervisor
    guests: GuestShells
    site: Site
    want: DesiredMachine
    have: Observed
    vmid: int
    node: str
    source: Place | None = None
    nodes: NodeShell | None = None
    base: Isolation | None = None
    archives: Archives | None = None
    storage: str | None = None
    now: int = 0

    @property
    def config(self) -> GuestConfig:
        """The configuration that was observed; every step but the clone has one."""
        if self.have.config is None:
            raise LookupError(f"VM {self.vmid} has not been observed")
        return self.have.config

    @property
    def kind(self) -> Kind:
        """What kind of guest it is; of one that is about to be made, what was bought."""
        if self.have.config is None and self.want.spec is not None:
            return self.want.spec.kind
        return self.have.kind

    async def put_config(self, stamps: Stamps) -> None:
        """Write the wanted settings and `stamps` in one call, against the observed digest.

        A snippet that they name and the machine had not is on its node before; of one that was
        restored nobody knows what its node has, whatever its settings name.
        """
        settings = self.site.settings(self.want, self.vmid, self.config, stamps)
        applied = None if self.site.repairs else settings_stamp(settings)
        stamps = replace(stamps, applied=applied, begun=0)
        if settings.cicustom != self.config.settings.cicustom or not self.have.stamps.configured:
            await self._put_snippet(settings.cicustom)
        await self.hypervisor.configure(
            self.node,
            self.vmid,
            settings,
            self.site.describe(self.want, self.vmid, stamps),
            self.config.digest,
            kind=self.kind,
        )

    async def keep_snippet(self) -> None:
        """See that the snippet which the machine's settings name is on the node where it stands.

        It may have come there from another one, and without it Proxmox does not start it. What a
        machine made by hand was given is known to its maker alone.
        """
        if self.want.card is None:
            await self._put_snippet(self.config.settings.cicustom)

    async def shut_down(self) -> str:
        """Shut the guest down, by force where it does not listen; returns the task."""
        patience = self.site.shutdown_timeout
        return await self.hypervisor.shutdown(self.node, self.vmid, patience, kind=self.kind)

    async def say(self, gecos: str) -> None:
        """Have the owner's account inside say whose it is."""
        user = self.site.account(self.kind)
        await self.guests.of(self.kind).set_gecos(self.node, self.vmid, user, gecos)

    async def _put_snippet(self, cicustom: str) -> None:
        if not cicustom:
            return
        if self.nodes is None or self.site.snippets is None:
            raise Permanent("cloud-init of our own needs the nodes over SSH: write [nodes_ssh]")
        uuid = uuid_of(self.site.identity(self.want, self.vmid))
        content = self.site.snippets.content(self.want, self.vmid, uuid)
        if content is not None:
            await self.nodes.put_snippet(self.node, name_in(cicustom), content)


Due = Callable[[Site, DesiredMachine, Observed], str | None]
Effect = Callable[[Target], Awaitable[str | None]]


@dataclass(frozen=True, slots=True)
class Step:
    """A step; `irreversible` ones need the finalized view and a last look at the chain.

    Nothing follows from a `last` one by itself: the next pass may take its time. One that `obeys`
    is there for an order alone, and where it cannot be done the order ends, not the lease. What is
    done `of_backup` is done to the backups of a machine, which may be gone.
    """

    name: str
    due: Due
    effect: Effect
    creates: bool = False
    irreversible: bool = False
    last: bool = False
    obeys: bool = False
    of_backup: bool = False


def ordered(want: DesiredMachine, have: Observed, *verbs: Verb) -> Order | None:
    """Return the order if it is one of `verbs` and not done yet, to a machine that is all made."""
    order = want.order
    if order is None or order.verb not in verbs or want.presence is not Presence.RUNNING:
        return None
    if have.config is None or have.stamps.configured is None:
        return None
    return order if have.stamps.ordered < order.number else None

"""Whose a guest is: what it says, and whether that can be.

Its description has to prove the identity, and what only a configured machine has must go with it:
the uuid of a virtual machine, the MAC of a container. Only a bare clone of ours has not got that
yet. So a description whose stamps are not as we signed them is no bare clone's, whatever is left of
it; and of one that is, it has to be known how it came to be (`births`). How it fails: a machine of
ours that somebody changed is refused with a sentence, and waits for an operator.
"""

from collections.abc import Callable
from dataclasses import dataclass

from provisioner import making
from provisioner.births import Bare, Births
from provisioner.errors import Locked, NotOurs
from provisioner.identity import uuid_of
from provisioner.model import (
    MAKING,
    DesiredMachine,
    GuestConfig,
    Identity,
    Kind,
    Observed,
    PowerState,
    Stamps,
)
from provisioner.oplog import OperationLog
from provisioner.ports import ClusterSnapshot, Hypervisor, Place
from provisioner.site import Site


def changed(site: Site, identity: Identity, config: GuestConfig) -> str:
    """Say what somebody changed of what a machine is known by."""
    vmid, have = identity.vmid, config.settings
    if config.kind is Kind.VM:
        said = f"uuid {have.uuid} instead of {uuid_of(identity)}"
    else:
        said = f"MAC {have.mac or 'none'} instead of {site.pool.addresses(vmid).mac}"
    return f"VM {vmid} has {said}: somebody changed it"


def bare(site: Site, identity: Identity, stamps: Stamps, config: GuestConfig) -> bool:
    """Say whether a guest has the very words of a clone of ours that was never configured."""
    words = config.description
    return not stamps.configured and site.signer.unedited(words, identity.vmid)


def doubted(vmid: int, why: str) -> NotOurs:
    """Return the error that a guest may be a stranger with the words of a clone of ours."""
    return NotOurs(
        f"VM {vmid} says that it is a bare clone of ours, but {why}: it may be somebody else's, "
        "and nothing is done to it; look whose it is, remove it if it is nobody's, then retry"
    )


@dataclass(frozen=True, slots=True)
class Provenance:
    """Tells machines of ours from strangers; `wall` tells wall seconds."""

    hypervisor: Hypervisor
    log: OperationLog
    site: Site
    births: Births
    wall: Callable[[], int]

    async def of(
        self, want: DesiredMachine, at: Place, config: GuestConfig, snapshot: ClusterSnapshot
    ) -> Observed | None:
        """Return the machine `at` if it proves to be the wanted one; None if it is a stranger.

        Raises NotOurs for a machine of ours that was tampered with, and for one that may be a
        stranger's with the words of ours.
        """
        proof = self.site.signer.prove(config.description, at.vmid)
        if proof is None:
            await self._unproven(want, at, config, snapshot)
            return None
        identity, stamps = proof
        if (identity.key, identity.nonce) != (want.key, want.nonce):
            return None
        if config.lock in MAKING and not stamps.configured:
            await self._refuse_cut_off(at, config, snapshot)
        elif not self.site.bears(identity, config):
            await self._only_bare(at, config, identity, stamps, snapshot)
        return Observed(at.vmid, at.node, config, identity, stamps, PowerState.UNKNOWN)

    async def _only_bare(
        self,
        at: Place,
        config: GuestConfig,
        identity: Identity,
        stamps: Stamps,
        snapshot: ClusterSnapshot,
    ) -> None:
        """Raise NotOurs for what is no bare clone of ours."""
        birth = await self.log.birth(identity.key, identity.nonce)
        made_so = config.kind is Kind.VM or (birth is not None and birth.step != "clone")
        if not made_so or not bare(self.site, identity, stamps, config):
            raise NotOurs(f"{changed(self.site, identity, config)}; put it back, then retry")
        clone = Bare(at, config.kind, identity, stamps)
        why = await self.births.doubt(clone, snapshot, birth)
        if why is not None:
            raise doubted(at.vmid, why)

    async def _unproven(
        self, want: DesiredMachine, at: Place, config: GuestConfig, snapshot: ClusterSnapshot
    ) -> None:
        """Raise NotOurs for a machine of ours whose description was taken away."""
        if config.lock is not None:
            if config.lock in MAKING:
                await self._refuse_cut_off(at, config, snapshot)
            raise Locked(f"VM {at.vmid} is locked ({config.lock}) and does not yet say whose it is")
        if self.site.bears(self.site.identity(want, at.vmid), config):
            raise NotOurs(
                f"VM {at.vmid} has this machine's uuid or MAC, but its description proves nothing "
                "any more; put the description back, or remove the machine, then retry"
            )

    async def _refuse_cut_off(
        self, at: Place, seen: GuestConfig, snapshot: ClusterSnapshot
    ) -> None:
        """Raise NotOurs for what will never be made, whether it says already whose it is."""
        found = await making.look(self.hypervisor, snapshot.nodes, self.wall(), at, seen.kind)
        if found.config is not None and found.config.lock == seen.lock:
            tool = "qm" if seen.kind is Kind.VM else "pct"
            raise NotOurs(
                f"VM {at.vmid} was left locked ({seen.lock}) by a task that was cut off and "
                f"never ended: look at it, `{tool} unlock {at.vmid}`, destroy it, then retry"
            )

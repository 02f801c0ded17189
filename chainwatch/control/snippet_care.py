"""The snippets that machines of ours read on their nodes: each where its machine stands, no others.

A machine starts only where the snippet is that its settings name, and somebody may move it to
another node, or take its VMID once it is gone. So a snippet is put back where it is missing, as the
machine's lease says that it is, and dropped where nobody needs it (`provisioner.sweeping`). What an
operation is open on is that operation's affair. A look reads a few machines at most, and none again
within the hour that lacks nothing: nodes on which all is right cost no call. How it fails: after
many machines were moved at once it takes some looks until the last one has its snippet again.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from chainwatch.control.facts import FactsReader
from chainwatch.control.sights import Sights
from chainwatch.domain.desired import Policy, desired
from chainwatch.runtime.clock import Clock
from chainwatch.store.operations import Operations
from provisioner.errors import NodeDown, ProvisionError
from provisioner.identity import uuid_of
from provisioner.model import DesiredMachine, GuestConfig, Kind, Presence
from provisioner.names import PREFIX
from provisioner.ports import ClusterSnapshot, Hypervisor, NodeShell, Snapshots
from provisioner.site import Site
from provisioner.snippets import name_in, vmid_of
from provisioner.sweeping import REMEMBERED, Sweeper

log = structlog.get_logger(__name__)

#: How many machines of a node are read in one look because a snippet may be missing there, and how
#: many because one may be needless.
MOST: Final = 8


@dataclass(slots=True)
class SnippetCare:
    """Takes care of the snippets in `storage`, node by node.

    `sights` are what passes saw of settled leases. `_asked` is when machines without any were last
    looked at, so that none is asked for each time that needs none.
    """

    shell: NodeShell
    hypervisor: Hypervisor
    snapshots: Snapshots
    operations: Operations
    site: Site
    facts: FactsReader
    policy: Policy
    clock: Clock
    sights: Sights
    storage: str
    _asked: dict[str, dict[int, float]] = field(default_factory=dict)
    _sweeper: Sweeper = field(init=False)

    def __post_init__(self) -> None:
        self._sweeper = Sweeper(
            *(self.shell, self.hypervisor, self.snapshots, self.site.pool, self.storage),
            self.clock.monotonic,
            self._changing,
            remakes=True,
            most=MOST,
        )

    async def look(self, node: str, ours: Sequence[int], snapshot: ClusterSnapshot) -> None:
        """Put and drop what is to be on `node`, where the VMIDs `ours` stand in `snapshot`.

        `ours` are machines that our log knows.
        """
        names = await self.shell.snippets(node)
        virtual = {vmid for vmid in ours if snapshot.guests[vmid].kind is Kind.VM}
        await self._put_back(node, virtual.difference(map(vmid_of, names)))
        standing, seen = await self.operations.reserved(), self.sights.snippets()

        def known(vmid: int, name: str) -> bool:
            return vmid in standing and seen.get(vmid) == name

        async for name in self._sweeper.needless(node, names, known):
            await self.shell.drop_snippet(node, name)
            log.info("snippet dropped", name=name, node=node)

    # ------------------------------------------------------------------------- what is missing

    async def _put_back(self, node: str, bare: Collection[int]) -> None:
        """Put their snippets where the machines at `bare` stand and have none there."""
        now = self.clock.monotonic()
        asked = self._asked[node] = {
            vmid: at
            for vmid, at in self._asked.get(node, {}).items()
            if vmid in bare and now - at < REMEMBERED
        }
        due = sorted(set(bare) - asked.keys()) if self.site.snippets else []
        if not due:
            return
        busy = {each.vmid for _, each in await self.operations.open_all()}
        places = {at.vmid: machine for machine, at in (await self.operations.places()).items()}
        failed: list[ProvisionError] = []
        for vmid in [each for each in due if each not in busy][:MOST]:
            try:
                await self._put(node, vmid, places.get(vmid))
            except NodeDown:
                raise
            except ProvisionError as error:
                failed.append(error)
            else:
                asked[vmid] = now
        if failed:
            raise failed[0]

    async def _put(self, node: str, vmid: int, machine: tuple[str, str] | None) -> None:
        """Put the snippet of (key, nonce) on the node, if its settings name what its lease wants.

        Who names another is configured by its next pass, which puts that one itself.
        """
        facts = await self.facts.of(machine[0]) if machine else None
        snippets = self.site.snippets
        if machine is None or facts is None or snippets is None:
            return
        want = desired(facts, machine[1], self.policy)
        uuid = uuid_of(self.site.identity(want, vmid))
        named = snippets.cicustom(want, vmid, uuid)
        content = snippets.content(want, vmid, uuid)
        if want.presence is not Presence.RUNNING or content is None:
            return
        config = await self.hypervisor.config(node, vmid)
        if config is None or config.settings.cicustom != named:
            return
        if self._is(want, vmid, config):
            await self.shell.put_snippet(node, name_in(named), content)
            log.info("snippet put back", vmid=vmid, node=node)

    def _is(self, want: DesiredMachine, vmid: int, config: GuestConfig) -> bool:
        """Say whether a guest proves to be the machine that is wanted there."""
        proof, identity = self.site.signer.prove(config.description, vmid), self.site.identity
        ours = identity(want, vmid)
        return proof is not None and proof[0] == ours and self.site.bears(ours, config)

    # ------------------------------------------------------------------------- what is needless

    async def _changing(self, vmid: int, config: GuestConfig) -> bool:
        """Say whether something is under way on a guest that may have it name another snippet.

        What becomes of one that was made by hand nobody knows here.
        """
        proof = self.site.signer.prove(config.description, vmid)
        by_hand = proof is not None and proof[0].key.startswith(PREFIX)
        return by_hand or any(each.vmid == vmid for _, each in await self.operations.open_all())

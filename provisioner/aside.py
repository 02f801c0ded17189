"""Looking at what orders, backups and boots of nodes are about, where that decides and else not.

An ordinary look at a machine asks for neither its snapshots nor its backups. They are asked for
while an order speaks of them, before a destroy, and where a machine is owed that may have a backup.
Nor does it ask for tasks: only of a machine that its node may have failed to bring back, or that a
call of ours may have switched off after it was given up.
"""

from dataclasses import dataclass, replace

from provisioner.archives import Archives
from provisioner.belated import Belated
from provisioner.boots import Boots
from provisioner.model import DesiredMachine, Observed, Presence, Verb
from provisioner.oplog import OperationLog
from provisioner.ports import Hypervisor
from provisioner.site import Site
from provisioner.steps.destroy import grace_over


@dataclass(frozen=True, slots=True)
class Aside:
    """Adds to what was seen of a machine."""

    hypervisor: Hypervisor
    log: OperationLog
    site: Site
    archives: Archives | None
    boots: Boots
    belated: Belated

    async def look(self, want: DesiredMachine, seen: Observed) -> Observed:
        """Return what was seen, with what else decides. Raises what the hypervisor raises."""
        seen = await self.belated.look(want, await self.boots.look(want, seen))
        seen = await self._obedient(want, seen)
        return await self._saved(want, seen)

    async def _obedient(self, want: DesiredMachine, seen: Observed) -> Observed:
        """Look at what an order is about."""
        order, config = want.order, seen.config
        if config is None:
            kept = order is not None and await self.log.kept(want.key, want.nonce) is not None
            return replace(seen, kept=kept)
        if order is None or order.verb not in (Verb.SNAPSHOT, Verb.ROLLBACK):
            return seen
        if config.lock is not None or seen.vmid is None or seen.node is None:
            return seen
        there = await self.hypervisor.snapshots(seen.node, seen.vmid, kind=seen.kind)
        obeyed = await self.log.obeyed(order.number)
        return replace(seen, snapshots=tuple(row.name for row in there), obeyed=obeyed)

    async def _saved(self, want: DesiredMachine, seen: Observed) -> Observed:
        """Look for backups before a destroy, and where a machine is owed.

        Otherwise what was seen last is enough, to know when one need not be kept any longer, and
        which of them is not protected.
        """
        archives, key, nonce = self.archives, want.key, want.nonce
        if archives is None or self.site.backups is None or seen.kept:
            return seen
        if seen.config is not None:
            if grace_over(want, seen) is None:
                return replace(seen, backups=archives.of(key, nonce))
            return replace(seen, backups=await archives.look_for(key, nonce, expected=False))
        if want.presence is not Presence.RUNNING:
            return replace(seen, backups=archives.of(key, nonce))
        expected = await self.log.backed_up(key, nonce)
        if not (expected or archives.of(key, nonce)):
            return seen
        forgone = want.order is not None and want.order.verb is Verb.REINSTALL
        found = await archives.look_for(key, nonce, expected=expected and not forgone)
        since = await self.log.made_anew(key, nonce)
        return replace(seen, backups=tuple(b for b in found if b.archive.made_at > since))

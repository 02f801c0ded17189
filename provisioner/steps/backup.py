"""Make a backup of a machine that is about to be destroyed, where the site's policy wants one.

It is due exactly when a destroy would be, and a destroy is due only once the backup is there, with
our signature, of this very suspension. So one that fails delays the destroy and is tried again,
seldom: it never goes without.
"""

from provisioner.errors import Permanent
from provisioner.model import DesiredMachine, Observed
from provisioner.site import Site
from provisioner.steps.destroy import grace_over, saved
from provisioner.steps.step import Step, Target


def _due(site: Site, want: DesiredMachine, have: Observed) -> str | None:
    over = grace_over(want, have)
    return None if over is None or saved(site, have) else f"{over}, and it has no backup yet"


async def _effect(target: Target) -> str | None:
    policy = target.site.backups
    if policy is None or target.archives is None:
        raise Permanent("a backup is wanted, and no storage for it is known: set backup_storage")
    identity = target.site.identity(target.want, target.vmid)
    note = target.site.signer.note(identity, target.have.stamps, target.want.at)
    return await target.archives.store.back_up(
        target.node, target.vmid, policy.storage, policy.mode, note
    )


BACKUP = Step("backup", _due, _effect)

"""Protect a backup that any pruning might take: its deletion began and did not come to its end.

To be deleted a backup has to lose its protection first. Where the storage then refuses, and the
lease is paid for again or held meanwhile, the backup stays, and must not be left as it is; nor must
one whose protection somebody took off by hand. Whoever wants one gone deletes it.
"""

from collections.abc import Sequence

from provisioner.errors import Transient
from provisioner.model import Backup, DesiredMachine, Observed
from provisioner.moments import utc
from provisioner.site import Site
from provisioner.steps.step import Step, Target


def _exposed(backups: Sequence[Backup]) -> list[Backup]:
    """Return those that are not protected."""
    return [backup for backup in backups if not backup.archive.protected]


def _due(site: Site, _: DesiredMachine, have: Observed) -> str | None:
    bare = _exposed(have.backups)
    if site.backups is None or not bare:
        return None
    return f"its backup of {utc(bare[0].at)} is not protected"


async def _effect(target: Target) -> None:
    policy, archives = target.site.backups, target.archives
    if policy is None or archives is None:
        raise LookupError("there is no backup to protect")
    key, nonce = target.want.key, target.want.nonce
    for backup in _exposed(await archives.look_for(key, nonce, expected=False)):
        await archives.store.protect(backup.nodes[0], policy.storage, backup.archive.volid)
    if still := _exposed(await archives.look_for(key, nonce, expected=False)):
        volid = still[0].archive.volid
        raise Transient(f"{volid} was protected and is not: see who takes that off, or delete it")


PROTECT_BACKUP = Step("protect-backup", _due, _effect, of_backup=True)

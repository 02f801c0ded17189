"""Delete a backup that was kept for as long as the policy says. There is no way back.

Only of a machine that is gone and not owed by the finalized view; the chain is asked once more, and
it spends the destroy budget. Right before, the storage is looked at again: what is deleted is what
proves, by our signature, to be a backup of this machine.
"""

from provisioner.model import Backup, DesiredMachine, Observed, Presence
from provisioner.moments import utc
from provisioner.site import Site
from provisioner.steps.step import Step, Target


def expired(site: Site, want: DesiredMachine, have: Observed) -> Backup | None:
    """Return the oldest backup that need not be kept any longer."""
    if site.backups is None or want.retirement is None or have.config is not None:
        return None
    oldest = have.backups[-1] if have.backups else None
    if oldest is None or want.retirement.final_time < oldest.at + site.backups.keep:
        return None
    return oldest


def _due(site: Site, want: DesiredMachine, have: Observed) -> str | None:
    backup = expired(site, want, have)
    if backup is None or want.presence is not Presence.SUSPENDED:
        return None
    return f"its backup of {utc(backup.at)} was kept for long enough"


async def _effect(target: Target) -> str | None:
    policy, backup = target.site.backups, expired(target.site, target.want, target.have)
    if policy is None or target.archives is None or backup is None:
        raise LookupError("there is no backup to delete")
    want = target.want
    now = await target.archives.look_for(want.key, want.nonce, expected=False)
    if backup.archive.volid not in [each.archive.volid for each in now]:
        return None  # somebody was faster
    return await target.archives.store.drop(target.node, policy.storage, backup.archive.volid)


DROP_BACKUP = Step("drop-backup", _due, _effect, irreversible=True, of_backup=True)

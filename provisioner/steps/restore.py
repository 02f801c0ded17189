"""Bring a machine back from its backup: it is owed again, and was destroyed meanwhile.

The restored machine says whose it is from the start: its description is signed anew, for the VMID
that it gets, in the same call. It is of the kind that it was, whatever is sold by now, and its
disks still let in whoever they let in when the backup was made. So it keeps the stamps of that
time, and is a handover where the owner changed since: the cable is pulled until the owner of now
was let in. Not configured, it is then configured as a bare clone is.
"""

from dataclasses import replace

from provisioner.model import DesiredMachine, Observed, Presence
from provisioner.moments import utc
from provisioner.site import Site
from provisioner.steps.step import Step, Target


def _due(site: Site, want: DesiredMachine, have: Observed) -> str | None:
    if have.config is not None or want.presence is not Presence.RUNNING or have.kept:
        return None
    if site.backups is None or not have.backups:
        return None
    return f"its machine is gone, and there is a backup of {utc(have.backups[0].at)}"


async def _effect(target: Target) -> str | None:
    if target.archives is None or target.storage is None:
        raise LookupError("no place was chosen to restore to")
    backup = target.have.backups[0]
    stamps = replace(backup.stamps, configured=None, suspended_at=None, ended=False, started=False)
    stamps = replace(stamps, begun=target.now)
    return await target.archives.store.restore(
        target.node,
        target.vmid,
        backup.archive.volid,
        target.want.name,
        target.site.describe(target.want, target.vmid, stamps),
        storage=target.storage,
        kind=backup.archive.kind,
    )


RESTORE = Step("restore", _due, _effect, creates=True)

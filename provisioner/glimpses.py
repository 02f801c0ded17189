"""What is seen of a machine where there is little to see. Pure."""

from dataclasses import replace
from typing import Final

from provisioner.model import (
    DesiredMachine,
    Observed,
    OpenOperation,
    PowerState,
    Presence,
    Stamps,
)
from provisioner.ports import ClusterSnapshot
from provisioner.upids import guest_of, kind_of

#: How long a node takes at least to lose power and be back, in seconds.
REBOOT: Final = 30


def owed_first_start(want: DesiredMachine, seen: Observed) -> bool:
    """Say whether a machine is to run and never ran."""
    stamps = seen.stamps
    never_started = not stamps.started and stamps.suspended_at is None
    return never_started and want.presence is Presence.RUNNING


def stands_still(want: DesiredMachine, seen: Observed) -> bool:
    """Say whether a machine is to run, has run, and is off."""
    stamps = seen.stamps
    has_run = stamps.started and stamps.suspended_at is None
    return has_run and want.presence is Presence.RUNNING and seen.power is PowerState.STOPPED


def absent(vmid: int | None, node: str | None, existed: bool) -> Observed:
    """Return what is seen where no machine is."""
    return Observed(vmid, node, None, None, Stamps(), PowerState.UNKNOWN, ever_existed=existed)


def busy(operation: OpenOperation) -> Observed:
    """Return what is seen of a machine that is left alone while an operation is open."""
    return Observed(
        operation.vmid,
        operation.node,
        None,
        None,
        Stamps(),
        PowerState.UNKNOWN,
        operation=operation,
    )


def inheriting(seen: Observed, operation: OpenOperation) -> Observed:
    """Note which template a clone comes from that has only just ended, and was not touched yet."""
    if operation.upid is None or kind_of(operation.upid) != "qmclone":
        return seen
    return replace(seen, cloned_from=guest_of(operation.upid))


def just_done(ended: OpenOperation | None, now: int, snapshot: ClusterSnapshot) -> str | None:
    """Return the step that has just ended, if its node cannot have rebooted since it began.

    There was no time for it, or the node says, however many seconds ago, that it was up before.
    """
    if ended is None:
        return None
    since, node = now - ended.started, snapshot.members.get(ended.node)
    stayed = node is not None and node.online and node.uptime > since
    return ended.step if since < REBOOT or stayed else None

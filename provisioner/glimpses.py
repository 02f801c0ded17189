"""What is seen of a machine where there is little to see. Pure."""

from dataclasses import replace

from provisioner.model import (
    DesiredMachine,
    Observed,
    OpenOperation,
    PowerState,
    Presence,
    Stamps,
)
from provisioner.upids import guest_of, kind_of


def owed_first_start(want: DesiredMachine, seen: Observed) -> bool:
    """Say whether a machine is to run and never ran."""
    stamps = seen.stamps
    never_started = not stamps.started and stamps.suspended_at is None
    return never_started and want.presence is Presence.RUNNING


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

"""The one ordered table of steps, and which of them comes next. Pure.

`decide` returns the first step that is due, and the sentence that says why, or why none is; a
step's position in the table is its priority. While an operation is open, or the machine carries a
lock, nothing is due: judging a machine in the middle of a change is how machines get doubled.
"""

from dataclasses import dataclass, replace
from typing import Final

from provisioner.errors import NO_DISK_LIMITS
from provisioner.identity import access_stamp
from provisioner.model import DesiredMachine, Kind, Observed, PowerState, Presence
from provisioner.moments import utc
from provisioner.site import Site
from provisioner.steps.access import ACCESS
from provisioner.steps.backup import BACKUP
from provisioner.steps.clone import CLONE
from provisioner.steps.configure import CONFIGURE
from provisioner.steps.destroy import DESTROY, due_at
from provisioner.steps.drop_backup import DROP_BACKUP
from provisioner.steps.halt import HALT
from provisioner.steps.kill import KILL
from provisioner.steps.mark_ordered import MARK_ORDERED
from provisioner.steps.mark_started import MARK_STARTED
from provisioner.steps.mark_suspended import MARK_SUSPENDED
from provisioner.steps.protect_backup import PROTECT_BACKUP
from provisioner.steps.reinstall import REINSTALL
from provisioner.steps.resize import RESIZE
from provisioner.steps.restore import RESTORE
from provisioner.steps.resume import RESUME
from provisioner.steps.rollback import ROLLBACK
from provisioner.steps.shutdown import SHUTDOWN
from provisioner.steps.snapshot import SNAPSHOT
from provisioner.steps.start import START
from provisioner.steps.step import Step
from provisioner.steps.switch_off import SWITCH_OFF

TABLE: Final = (
    RESTORE,
    CLONE,
    HALT,
    RESUME,
    SWITCH_OFF,
    KILL,
    REINSTALL,
    SNAPSHOT,
    ROLLBACK,
    MARK_ORDERED,
    ACCESS,
    CONFIGURE,
    RESIZE,
    START,
    MARK_STARTED,
    SHUTDOWN,
    MARK_SUSPENDED,
    BACKUP,
    DESTROY,
    DROP_BACKUP,
    PROTECT_BACKUP,
)


@dataclass(frozen=True, slots=True)
class Decision:
    """The next step if one is due, and the sentence that says why, or why none is.

    `settled` means that the machine is as desired; otherwise something is still awaited, and
    `stuck` that it cannot go on without somebody at the guest.
    `final_time` is when (finalized chain time) a step will become due by itself. `drifted` are
    settings that somebody changed, and that are left so.
    """

    step: Step | None
    reason: str
    settled: bool = False
    final_time: int | None = None
    stuck: bool = False
    drifted: frozenset[str] = frozenset()


def decide(site: Site, want: DesiredMachine, have: Observed) -> Decision:
    """Compare `want` with `have` and say what comes next."""
    if have.operation is not None and have.ask_in:
        return Decision(None, f"VM {have.operation.vmid} is up and does not answer yet")
    if have.operation is not None:
        return Decision(None, f"waiting for {have.operation.step} of VM {have.operation.vmid}")
    if have.config is not None and have.config.lock is not None:
        text = "where no task works on it, unlock it"
        return Decision(None, f"VM {have.vmid} is locked ({have.config.lock}); {text}")
    if have.leftovers:  # its destroy is not over, and nothing is made in its place before it is
        left = ", ".join(have.leftovers)
        return Decision(None, f"VM {have.vmid} is destroyed, but left {left}: remove by hand")
    for step in TABLE:
        if reason := step.due(site, want, have):
            return Decision(step, reason)
    return _told(site, want, have, _nothing_due(want, have))


def _told(site: Site, want: DesiredMachine, have: Observed, found: Decision) -> Decision:
    """Add what somebody changed, what is not shrunk, and what waits for the next boot."""
    config, vmid = have.config, have.vmid
    if config is None or vmid is None or not found.settled:
        return found
    shown = config.settings
    drifted = site.drifted(site.settings(want, vmid, config, have.stamps), shown, have.stamps)
    said = [found.reason]
    if drifted:
        said.append(f"somebody changed its {', '.join(sorted(drifted))}, which is left so")
    if want.spec is not None and want.spec.disk_gib < config.disk_gib:
        said.append(
            f"its disk keeps its {config.disk_gib} GiB, though {want.spec.disk_gib} are sold: "
            "a disk is never shrunk"
        )
    if want.terms.disk is not None and config.kind is Kind.CONTAINER:
        said.append(f"its plan's limits for its disk are left out: {NO_DISK_LIMITS}")
    pending = have.hardware not in ((0, 0), (shown.cores, shown.memory_mib))
    if pending and have.power is PowerState.RUNNING:
        said.append(
            f"{shown.cores} cores and {shown.memory_mib} MiB take effect with its next boot from "
            "outside (`chainwatch reboot`)"
        )
    return replace(found, reason="; ".join(said), drifted=drifted)


def _nothing_due(want: DesiredMachine, have: Observed) -> Decision:
    if have.config is None:
        return Decision(None, "no machine, and none is owed", settled=True)
    if have.power is PowerState.UNKNOWN:
        return Decision(None, f"VM {have.vmid}: its power state is unknown")
    if want.order is not None:
        text = f"order {want.order.number} ({want.order.verb}) is not done yet"
        return Decision(None, f"VM {have.vmid}: {text}")
    if want.presence is Presence.RUNNING:
        return _running(want, have)
    if want.presence is Presence.AS_IS:
        return Decision(None, f"VM {have.vmid} is left {have.power}", settled=True)
    return _suspended(want, have)


def _running(want: DesiredMachine, have: Observed) -> Decision:
    if have.power is PowerState.PAUSED:
        text = "is paused, which nobody ordered: look at its disks, then resume it"
        return Decision(None, f"VM {have.vmid} {text}", stuck=True)
    if not have.stamps.started:
        return Decision(None, f"VM {have.vmid} runs and does not answer yet")
    if have.stamps.access != access_stamp(want.access) and have.power is PowerState.RUNNING:
        return Decision(
            None,
            f"VM {have.vmid}: its keys must change and its guest agent is silent; "
            "start the agent or reboot the guest",
            stuck=True,
        )
    if have.rising:
        text = "is stopped; its node has booted and is still starting its machines"
        return Decision(None, f"VM {have.vmid} {text}")
    left_off = have.power is not PowerState.RUNNING
    text = f"{have.power}, as its owner left it" if left_off else "running, as desired"
    return Decision(None, f"VM {have.vmid} is {text}", settled=True)


def _suspended(want: DesiredMachine, have: Observed) -> Decision:
    at = due_at(want, have)
    if at is None:
        text = "suspended; the finalized view does not end it yet"
        return Decision(None, f"VM {have.vmid} is {text}", settled=True)
    return Decision(
        None,
        f"VM {have.vmid} is suspended; its grace ends on {utc(at)}",
        settled=True,
        final_time=at,
    )

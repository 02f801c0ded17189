"""What becomes of a lease's key after a pass: again at once, later, when woken, or parked.

Pure: an outcome and the count of failures go in, a verdict and the alarms to sound come out. Only a
permanent error of the machine that is paid for parks a key; whatever says "later" names a time, and
whatever waits for news names none.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from chainwatch.control.passes import Outcome, Pass
from chainwatch.errors import ChainDisagrees, OneAtATime, OverBudget
from chainwatch.store.alarms import Severity
from provisioner.errors import (
    BackupFailed,
    Crowded,
    Locked,
    NodeDown,
    NoRoom,
    Permanent,
    Transient,
    UnknownOutcome,
)
from provisioner.model import Observed
from provisioner.steps.clone import CLONE

#: Seconds until a key is looked at again, by what it waits for.
LOOK_AGAIN: Final = 1
WATCHED_TASK: Final = 60  # the poller wakes it sooner
IN_LINE: Final = 120  # and called sooner, when its turn has come
SECOND_OPINION: Final = 15
BUDGET: Final = 60
ROOM: Final = 30  # or a node
BACKUP: Final = 1800  # each try may take an hour, and nobody waits for it
LEFTOVERS: Final = 60
RISING: Final = 30  # its node starts one machine after another
LONGEST_BACKOFF: Final = 300

#: What is said besides of a lease that is given up before its buyer has got anything.
UNDELIVERED: Final = (
    "; its buyer has paid and has nothing: mend it and `chainwatch retry`, or give all back at "
    "once with `chainwatch cancel`"
)

#: Alarms about one lease; what an outcome no longer says is cleared when the lease is settled.
ALARMS: Final = (
    "parked",
    "failing",
    "no-room",
    "over-budget",
    "stuck",
    "volumes-left",
    "backup-failed",
    "drift",
    "machine-gone",
)
#: The alarm of them that ends with the first pass that goes well, whatever the lease waits for.
FAILING: Final = "failing"


@dataclass(frozen=True, slots=True)
class Done:
    """The pass succeeded; look again in `after` seconds, or only when woken."""

    after: float | None


@dataclass(frozen=True, slots=True)
class Failed:
    """The pass failed with `error`; try again in `after` seconds."""

    error: str
    after: int


@dataclass(frozen=True, slots=True)
class Parked:
    """Give the key up, with this reason, until an operator or the chain says something new."""

    reason: str


Verdict: TypeAlias = Done | Failed | Parked


@dataclass(frozen=True, slots=True)
class Notice:
    """An alarm to sound about the lease."""

    name: str
    severity: Severity
    text: str


def verdict(outcome: Outcome, attempts: int) -> Verdict:
    """Judge an outcome; `attempts` failures in a row came before it."""
    if not outcome.passes:
        return Done(None)
    first, lease = outcome.passes[0], outcome.facts and outcome.facts.lease
    if isinstance(first.error, Permanent) and lease and first.want.nonce == lease.nonce:
        return Parked(str(first.error))
    verdicts = [_of(each, attempts) for each in outcome.passes]
    if failed := [each for each in verdicts if isinstance(each, Failed)]:
        return min(failed, key=lambda each: each.after)
    waits = [each.after for each in verdicts if isinstance(each, Done) and each.after is not None]
    return Done(min(waits, default=None))


def _of(each: Pass, attempts: int) -> Done | Failed:
    match each.error:
        case None if _lacks_room_alone(each):
            return Done(ROOM)
        case None:
            return Done(_recheck(each))
        case Crowded():
            return Done(IN_LINE)
        case Locked() | UnknownOutcome():
            return Done(LOOK_AGAIN)
        case NoRoom() | NodeDown():
            return Done(ROOM)
        case BackupFailed():
            return Failed(str(each.error), BACKUP)
        case error:
            after = min(2 ** min(attempts, 10), LONGEST_BACKOFF)
            return Failed(str(error), LONGEST_BACKOFF if isinstance(error, Permanent) else after)


def _lacks_room_alone(each: Pass) -> bool:
    idle = each.decision is not None and each.decision.settled and not each.acted
    return each.cramped is not None and idle


def _recheck(each: Pass) -> float | None:
    if each.acted:
        last = each.decision and each.decision.step and each.decision.step.last
        return WATCHED_TASK if each.waiting or last else 0
    if isinstance(each.refused, ChainDisagrees):
        return SECOND_OPINION
    if isinstance(each.refused, OverBudget):
        return BUDGET
    if isinstance(each.refused, OneAtATime):
        return LOOK_AGAIN
    if each.refused is not None or each.settled:
        return None
    seen = each.seen
    if seen is None:
        return LOOK_AGAIN
    if pause := _pause(seen):
        return pause
    if each.decision is not None and each.decision.stuck:
        return SECOND_OPINION
    return WATCHED_TASK if seen.operation is not None else LOOK_AGAIN


def _pause(seen: Observed) -> float:
    """Return the seconds until it is worth looking again at what a machine waits for, if known."""
    if seen.leftovers:
        return LEFTOVERS
    return RISING if seen.rising else seen.ask_in


def notices(outcome: Outcome, judged: Verdict) -> Iterator[Notice]:
    """Say which alarms an outcome is worth."""
    if isinstance(judged, Parked):
        facts = outcome.facts
        owed = facts and facts.delivers and facts.lease and not facts.lease.delivered_at
        yield Notice("parked", "critical", f"{judged.reason}{UNDELIVERED if owed else ''}")
    for each in outcome.passes:
        yield from _notices(each)


def _notices(each: Pass) -> Iterator[Notice]:
    step = each.decision.step if each.decision else None
    if isinstance(each.error, BackupFailed):
        yield Notice("backup-failed", "critical", str(each.error))
    elif isinstance(each.error, NoRoom):
        yield Notice("no-room", "critical", str(each.error))
    elif isinstance(each.error, Transient) and not isinstance(
        each.error, Locked | Crowded | NodeDown
    ):
        yield Notice(FAILING, "warning", str(each.error))
    if each.cramped is not None:
        yield Notice("no-room", "warning", str(each.cramped))
    if isinstance(each.refused, OverBudget):
        yield Notice("over-budget", "warning", each.refused.reason)
    if step is CLONE and each.seen and _vanished(each.seen):
        gone = "its machine" if each.seen.vmid is None else f"VM {each.seen.vmid}"
        yield Notice("machine-gone", "critical", f"{gone} vanished; a new one is made")
    if each.seen and each.seen.leftovers:
        yield Notice("volumes-left", "warning", each.sentence)
    if each.decision and each.decision.drifted:
        yield Notice("drift", "warning", each.decision.reason)
    if each.decision and each.decision.stuck:
        yield Notice("stuck", "warning", each.decision.reason)


def recovered(outcome: Outcome) -> bool:
    """Say whether a lease no longer fails: every pass went well, and waits for no task's end.

    A task that was begun, or goes on, may be the one that failed.
    """
    return bool(outcome.passes) and all(map(_went_well, outcome.passes))


def _went_well(each: Pass) -> bool:
    waits = each.waiting or (each.seen is not None and each.seen.operation is not None)
    return each.error is None and not waits


def _vanished(seen: Observed) -> bool:
    return seen.ever_existed and not seen.kept

"""What becomes of a lease's key after a pass, and which alarms it is worth."""

from dataclasses import replace
from typing import Final

import pytest

from chainwatch.control.passes import Outcome, Pass
from chainwatch.control.verdict import (
    BUDGET,
    IN_LINE,
    LONGEST_BACKOFF,
    LOOK_AGAIN,
    RISING,
    ROOM,
    SECOND_OPINION,
    WATCHED_TASK,
    Done,
    Failed,
    Parked,
    Verdict,
    notices,
    recovered,
    verdict,
)
from chainwatch.errors import ChainDisagrees, Held, OverBudget, Paused, SourceBehind
from provisioner.errors import (
    AgentSilent,
    Crowded,
    Locked,
    NodeDown,
    NoRoom,
    NotOurs,
    Permanent,
    ProvisionError,
    Transient,
    UnknownOutcome,
)
from provisioner.model import OpenOperation, PowerState
from provisioner.plan import Decision, decide
from provisioner.steps.clone import CLONE
from provisioner.steps.destroy import DESTROY
from provisioner.steps.mark_started import MARK_STARTED
from provisioner.steps.start import START
from tests.support.sketches import (
    ABSENT,
    NONCE,
    OVER,
    PAID,
    SITE,
    STAMPS,
    SUSPENDED,
    VMID,
    facts,
    lease,
    observed,
)

KNOWN: Final = facts(lease())
SETTLED: Final = Pass(PAID, observed(PAID), decide(SITE, PAID, observed(PAID)))
STOPPED: Final = observed(OVER, SUSPENDED, PowerState.STOPPED)
DESTROYS: Final = Pass(OVER, STOPPED, Decision(DESTROY, "its grace is over"))
OPERATION: Final = OpenOperation(1, "clone", VMID, "pve", NONCE, "UPID:x", 1)


def judged(*passes: Pass, attempts: int = 0) -> Verdict:
    return verdict(Outcome(KNOWN, passes), attempts)


def failed(error: ProvisionError) -> Pass:
    return Pass(PAID, None, None, error=error)


WAITS: Final[list[tuple[str, Pass, int | None]]] = [
    ("settled", SETTLED, None),
    ("a task was begun", Pass(PAID, None, Decision(START, ""), acted=True, waiting=True), 60),
    ("a step was done", Pass(PAID, None, Decision(CLONE, ""), acted=True), 0),
    ("no room to grow", replace(SETTLED, cramped=NoRoom("x")), 30),
    ("the last step was done", Pass(PAID, None, Decision(MARK_STARTED, ""), acted=True), 60),
    ("the chain disagrees", replace(DESTROYS, refused=ChainDisagrees("x")), SECOND_OPINION),
    ("the budget is spent", replace(DESTROYS, refused=OverBudget("x")), BUDGET),
    ("paused", replace(DESTROYS, refused=Paused("x")), None),
    ("held", replace(DESTROYS, refused=Held("x")), None),
    ("the source is behind", replace(DESTROYS, refused=SourceBehind("x")), None),
    ("its node is away", failed(NodeDown("n1", "offline")), ROOM),
    ("locked", failed(Locked("x")), LOOK_AGAIN),
    ("crowded", failed(Crowded("x")), IN_LINE),
    ("a reply was lost", failed(UnknownOutcome("x")), LOOK_AGAIN),
    ("no room", failed(NoRoom("x")), ROOM),
    (
        "a task runs",
        Pass(PAID, replace(ABSENT, operation=OPERATION), Decision(None, "waiting")),
        WATCHED_TASK,
    ),
    (
        "its node starts its machines",
        Pass(PAID, replace(ABSENT, rising=True), Decision(None, "waiting")),
        RISING,
    ),
    ("not as desired, and nothing to do", Pass(PAID, ABSENT, Decision(None, "hm")), LOOK_AGAIN),
]


@pytest.mark.parametrize(("each", "after"), [c[1:] for c in WAITS], ids=[c[0] for c in WAITS])
def test_when_a_lease_is_looked_at_again(each: Pass, after: int | None) -> None:
    assert judged(each) == Done(after)


@pytest.mark.parametrize("error", [Permanent("never"), NotOurs("not mine")])
def test_what_will_never_pass_parks_the_machine_that_is_paid_for(error: Permanent) -> None:
    assert judged(failed(error)) == Parked(str(error))


def test_what_will_never_pass_for_a_former_machine_parks_nobody() -> None:
    former = replace(failed(NotOurs("x")), want=replace(PAID, nonce="cd" * 16))
    assert judged(SETTLED, former) == Failed("x", LONGEST_BACKOFF)


@pytest.mark.parametrize("error", [Transient("later"), AgentSilent("later")])
@pytest.mark.parametrize(
    ("attempts", "after"), [(0, 1), (1, 2), (5, 32), (9, LONGEST_BACKOFF), (10**6, LONGEST_BACKOFF)]
)
def test_what_fails_is_tried_later_and_later(
    error: ProvisionError, attempts: int, after: int
) -> None:
    assert judged(failed(error), attempts=attempts) == Failed("later", after)


def test_the_most_impatient_of_a_leases_machines_decides() -> None:
    busy = Pass(PAID, None, Decision(CLONE, ""), acted=True)
    assert judged(SETTLED, replace(DESTROYS, refused=OverBudget("x"))) == Done(BUDGET)
    assert judged(SETTLED, busy) == Done(0)
    assert judged(busy, failed(Transient("x"))) == Failed("x", 1)


def test_a_lease_without_machines_waits_for_news() -> None:
    assert judged() == Done(None)


ALARMS: Final[list[tuple[str, Pass, set[str]]]] = [
    ("settled", SETTLED, set()),
    ("failing", failed(Transient("x")), {"failing"}),
    ("locked", failed(Locked("x")), set()),
    ("crowded", failed(Crowded("x")), set()),
    ("no room", failed(NoRoom("x")), {"no-room"}),
    ("no room to grow", replace(SETTLED, cramped=NoRoom("x")), {"no-room"}),
    ("its node is away", failed(NodeDown("n1", "offline")), set()),
    ("parked", failed(NotOurs("x")), {"parked"}),
    ("over budget", replace(DESTROYS, refused=OverBudget("x")), {"over-budget"}),
    ("the chain disagrees", replace(DESTROYS, refused=ChainDisagrees("x")), set()),
    ("a first machine", Pass(PAID, ABSENT, Decision(CLONE, "")), set()),
    (
        "a machine vanished",
        Pass(PAID, replace(ABSENT, ever_existed=True), Decision(CLONE, "")),
        {"machine-gone"},
    ),
    (
        "volumes were left",
        Pass(PAID, replace(ABSENT, leftovers=("v",)), Decision(None, "left v")),
        {"volumes-left"},
    ),
    (
        "stuck",
        Pass(PAID, observed(PAID, STAMPS), Decision(None, "silent", stuck=True)),
        {"stuck"},
    ),
]


def test_a_machine_without_a_number_is_not_called_none() -> None:
    for vmid, said in ((None, "its machine vanished"), (VMID, f"VM {VMID} vanished")):
        gone = Pass(PAID, replace(ABSENT, vmid=vmid, ever_existed=True), Decision(CLONE, ""))
        (notice,) = notices(Outcome(KNOWN, (gone,)), judged(gone))
        assert notice.text == f"{said}; a new one is made"


@pytest.mark.parametrize(
    ("passes", "over"),
    [
        ((SETTLED,), True),
        ((replace(DESTROYS, refused=ChainDisagrees("x")),), True),
        ((Pass(PAID, None, Decision(CLONE, ""), acted=True),), True),
        ((Pass(PAID, None, Decision(START, ""), acted=True, waiting=True),), False),
        ((Pass(PAID, replace(ABSENT, operation=OPERATION), Decision(None, "")),), False),
        ((SETTLED, failed(Locked("x"))), False),
        ((), False),
    ],
)
def test_a_lease_fails_no_more_once_all_went_well_and_no_task_is_left(
    passes: tuple[Pass, ...], over: bool
) -> None:
    assert recovered(Outcome(KNOWN, passes)) == over


@pytest.mark.parametrize(("each", "names"), [c[1:] for c in ALARMS], ids=[c[0] for c in ALARMS])
def test_which_alarms_a_pass_is_worth(each: Pass, names: set[str]) -> None:
    sounded = list(notices(Outcome(KNOWN, (each,)), judged(each)))
    assert {notice.name for notice in sounded} == names
    assert all(notice.text for notice in sounded)

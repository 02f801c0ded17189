"""The table of steps: what comes next for every way a machine may look."""

from dataclasses import replace
from typing import Final

import pytest

from provisioner.identity import access_stamp
from provisioner.model import (
    Access,
    DesiredMachine,
    GuestSettings,
    Observed,
    OpenOperation,
    Order,
    PowerState,
    Presence,
    Retirement,
    Stamps,
    Verb,
)
from provisioner.plan import TABLE, decide
from tests.support.sketches import (
    ABSENT,
    ACCESS,
    BACKED,
    BACKUP,
    DAY,
    EXPOSED,
    LATER,
    NONCE,
    NOW,
    OVER,
    OWNER,
    PAID,
    SITE,
    STAMPS,
    SUSPENDED,
    VMID,
    observed,
)

SOLD: Final = replace(PAID, access=Access(1, "0x" + "b0" * 20, ""))
AS_IS: Final = replace(PAID, presence=Presence.AS_IS)
REKEYED: Final = replace(PAID, access=replace(ACCESS, ssh_key="ssh-ed25519 BBBB alice"))
BARE: Final = Stamps()
OWED: Final = replace(STAMPS, started=False)
STOPPED: Final = PowerState.STOPPED
OPEN: Final = OpenOperation(1, "start", VMID, "pve", NONCE, "UPID:x", 1)


def shown(want: DesiredMachine, stamps: Stamps = STAMPS) -> GuestSettings:
    config = observed(want, stamps).config
    assert config is not None
    return config.settings


DONE: Final = replace(STAMPS, ordered=7)

FALLEN: Final = replace(observed(PAID, STAMPS, STOPPED), fallen="its node booted")


def ordering(verb: Verb) -> DesiredMachine:
    return replace(PAID, order=Order(7, verb, "kept" if verb is Verb.ROLLBACK else ""))


CASES: Final[list[tuple[str, DesiredMachine, Observed, str | None]]] = [
    ("a paid lease without a machine gets one", PAID, ABSENT, "clone"),
    ("an ended lease without a machine gets none", OVER, ABSENT, None),
    ("a lease that is left as it is gets none", AS_IS, ABSENT, None),
    ("who lost its stamps is configured", PAID, observed(PAID, BARE), "configure"),
    ("so is who lost them and is not paid for", OVER, observed(OVER, BARE), "configure"),
    (
        "a bare clone that its node started is stopped",
        PAID,
        observed(PAID, BARE, settings=replace(shown(PAID), uuid="the template's")),
        "halt",
    ),
    (
        "a bare clone that stands still is configured",
        PAID,
        observed(PAID, BARE, STOPPED, settings=replace(shown(PAID), uuid="the template's")),
        "configure",
    ),
    (
        "drift is repaired",
        PAID,
        observed(PAID, settings=replace(shown(PAID), cores=7)),
        "configure",
    ),
    (
        "what a clone inherited is taken away",
        PAID,
        observed(PAID, settings=replace(shown(PAID), leftovers=frozenset({"cipassword"}))),
        "configure",
    ),
    ("a disk that is too small grows", PAID, observed(PAID, disk_gib=4), "resize"),
    ("a disk that is larger stays", PAID, observed(PAID, disk_gib=40), None),
    ("an owed start is given", PAID, observed(PAID, OWED, STOPPED), "start"),
    ("who answers has started", PAID, observed(PAID, OWED, answers=True), "mark-started"),
    (
        "who is silent for long has started all the same",
        PAID,
        observed(PAID, OWED, answers=False, uptime=300),
        "mark-started",
    ),
    (
        "who is silent for a moment is waited for",
        PAID,
        observed(PAID, OWED, answers=False, uptime=299),
        None,
    ),
    ("who runs as wanted is left alone", PAID, observed(PAID), None),
    ("who was powered off by its owner is left off", PAID, observed(PAID, STAMPS, STOPPED), None),
    ("who was not brought back by its node is started", PAID, FALLEN, "start"),
    ("who is about to be is waited for", PAID, replace(FALLEN, fallen="", rising=True), None),
    (
        "who was not brought back and is to stay off by order is not started",
        ordering(Verb.STOP),
        FALLEN,
        "mark-ordered",
    ),
    ("who is paused is nobody's order", PAID, observed(PAID, power=PowerState.PAUSED), None),
    (
        "who is sold and answers changes its keys",
        SOLD,
        observed(SOLD, answers=True, settings=shown(PAID)),
        "access",
    ),
    (
        "who is sold and silent loses its cable",
        SOLD,
        observed(SOLD, answers=False, settings=shown(PAID)),
        "configure",
    ),
    (
        "who has a new key of the same owner keeps its cable",
        REKEYED,
        observed(REKEYED, answers=False),
        None,
    ),
    (
        "who is to be rebooted by order is shut down",
        ordering(Verb.REBOOT),
        observed(PAID),
        "switch-off",
    ),
    (
        "and then owed a start",
        ordering(Verb.REBOOT),
        observed(PAID, power=STOPPED),
        "mark-ordered",
    ),
    ("who is to be killed is stopped", ordering(Verb.KILL), observed(PAID), "kill"),
    ("what was done is not done again", ordering(Verb.KILL), observed(PAID, DONE, STOPPED), None),
    (
        "a start by order is owed also to who was powered off",
        ordering(Verb.START),
        observed(PAID, power=STOPPED),
        "mark-ordered",
    ),
    (
        "a snapshot by order is taken",
        ordering(Verb.SNAPSHOT),
        replace(observed(PAID), snapshots=()),
        "snapshot",
    ),
    (
        "a snapshot that is there is not taken again",
        ordering(Verb.SNAPSHOT),
        replace(observed(PAID), snapshots=("order-7",)),
        None,
    ),
    (
        "a rollback by order is done",
        ordering(Verb.ROLLBACK),
        replace(observed(PAID), snapshots=("kept",)),
        "rollback",
    ),
    (
        "a rollback that was done is marked, and the start owed",
        ordering(Verb.ROLLBACK),
        replace(observed(PAID, power=STOPPED), snapshots=("kept",), obeyed=True),
        "mark-ordered",
    ),
    (
        "who is to be made anew is shut down first",
        ordering(Verb.REINSTALL),
        observed(PAID),
        "switch-off",
    ),
    (
        "and destroyed when it stands still",
        ordering(Verb.REINSTALL),
        observed(PAID, power=STOPPED),
        "reinstall",
    ),
    ("who was made anew stays", ordering(Verb.REINSTALL), observed(PAID, DONE), None),
    (
        "no order is done to a machine that nobody pays for",
        replace(OVER, order=Order(7, Verb.REINSTALL)),
        observed(OVER, SUSPENDED, STOPPED),
        "destroy",
    ),
    ("a renewal takes the mark of suspension away", PAID, observed(PAID, SUSPENDED), "resume"),
    ("an end takes onboot and the start back first", OVER, observed(OVER), "configure"),
    ("then it shuts down", OVER, observed(OVER, OWED), "shutdown"),
    ("a paused one shuts down too", OVER, observed(OVER, OWED, PowerState.PAUSED), "shutdown"),
    ("then it is marked", OVER, observed(OVER, OWED, STOPPED), "mark-suspended"),
    ("then it goes", OVER, observed(OVER, SUSPENDED, STOPPED), "destroy"),
    ("started by hand it is stopped again", OVER, observed(OVER, SUSPENDED), "shutdown"),
    (
        "suspended by order it is marked anew when it ends",
        OVER,
        observed(OVER, replace(SUSPENDED, ended=False), STOPPED),
        "mark-suspended",
    ),
    (
        "without the finalized view's permission it stays",
        replace(OVER, retirement=None),
        observed(OVER, SUSPENDED, STOPPED),
        None,
    ),
    (
        "a second before its grace is over it stays",
        replace(OVER, retirement=Retirement(NOW - DAY + 1, DAY, NOW)),
        observed(OVER, SUSPENDED, STOPPED),
        None,
    ),
    (
        "a grace runs from the suspension when that came later",
        replace(OVER, retirement=Retirement(NOW - 9 * DAY, 3 * DAY, NOW)),
        observed(OVER, SUSPENDED, STOPPED),
        None,
    ),
    (
        "what is left as it is runs on",
        AS_IS,
        observed(AS_IS, settings=replace(shown(AS_IS), onboot=True)),
        None,
    ),
    ("what is left as it is stays off", AS_IS, observed(AS_IS, STAMPS, STOPPED), None),
    ("an unknown power state starts nothing", PAID, observed(PAID, OWED, PowerState.UNKNOWN), None),
    (
        "an unknown power state destroys nothing",
        OVER,
        observed(OVER, SUSPENDED, PowerState.UNKNOWN),
        None,
    ),
]


@pytest.mark.parametrize(
    ("want", "have", "step"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_what_comes_next(want: DesiredMachine, have: Observed, step: str | None) -> None:
    found = decide(SITE, want, have).step
    assert (found.name if found else None) == step
    assert decide(SITE, want, have).reason


@pytest.mark.parametrize(("want", "have"), [c[1:3] for c in CASES], ids=[c[0] for c in CASES])
def test_nothing_is_due_while_an_operation_is_open(want: DesiredMachine, have: Observed) -> None:
    assert decide(SITE, want, replace(have, operation=OPEN)).step is None


@pytest.mark.parametrize(
    ("want", "have"),
    [c[1:3] for c in CASES if c[2].config is not None],
    ids=[c[0] for c in CASES if c[2].config is not None],
)
def test_nothing_is_due_while_the_machine_is_locked(want: DesiredMachine, have: Observed) -> None:
    assert have.config is not None
    locked = replace(have, config=replace(have.config, lock="backup"))
    assert decide(SITE, want, locked).step is None


SAVING: Final[list[tuple[str, DesiredMachine, Observed, str | None]]] = [
    ("whose grace is over is backed up first", OVER, observed(OVER, SUSPENDED, STOPPED), "backup"),
    (
        "and destroyed once the backup is there",
        OVER,
        replace(observed(OVER, SUSPENDED, STOPPED), backups=(BACKUP,)),
        "destroy",
    ),
    (
        "a backup of another suspension is none",
        OVER,
        replace(
            observed(OVER, replace(SUSPENDED, suspended_at=NOW - 3 * DAY), STOPPED),
            backups=(BACKUP,),
        ),
        "backup",
    ),
    (
        "a backup of another VMID is none",
        OVER,
        replace(
            observed(OVER, SUSPENDED, STOPPED),
            backups=(replace(BACKUP, identity=SITE.identity(OVER, VMID + 1)),),
        ),
        "backup",
    ),
    (
        "who is paid for again gets it back",
        PAID,
        replace(ABSENT, ever_existed=True, backups=(BACKUP,)),
        "restore",
    ),
    (
        "who is made anew by order does not",
        PAID,
        replace(ABSENT, ever_existed=True, kept=True, backups=(BACKUP,)),
        "clone",
    ),
    (
        "a backup is kept for as long as the policy says",
        OVER,
        replace(ABSENT, backups=(BACKUP,)),
        None,
    ),
    ("and no longer", LATER, replace(ABSENT, backups=(BACKUP,)), "drop-backup"),
    ("one that is kept is protected", OVER, replace(ABSENT, backups=(EXPOSED,)), "protect-backup"),
    (
        "unless a hold, or the finalized view, says otherwise",
        replace(LATER, retirement=None),
        replace(ABSENT, backups=(BACKUP,)),
        None,
    ),
]


@pytest.mark.parametrize(
    ("want", "have", "step"), [case[1:] for case in SAVING], ids=[case[0] for case in SAVING]
)
def test_what_comes_next_where_machines_are_backed_up(
    want: DesiredMachine, have: Observed, step: str | None
) -> None:
    decision = decide(BACKED, want, have)
    assert (decision.step.name if decision.step else None) == step


def test_every_step_is_due_at_some_time() -> None:
    due = {decide(SITE, want, have).step for _, want, have, _ in CASES}
    due |= {decide(BACKED, want, have).step for _, want, have, _ in SAVING}
    assert {step.name for step in due if step} == {step.name for step in TABLE}


def test_what_is_irreversible_and_what_creates() -> None:
    lost = [step.name for step in TABLE if step.irreversible]
    assert lost == ["reinstall", "rollback", "destroy", "drop-backup"]
    assert [step.name for step in TABLE if step.creates] == ["restore", "clone"]


def test_a_suspended_machine_says_when_its_grace_ends() -> None:
    want = replace(OVER, retirement=Retirement(0, 9 * DAY, NOW))
    decision = decide(SITE, want, observed(want, SUSPENDED, STOPPED))
    assert decision.final_time == NOW + 7 * DAY
    assert decision.settled


def test_a_sold_machine_whose_agent_is_silent_needs_somebody() -> None:
    want = SOLD
    decision = decide(SITE, want, observed(want, answers=False))
    assert decision.stuck
    assert "agent" in decision.reason


def test_a_machine_that_left_volumes_behind_is_not_settled() -> None:
    gone = replace(ABSENT, vmid=VMID, leftovers=("local:vm-20000-disk-0",))
    decision = decide(SITE, OVER, gone)
    assert not decision.settled
    assert "local:vm-20000-disk-0" in decision.reason


def test_nothing_is_made_where_a_destroy_has_left_a_volume() -> None:
    for want in (PAID, ordering(Verb.REINSTALL)):
        gone = replace(ABSENT, vmid=VMID, leftovers=("local:vm-20000-disk-0",))
        decision = decide(SITE, want, gone)
        assert decision.step is None
        assert "left local:vm-20000-disk-0: remove by hand" in decision.reason


def test_a_protection_that_somebody_set_is_taken_back_before_a_machine_is_made_anew() -> None:
    want, settings = ordering(Verb.REINSTALL), replace(shown(PAID), protection=True)
    have = observed(want, settings=settings, power=STOPPED)
    step = decide(SITE, want, have).step
    assert step is not None
    assert step.name == "configure"
    held = decide(SITE, replace(want, held=True), have).step
    assert held is not None
    assert held.name == "reinstall"


def test_an_access_stamp_tells_a_key_given_back_from_a_remembered_one() -> None:
    assert access_stamp(ACCESS) != access_stamp(Access(2, OWNER, ACCESS.ssh_key))

"""When a backup is protected again: last of all, and not where it is to be deleted anyhow."""

from dataclasses import replace

import pytest

from provisioner.model import DesiredMachine, Observed, PowerState
from provisioner.plan import decide
from tests.support.sketches import (
    ABSENT,
    BACKED,
    BACKUP,
    EXPOSED,
    LATER,
    OVER,
    PAID,
    SITE,
    observed,
)


@pytest.mark.parametrize(
    ("want", "have", "step"),
    [
        pytest.param(OVER, replace(ABSENT, backups=(BACKUP, EXPOSED)), "protect-backup", id="kept"),
        pytest.param(OVER, replace(ABSENT, backups=(BACKUP,)), None, id="kept, and protected"),
        pytest.param(LATER, replace(ABSENT, backups=(EXPOSED,)), "drop-backup", id="over"),
        pytest.param(PAID, replace(ABSENT, backups=(EXPOSED,)), "restore", id="paid for again"),
        pytest.param(
            PAID, replace(observed(PAID), backups=(BACKUP, EXPOSED)), "protect-backup", id="it runs"
        ),
        pytest.param(
            PAID,
            replace(observed(PAID, power=PowerState.PAUSED), backups=(EXPOSED,)),
            "protect-backup",
            id="it is paused",
        ),
    ],
)
def test_a_backup_is_protected_when_nothing_else_is_due(
    want: DesiredMachine, have: Observed, step: str | None
) -> None:
    decision = decide(BACKED, want, have)
    assert (decision.step.name if decision.step else None) == step


def test_without_the_policy_nobody_s_backup_is_touched() -> None:
    assert decide(SITE, OVER, replace(ABSENT, backups=(EXPOSED,))).step is None

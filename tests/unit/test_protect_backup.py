"""When a backup is protected again: last of all, and not where it is to be deleted anyhow."""

from dataclasses import replace
from typing import Final

import pytest

from provisioner.model import (
    Archive,
    Backup,
    BackupPolicy,
    DesiredMachine,
    Observed,
    PowerState,
    Retirement,
)
from provisioner.plan import decide
from tests.support.sketches import ABSENT, NOW, OVER, PAID, SITE, SUSPENDED, VMID, observed

DAY: Final = 86_400
BACKED: Final = replace(SITE, backups=BackupPolicy("vault", "stop", 30 * DAY))
WHO: Final = SITE.identity(OVER, VMID)
KEPT: Final = Backup(Archive("vault:x", VMID, NOW, 1, ""), ("pve",), WHO, SUSPENDED, NOW)
BARE: Final = replace(KEPT, archive=replace(KEPT.archive, volid="vault:y", protected=False))
LATER: Final = replace(OVER, retirement=Retirement(NOW, DAY, NOW + 31 * DAY))


@pytest.mark.parametrize(
    ("want", "have", "step"),
    [
        pytest.param(OVER, replace(ABSENT, backups=(KEPT, BARE)), "protect-backup", id="kept"),
        pytest.param(OVER, replace(ABSENT, backups=(KEPT,)), None, id="kept, and protected"),
        pytest.param(LATER, replace(ABSENT, backups=(BARE,)), "drop-backup", id="over"),
        pytest.param(PAID, replace(ABSENT, backups=(BARE,)), "restore", id="paid for again"),
        pytest.param(
            PAID, replace(observed(PAID), backups=(KEPT, BARE)), "protect-backup", id="it runs"
        ),
        pytest.param(
            PAID,
            replace(observed(PAID, power=PowerState.PAUSED), backups=(BARE,)),
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
    assert decide(SITE, OVER, replace(ABSENT, backups=(BARE,))).step is None

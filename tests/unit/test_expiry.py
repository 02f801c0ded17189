"""When chain time alone makes a lease due."""

from typing import Final

import pytest
from msgspec.structs import replace

from chainwatch.control.expiry import NEVER, Wakes, wakes
from chainwatch.domain.desired import Facts
from provisioner.plan import Decision
from tests.support.sketches import DAY, NOW, facts, lease

PAID: Final = lease()
SOLD: Final = replace(PAID, owner="0x" + "b0" * 20, generation=1)
EXPIRED: Final = lease(NOW - DAY)

CASES: Final[list[tuple[str, Facts, list[Decision], Wakes]]] = [
    (
        "paid: at its end, and when that is final",
        facts(PAID, PAID),
        [],
        Wakes(NOW + DAY, NOW + DAY),
    ),
    ("expired by both views: never by itself", facts(EXPIRED, EXPIRED), [], Wakes(None, None)),
    (
        "expired, and suspended: when its grace ends",
        facts(EXPIRED, EXPIRED),
        [Decision(None, "", final_time=NOW + 5)],
        Wakes(None, NOW + 5),
    ),
    (
        "of several machines the first one to be due",
        facts(EXPIRED, EXPIRED),
        [Decision(None, "", final_time=NOW + 9), Decision(None, "", final_time=NOW + 5)],
        Wakes(None, NOW + 5),
    ),
    (
        "what is due already was decided just now: with the next block",
        facts(EXPIRED, EXPIRED),
        [Decision(None, "", final_time=NOW - 5)],
        Wakes(None, NOW + 1),
    ),
    (
        "sold: when what the cursor saw is final",
        facts(SOLD, PAID, at=NOW + 50),
        [],
        Wakes(NOW + DAY, NOW + 50),
    ),
    (
        "expired, and its last seconds not final yet",
        facts(EXPIRED, EXPIRED, final_at=NOW - 2 * DAY),
        [],
        Wakes(None, NOW - DAY),
    ),
    (
        "before anything is final: when the cursor's block is",
        facts(PAID, None, final_at=None),
        [],
        Wakes(NOW + DAY, NOW),
    ),
    ("for ever: never", facts(lease(2**256 - 1), lease(2**256 - 1)), [], Wakes(None, None)),
    (
        "as late as a row can hold",
        facts(lease(NEVER - 1), lease(NEVER - 1)),
        [],
        Wakes(NEVER - 1, NEVER - 1),
    ),
]


@pytest.mark.parametrize(
    ("known", "decisions", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_when_a_lease_is_due_by_itself(
    known: Facts, decisions: list[Decision], expected: Wakes
) -> None:
    assert wakes(known, decisions) == expected

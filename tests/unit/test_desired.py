"""What machine a lease should have, for every way that lease, source and operators may stand."""

from typing import Final

import pytest
from msgspec.structs import replace

from chainwatch.domain.desired import Facts, Hold, deadline, desired, machine_name
from chainwatch.domain.events import ZERO_ADDRESS
from chainwatch.domain.lease import Lease, LeaseId, Plan
from provisioner.model import Access, DesiredMachine, Kind, MachineSpec, Presence, Retirement
from tests.support.sketches import ACCESS, DAY, LEASE, NONCE, NOW, PLAN, POLICY, facts, lease

BOB: Final = "0x" + "b0" * 20
OTHER: Final = "cd" * 16
ACTIVE: Final = lease()
EXPIRED: Final = lease(NOW - 1)
BURNT: Final = replace(ACTIVE, owner=ZERO_ADDRESS, burnt=True, generation=1, ssh_key="")
SOLD: Final = replace(ACTIVE, owner=BOB, generation=1, ssh_key="ssh-ed25519 BBBB bob")


def of(known: Facts, nonce: str = NONCE) -> DesiredMachine:
    return desired(known, nonce, POLICY)


PRESENCES: Final[list[tuple[str, Facts, Presence]]] = [
    ("paid", facts(ACTIVE), Presence.RUNNING),
    ("paid on a source that stands still", facts(ACTIVE, live=False), Presence.RUNNING),
    ("paid on a source that halted", facts(ACTIVE, halted=True), Presence.RUNNING),
    ("paid and held", facts(ACTIVE, hold=Hold.HOLD), Presence.RUNNING),
    ("paid and suspended by order", facts(ACTIVE, hold=Hold.SUSPEND), Presence.SUSPENDED),
    ("expired", facts(EXPIRED), Presence.SUSPENDED),
    ("at its last second", facts(lease(NOW)), Presence.SUSPENDED),
    ("expired on a source that stands still", facts(EXPIRED, live=False), Presence.AS_IS),
    ("expired on a source that halted", facts(EXPIRED, halted=True), Presence.AS_IS),
    ("expired and held", facts(EXPIRED, hold=Hold.HOLD), Presence.AS_IS),
    ("expired and suspended by order", facts(EXPIRED, hold=Hold.SUSPEND), Presence.SUSPENDED),
    ("burnt", facts(BURNT), Presence.SUSPENDED),
    ("taken back by a reorg", facts(None, former=frozenset({NONCE})), Presence.SUSPENDED),
    (
        "minted again as another",
        facts(replace(ACTIVE, nonce=OTHER), former=frozenset({NONCE})),
        Presence.SUSPENDED,
    ),
]


@pytest.mark.parametrize(
    ("known", "presence"), [c[1:] for c in PRESENCES], ids=[c[0] for c in PRESENCES]
)
def test_how_present_a_machine_should_be(known: Facts, presence: Presence) -> None:
    assert of(known).presence is presence


RETIREMENTS: Final[list[tuple[str, Facts, Retirement | None]]] = [
    ("paid by both views", facts(ACTIVE, ACTIVE), None),
    ("expired by the confirmed view only", facts(EXPIRED, ACTIVE), None),
    (
        "expired when confirmed, not yet at the finalized block's time",
        facts(EXPIRED, EXPIRED, final_at=NOW - DAY),
        None,
    ),
    ("expired by both views", facts(EXPIRED, EXPIRED), Retirement(NOW - 1, 2 * DAY, NOW)),
    ("burnt by the confirmed view only", facts(BURNT, ACTIVE), None),
    ("burnt by both views", facts(BURNT, BURNT), Retirement(0, 2 * DAY, NOW)),
    ("not final at all", facts(EXPIRED, None), None),
    ("before anything is final", facts(EXPIRED, EXPIRED, final_at=None), None),
    ("held", facts(EXPIRED, EXPIRED, hold=Hold.HOLD), None),
    ("suspended by order", facts(EXPIRED, EXPIRED, hold=Hold.SUSPEND), None),
    ("on a halted source", facts(EXPIRED, EXPIRED, halted=True), None),
    ("taken back by a reorg", facts(None, None), Retirement(0, DAY, NOW)),
    ("taken back, yet final", facts(None, ACTIVE), None),
    (
        "another mint is final",
        facts(replace(ACTIVE, nonce=OTHER), replace(ACTIVE, nonce=OTHER)),
        Retirement(0, DAY, NOW),
    ),
    (
        "of a plan that nobody defined",
        facts(EXPIRED, EXPIRED, plan=None),
        Retirement(NOW - 1, DAY, NOW),
    ),
]


@pytest.mark.parametrize(
    ("known", "retirement"), [c[1:] for c in RETIREMENTS], ids=[c[0] for c in RETIREMENTS]
)
def test_when_a_machine_may_be_destroyed(known: Facts, retirement: Retirement | None) -> None:
    assert of(known).retirement == retirement


ACCESSES: Final[list[tuple[str, Facts, Access]]] = [
    ("a buyer enters before his purchase is final", facts(ACTIVE), ACCESS),
    ("who bought it from him does not", facts(SOLD, ACTIVE), Access(1, BOB, "", settled=False)),
    ("until that is final", facts(SOLD, SOLD), Access(1, BOB, SOLD.ssh_key)),
    (
        "a transfer that is final of another mint says nothing",
        facts(SOLD, replace(SOLD, nonce=OTHER)),
        Access(1, BOB, "", settled=False),
    ),
    (
        "a second sale waits for its own finality",
        facts(replace(SOLD, generation=2), SOLD),
        Access(2, BOB, "", settled=False),
    ),
    (
        "a new key of a settled owner counts at once",
        facts(replace(SOLD, ssh_key="ssh-ed25519 CCCC"), SOLD),
        Access(1, BOB, "ssh-ed25519 CCCC"),
    ),
    ("nobody enters what is burnt", facts(BURNT, BURNT), Access(0, ZERO_ADDRESS, "")),
    ("nobody enters what was taken back", facts(None), Access(0, ZERO_ADDRESS, "")),
]


@pytest.mark.parametrize(
    ("known", "access"), [c[1:] for c in ACCESSES], ids=[c[0] for c in ACCESSES]
)
def test_who_may_enter(known: Facts, access: Access) -> None:
    assert of(known).access == access


@pytest.mark.parametrize(
    ("plan", "spec"),
    [
        (PLAN, MachineSpec(Kind.VM, 2, 2048, 20)),
        (replace(PLAN, kind=1), MachineSpec(Kind.CONTAINER, 2, 2048, 20)),
        (replace(PLAN, kind=2), None),
        (replace(PLAN, defined=False), None),
        (None, None),
    ],
)
def test_what_was_sold_follows_from_the_plan(plan: Plan | None, spec: MachineSpec | None) -> None:
    assert of(facts(ACTIVE, plan=plan)).spec == spec


def test_the_machine_of_another_mint_is_sold_nothing() -> None:
    assert of(facts(ACTIVE, former=frozenset({OTHER})), OTHER).spec is None


@pytest.mark.parametrize(("hold", "held"), [(None, False), *[(hold, True) for hold in Hold]])
def test_a_hold_of_any_kind_protects_the_machine(hold: Hold | None, *, held: bool) -> None:
    assert of(facts(ACTIVE, hold=hold)).held is held


@pytest.mark.parametrize(
    ("known", "ended"),
    [(ACTIVE, False), (EXPIRED, True), (BURNT, True), (None, True), (lease(NOW + 1), False)],
)
def test_a_machine_has_ended_when_nobody_pays(known: Lease | None, *, ended: bool) -> None:
    assert of(facts(known)).ended is ended


@pytest.mark.parametrize(
    ("known", "at"), [(ACTIVE, NOW + DAY), (EXPIRED, None), (BURNT, None), (None, None)]
)
def test_only_a_paid_lease_has_a_deadline(known: Lease | None, at: int | None) -> None:
    assert deadline(facts(known)) == at


def test_the_machine_that_is_paid_for_comes_first_and_each_once() -> None:
    known = facts(ACTIVE, former=frozenset({NONCE, OTHER, "00" * 16}))
    assert known.nonces == (NONCE, "00" * 16, OTHER)


@pytest.mark.parametrize(
    ("token", "name"),
    [
        (7, "lease-7-abababab"),
        (10**19, f"lease-{10**19}-abababab"),
        (2**256 - 1, "lease-x7584007913129639935-abababab"),
    ],
)
def test_a_name_is_a_dns_label_whatever_the_token(token: int, name: str) -> None:
    assert machine_name(LeaseId(1, LEASE.contract, token), NONCE) == name
    assert len(name) <= 63

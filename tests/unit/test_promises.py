"""What is owed on the chain, by what the chain says and what was seen of the machine."""

from dataclasses import replace

import pytest
from msgspec.structs import replace as but

from chainwatch.domain.dealings import Dealings, Dealt, Upgrade
from chainwatch.domain.desired import Facts, Hold, SourceView, grows
from chainwatch.domain.lease import Lease, LeaseId, Plan
from chainwatch.domain.promises import Promise, Shown, promised, telling
from chainwatch.domain.sendings import Call, Intent, Kind
from chainwatch.domain.tellings import Life, Way

NOW, GRACE = 10_000, 500
KEY = "0x09" + "00" * 31
LEASE = Lease(1, "0x" + "a1" * 20, "ab" * 16, 0, 1, NOW + 100, "", KEY)
DELIVERED = but(LEASE, delivered_at=NOW - 50)
PLAN = Plan(1, "small", 0, 2, 2048, 20, GRACE, defined=True)
SOURCE = SourceView(NOW, NOW, caught_up=True, live=True, halted=False)
WAY = Way("here", Life(made=3, started=5, begun=NOW))
RUNS = Shown(started=True, running=True, way=WAY)


def facts(lease: Lease, **changes: object) -> Facts:
    made = Facts(
        id=LeaseId(1, "0x" + "c0" * 20, 1),
        lease=lease,
        final=lease,
        plan=PLAN,
        source=SOURCE,
        hold=None,
        delivers=True,
        dealings=Dealings(keys_by="0xaa"),
    )
    return replace(made, **changes)  # type: ignore[arg-type] # names are the fields'


def kind(found: Promise | None) -> Kind | None:
    return None if found is None else found.kind


def test_what_runs_is_delivered_and_what_does_not_is_not() -> None:
    assert kind(promised(facts(LEASE), RUNS)) is Kind.DELIVER
    assert promised(facts(LEASE), Shown()) is None


@pytest.mark.parametrize(
    "source",
    [
        replace(SOURCE, caught_up=False),
        replace(SOURCE, live=False),
        replace(SOURCE, halted=True),
        replace(SOURCE, rereading=True),
    ],
)
def test_nothing_is_owed_by_what_a_source_says_that_is_not_trusted_now(source: SourceView) -> None:
    assert promised(facts(LEASE, source=source), RUNS) is None


def test_who_is_suspended_by_order_is_not_delivered_and_who_is_held_is() -> None:
    assert promised(facts(LEASE, hold=Hold.SUSPEND), RUNS) is None
    assert kind(promised(facts(LEASE, hold=Hold.HOLD), RUNS)) is Kind.DELIVER


def test_a_delivery_that_is_wanted_is_not_wanted_again_for_another_key() -> None:
    wanted = Dealings("0xbb", dealt=(Dealt(Kind.DELIVER, f"{LEASE.nonce} to 0:0xaa", "0x"),))
    assert promised(facts(LEASE, dealings=wanted), RUNS) is None


def overdue(**changes: object) -> Facts:
    late = but(LEASE, expires_at=NOW)
    return facts(late, **changes)


def test_what_is_overdue_goes_back_unless_its_machine_may_run() -> None:
    still = Shown(running=False)
    assert kind(promised(overdue(), still)) is Kind.CANCEL
    assert promised(overdue(), RUNS) is None
    assert promised(overdue(), still, gives_back=False) is None
    assert promised(overdue(hold=Hold.HOLD), still) is None
    assert promised(overdue(final=but(LEASE, expires_at=NOW, delivered_at=5)), still) is None
    assert promised(overdue(source=replace(SOURCE, final_time=NOW - 1)), still) is None


def test_an_owner_is_told_only_when_his_key_is_final_and_something_can_be_sealed_to_it() -> None:
    to = str(telling(facts(DELIVERED), DELIVERED, WAY))
    assert promised(facts(DELIVERED), RUNS) == Promise(Kind.PUBLISH, to)
    assert promised(facts(DELIVERED, final=but(DELIVERED, encryption_key="")), RUNS) is None
    assert promised(facts(DELIVERED, final=but(DELIVERED, generation=1)), RUNS) is None
    assert promised(facts(but(DELIVERED, encryption_key="0x1234")), RUNS) is None
    assert promised(facts(DELIVERED), replace(RUNS, way=None)) is None


def test_a_lease_is_burnt_when_all_of_it_is_over() -> None:
    over = but(DELIVERED, expires_at=NOW - GRACE)
    gone = Shown(running=False, gone=True)
    assert promised(facts(over), gone) == Promise(Kind.BURN, over.nonce)
    assert promised(facts(over), replace(gone, gone=False)) is None
    assert promised(facts(but(over, expires_at=NOW - GRACE + 1)), gone) is None
    assert promised(facts(over, hold=Hold.HOLD), gone) is None
    assert promised(facts(but(over, expires_at=NOW + 9), final=over), gone) is None


def test_an_upgrade_is_done_refused_or_overdue() -> None:
    wanted = Upgrade(2, NOW + 5, "0xcc")
    told = Dealings("0xaa", "0xfeed", wanted, published_seen=NOW)
    asked = facts(DELIVERED, dealings=told, larger=but(PLAN, id=2, cores=4))
    assert promised(asked, RUNS) is None
    cause = f"{DELIVERED.nonce} 2 until {NOW + 5} of 0xcc"
    assert promised(asked, replace(RUNS, grown=True)) == Promise(Kind.UPGRADE, cause)
    for answer in (Kind.UPGRADE, Kind.REFUSE):
        intent = Intent("shop", answer, "lease", cause, Call("0x", "0x"))
        assert intent.purchase == DELIVERED.nonce
    why = replace(RUNS, hopeless="no room")
    assert promised(asked, why) == Promise(Kind.REFUSE, cause, "no room")
    late = replace(asked, source=replace(SOURCE, chain_time=NOW + 5))
    assert kind(promised(late, replace(RUNS, grown=True))) is Kind.REFUSE


def test_a_machine_grows_until_its_upgrade_is_refused_and_for_the_next_one_again() -> None:
    wanted = Upgrade(2, NOW + 5, "0xcc")
    told = Dealings("0xaa", "0xfeed", wanted, published_seen=NOW)
    asked = facts(DELIVERED, dealings=told, larger=but(PLAN, id=2, cores=4), answers=True)
    assert grows(asked)
    owed = promised(asked, replace(RUNS, hopeless="no room"))
    assert owed is not None
    refused = replace(told, dealt=(Dealt(owed.kind, owed.cause, "0x"),))
    assert not grows(replace(asked, dealings=refused))
    again = replace(refused, upgrade=replace(wanted, tx="0xdd"))
    assert grows(replace(asked, dealings=again))


def test_an_upgrade_that_a_reorg_gave_another_time_is_another_one() -> None:
    wanted = Upgrade(2, NOW + 5, "0xcc")
    said = Dealt(Kind.UPGRADE, wanted.cause(DELIVERED.nonce), "0x")
    told = Dealings("0xaa", "0xfeed", wanted, (said,), published_seen=NOW)
    grown = replace(RUNS, grown=True, way=None)
    asked = facts(DELIVERED, dealings=told, larger=but(PLAN, id=2, cores=4))
    assert promised(asked, grown) is None
    later = replace(wanted, deadline=NOW + 6)
    moved = replace(asked, dealings=replace(told, upgrade=later))
    assert promised(moved, grown) == Promise(Kind.UPGRADE, later.cause(DELIVERED.nonce))

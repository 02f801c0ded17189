"""What the cluster's list still shows as it was seen need not be looked at again."""

from dataclasses import replace

from chainwatch.control.sights import LAG, Sights
from provisioner.model import Kind, Observed, PowerState
from provisioner.ports import ClusterSnapshot, GuestRow, NodeRow
from tests.support.sketches import PAID, observed

LEASE = "eip155:1/erc721:0x1/1"
SEEN = observed(PAID)
assert SEEN.vmid is not None
assert SEEN.node is not None
assert SEEN.config is not None
ROW = GuestRow(SEEN.vmid, SEEN.node, SEEN.config.settings.name, Kind.VM, False, 2**30, True)


def shown(*rows: GuestRow, at: float = 100.0) -> ClusterSnapshot:
    return ClusterSnapshot(at, {row.vmid: row for row in rows}, ("pve",))


def seen(*machines: Observed) -> Sights:
    sights = Sights()
    sights.note(LEASE, machines, 0.0)
    return sights


def doubtful(sights: Sights, *rows: GuestRow, at: float = 100.0) -> bool:
    return sights.doubtful([LEASE], shown(*rows, at=at)) == [LEASE]


def test_a_lease_that_was_never_looked_at_is_doubtful() -> None:
    assert doubtful(Sights(), ROW)


def test_a_machine_that_the_list_shows_as_it_was_seen_is_not() -> None:
    sights = seen(SEEN)
    assert not doubtful(sights, ROW)
    assert not doubtful(sights, ROW, at=1000.0)


def test_a_machine_that_moved_stopped_was_renamed_or_is_gone_is_doubtful() -> None:
    for row in (
        replace(ROW, node="elsewhere"),
        replace(ROW, running=False),
        replace(ROW, name="other"),
    ):
        assert doubtful(seen(SEEN), row)
    assert doubtful(seen(SEEN))


def test_whatever_the_list_shows_otherwise_than_before_is_doubtful() -> None:
    sights = seen(SEEN)
    assert not doubtful(sights, ROW)
    assert doubtful(sights, replace(ROW, memory=2**31))


def test_a_list_that_may_not_have_heard_of_it_yet_proves_nothing() -> None:
    sights = seen(SEEN)
    assert not doubtful(sights, replace(ROW, running=False), at=LAG - 1)
    assert doubtful(sights, replace(ROW, running=False), at=LAG + 1)


def test_a_lease_without_a_machine_is_not_doubtful_until_it_is_forgotten() -> None:
    sights = seen(Observed(None, None, None, None, SEEN.stamps, PowerState.UNKNOWN))
    assert not doubtful(sights)
    sights.forget(LEASE)
    assert doubtful(sights)


def test_the_turn_is_of_those_who_were_looked_at_longest_ago() -> None:
    sights = Sights()
    for at, lease in enumerate(("c", "a", "b")):
        sights.note(lease, [SEEN], at)
    assert sights.oldest(["a", "b", "c", "unknown"], 2) == ["c", "a"]


def test_who_was_left_off_is_doubtful_once_its_node_has_booted() -> None:
    off = replace(SEEN, power=PowerState.STOPPED)
    row = replace(ROW, running=False)
    for uptime, expected in ((5000, False), (0, False), (200, True)):
        node = NodeRow(row.node, online=True, maintenance=False, memory=0, uptime=uptime)
        list_of_now = replace(shown(row, at=1000.0), members={row.node: node})
        assert (seen(off).doubtful([LEASE], list_of_now) == [LEASE]) == expected
        suspended = replace(off, stamps=replace(off.stamps, started=False))
        assert not seen(suspended).doubtful([LEASE], list_of_now)

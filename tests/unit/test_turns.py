"""Every machine has its turn within a time that is stated, and no node is asked too much."""

import math
from collections import Counter

import pytest

from chainwatch.control.turns import GLADLY, LONGEST, LOOK_EVERY, MOST, ROUND, Turns, share

HOUR = 60
#: How many calls a look at one machine costs.
CALLS = 4


def looks(turns: Turns, standing: dict[int, str], count: int) -> Counter[int]:
    """Look so often; returns how often each machine had its turn."""
    had: Counter[int] = Counter()
    for _ in range(count):
        for node, vmids in turns.next(standing).items():
            for vmid in vmids:
                assert standing[vmid] == node
                turns.had(node, vmid)
                had[vmid] += 1
    return had


@pytest.mark.parametrize(
    ("machines", "minutes", "calls_a_second"),
    [
        (1, 60, 0.07),
        (20, 60, 0.07),
        (60, 60, 0.07),
        (420, 60, 0.47),
        (2000, 286, 0.47),
        (2520, 360, 0.47),
        (3600, 360, 0.67),
        (5400, 360, 1.0),
        (10_000, 667, 1.0),
    ],
)
def test_a_round_takes_as_long_as_is_stated_and_costs_no_more(
    machines: int, minutes: int, calls_a_second: float
) -> None:
    standing = dict.fromkeys(range(20_000, 20_000 + machines), "pve")
    assert share(machines) * CALLS / LOOK_EVERY <= calls_a_second
    had = looks(Turns(), standing, minutes)
    assert len(had) == machines
    assert math.ceil(machines / share(machines)) <= minutes


def test_a_round_is_no_longer_than_six_hours_where_a_call_a_second_can_do_that() -> None:
    for machines in range(1, MOST * int(LONGEST / LOOK_EVERY) + 1, 7):
        assert math.ceil(machines / share(machines)) * LOOK_EVERY <= LONGEST
    for machines in range(1, GLADLY * int(ROUND / LOOK_EVERY) + 1):
        assert math.ceil(machines / share(machines)) * LOOK_EVERY <= ROUND


def test_a_full_node_takes_nothing_from_the_turns_of_the_others() -> None:
    standing = dict.fromkeys(range(20_000, 25_000), "full") | {30_000: "empty", 30_001: "empty"}
    had = looks(Turns(), standing, HOUR)
    assert had[30_000] >= 30
    assert sum(count for vmid, count in had.items() if vmid < 30_000) == share(5000) * HOUR


def test_machines_that_come_and_go_keep_nobody_from_his_turn() -> None:
    turns = Turns()
    standing = dict.fromkeys(range(20_000, 20_300), "pve")
    had = looks(turns, standing, 30)
    assert len(had) == 150
    for vmid in (20_000, 20_149, 20_150):
        del standing[vmid]
    standing[29_999] = "pve"
    later = looks(turns, standing, 30)
    assert set(standing) - set(had) <= set(later)


def test_who_had_no_turn_because_his_node_was_silent_is_next() -> None:
    turns = Turns()
    standing = dict.fromkeys(range(20_000, 20_003), "pve")
    assert turns.next(standing) == turns.next(standing) == {"pve": [20_000]}
    turns.had("pve", 20_000)
    assert turns.next(standing) == {"pve": [20_001]}

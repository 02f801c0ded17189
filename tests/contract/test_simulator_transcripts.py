"""The simulated cluster says what a genuine 8.4.21 said, word for word and shape for shape.

All that was recorded is in `tests/data/pve-8.4-transcripts.json`. A table of predicates says what
of it is out of scope, and why; every other exchange is played, scenario by scenario, and compared:
status, reason, errors of parameters, the shape of the body and how its task ended. Where the
simulator differs on purpose it is in `DIVERGENCES`, with the reason; one that is gone fails too.
"""

from collections import Counter
from functools import cache

import pytest

from tests.support.recorded import OUT_OF_SCOPE, scenarios, why_not
from tests.support.replay import Player
from tests.support.shapes import differing, shape

NAMED_COMMAND = "the recorded text names the command that was run on the node, and its files"
OTHER_QEMU = "the recorded QEMU could not do it, or was given what no QEMU takes; ours can do all"
UNDER_WAY = "interrupted just while the file was made: a moment that does not exist here"
FULL_SIZE = "a whole volume needs all of its room free here; the recorded one was sparse"
NOTHING_TO_COPY = "a limited full clone takes its time here, whatever is on the disk; it was empty"
DIVERGENCES = {
    ("11-config", 132): "the recorded guest had no system that lets go of its network card; ours"
    " has one",
    ("11-config", 133): "what the exchange before left pending",
    ("20-clone", 40): OTHER_QEMU,
    ("20-clone", 47): NAMED_COMMAND,
    ("21-clone-races", 66): "the interrupt came when the clone had just ended",
    ("21-clone-races", 80): NOTHING_TO_COPY,
    ("21-clone-races", 81): NOTHING_TO_COPY,
    ("22-clone-window", 36): NAMED_COMMAND,
    ("22-clone-window", 50): UNDER_WAY,
    ("22-clone-window", 53): UNDER_WAY,
    ("22-clone-window", 65): NAMED_COMMAND,
    ("22-clone-window", 77): NAMED_COMMAND,
    ("30-power", 38): OTHER_QEMU,
    ("30-power", 39): "the lock that the exchange before left",
    ("30-power", 44): NAMED_COMMAND,
    ("30-power", 74): OTHER_QEMU,
    ("30-power", 78): OTHER_QEMU,
    ("30-power", 81): OTHER_QEMU,
    ("32-delete-resize-snapshot", 71): OTHER_QEMU,
    ("41-agent-power", 1): "the agent went away while it was asked; here it answers or is silent",
    ("61-storage-failures", 3): NAMED_COMMAND,
    ("61-storage-failures", 12): FULL_SIZE,
    ("71-tasks", 12): "`saved` is a number for the newest task alone, and text for all others",
    ("71-tasks", 35): "a log as a file to be saved: nothing of ours asks for one",
}


@cache
def differences(scenario: str) -> dict[tuple[str, int], list[str]]:
    """Play a scenario; return what differs, by exchange, with an empty list for what does not."""
    return {
        (scenario, exchange.number): [f"{exchange.name}: {each}" for each in told]
        for exchange, told in Player(scenarios()[scenario]).play()
    }


@pytest.mark.parametrize("scenario", sorted(scenarios()))
def test_the_simulator_says_what_a_genuine_proxmox_said(scenario: str) -> None:
    found = differences(scenario)
    assert [told for key, told in found.items() if told and key not in DIVERGENCES] == []
    known = [key for key in DIVERGENCES if key[0] == scenario]
    assert [key for key in known if not found[key]] == []


def test_no_more_than_one_in_twenty_recorded_exchanges_is_answered_otherwise() -> None:
    played = [told for scenario in scenarios() for told in differences(scenario).values()]
    assert len(played) == 1342
    assert sum(bool(told) for told in played) / len(played) <= 0.05


def test_every_recorded_exchange_is_played_or_is_out_of_scope_for_one_reason() -> None:
    reasons = Counter(why_not(each) for exchanges in scenarios().values() for each in exchanges)
    assert reasons.total() == 1723
    del reasons[None]
    assert reasons == {row.reason: row.count for row in OUT_OF_SCOPE}


@pytest.mark.parametrize(
    ("ours", "theirs", "told"),
    [
        ({"a": 1}, {"a": "1"}, ["body.a is number, was text"]),
        ({"a": 1}, {"a": 1, "b": None}, ["body.b is missing"]),
        ({"a": 1, "b": 2}, {"a": 1.5}, ["body.b was not there"]),
        (
            [{"a": 1}, {"b": [True]}],
            [{"b": [1]}],
            ["body[].a was not there", "body[].b[] is boolean, was number"],
        ),
        ([], [1], ["body is empty list, was ['number']"]),
        ({"a": None}, {"a": {}}, ["body.a is nothing, was {}"]),
        (
            "UPID:pve:00004BB0:00090AD1:6B032554:qmstart:9000:root@pam:",
            "UPID:pve:00004BB0:00090AD1:6B032554:qmclone:9000:root@pam:",
            ["body is task qmstart of 9000 by root@pam, was task qmclone of 9000 by root@pam"],
        ),
        ([{"a": "x"}], [{"a": "y"}, {"a": "z"}], []),
    ],
)
def test_a_shape_is_types_and_names_all_the_way_down(
    ours: object, theirs: object, told: list[str]
) -> None:
    assert list(differing(shape(ours), shape(theirs), "body")) == told

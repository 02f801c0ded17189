"""The stand-in against a simulator that somebody else wrote: the same calls, the same answers.

Where the two differ stands in `tests.support.divergences`, with who is right and by what. Beside
this story every suite of this folder that has a `world` is played on the peer too.
"""

from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from tests.support.divergences import (
    BEGIN,
    DOCUMENT,
    END,
    EXCHANGES,
    TESTS,
    Divergence,
    Right,
    complaint,
    table,
)
from tests.support.exchanges import STORY, ours, peer, theirs

HERE = Path(__file__).parent


@pytest.mark.rude_requests
async def test_both_say_the_same_but_for_what_is_listed() -> None:
    mine = ours()
    differing: dict[str, str] = {}
    async with TestClient(TestServer(peer()._build_app())) as client:
        other = theirs(client)
        for name, exchange in STORY.items():
            here, there = await mine(exchange), await other(exchange)
            if here != there:
                differing[name] = there
    assert differing == {name: known.shows for name, known in EXCHANGES.items()}


def test_every_test_that_is_listed_is_one_that_the_peer_is_asked_in(
    asked_of_the_peer: set[str],
) -> None:
    written = "".join(path.read_text() for path in sorted(HERE.glob("test_*.py")))
    asked = {name.partition("[")[0] for name in asked_of_the_peer}
    for name in TESTS:
        function = name.partition("[")[0]
        assert f"def {function}(" in written
        assert function not in asked or name in asked_of_the_peer


def test_an_entry_that_shows_no_more_or_otherwise_is_complained_of() -> None:
    known = Divergence("4 == 10", "it does not grow", Right.OURS)
    assert complaint(known, AssertionError("assert 4 == 10")) is None
    assert "differs no more: it does not grow" in str(complaint(known, None))
    assert "otherwise than by '4 == 10': KeyError" in str(complaint(known, KeyError("size")))


def test_the_document_lists_what_differs_and_nothing_else() -> None:
    _, _, rest = DOCUMENT.read_text().partition(BEGIN)
    assert rest.partition(END)[0].strip() == table().strip(), (
        "python -m tests.support.divergences writes it anew"
    )

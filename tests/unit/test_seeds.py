"""Which seeds are played: the same ones in a test, new ones in a soak, one where one is named."""

import pytest

from tests.support.seeds import draw, seeds

NAMES = ("CHAINWATCH_SOAK", "CHAINWATCH_FIRST", "CHAINWATCH_SEED")


@pytest.fixture(autouse=True)
def _nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that what `draw` writes there is taken back
        monkeypatch.delenv(name)


def test_a_test_plays_the_same_seeds_every_time() -> None:
    assert draw() == ""
    assert list(seeds(3, 2_000)) == [0, 1, 2]


def test_a_soak_plays_new_seeds_and_says_where_they_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINWATCH_SOAK", "1")
    said, played = draw(), seeds(3, 2_000)
    assert f"CHAINWATCH_FIRST={played[0]} " in said
    assert len(played) == 2_000
    assert played[0] >= 10_000  # none of those that every test plays


def test_two_soaks_play_other_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINWATCH_SOAK", "1")
    firsts = set()
    for _ in range(3):
        monkeypatch.delenv("CHAINWATCH_FIRST", raising=False)
        draw()
        firsts.add(seeds(3, 2_000)[0])
    assert len(firsts) > 1


def test_who_comes_later_in_the_same_soak_plays_what_was_drawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CHAINWATCH_SOAK", "1")
    said, played = draw(), seeds(3, 2_000)
    assert (draw(), seeds(3, 2_000)) == (said, played)


def test_a_soak_plays_again_what_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINWATCH_SOAK", "1")
    monkeypatch.setenv("CHAINWATCH_FIRST", "2000")
    draw()
    assert list(seeds(3, 4)) == [2000, 2001, 2002, 2003]


def test_a_named_seed_is_played_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINWATCH_SEED", "6722")
    assert list(seeds(3, 2_000)) == [6722]
    monkeypatch.setenv("CHAINWATCH_SOAK", "1")
    assert list(seeds(3, 2_000)) == [6722]

"""Who waits for a clone's place gets it in the order of asking."""

from provisioner.line import KEPT, PATIENCE, Line


def test_who_finds_a_place_does_not_wait() -> None:
    line = Line()
    assert line.admits("a", 1, now=0)
    assert not line


def test_who_came_first_is_served_before_one_who_just_comes() -> None:
    line = Line()
    assert not line.admits("a", 0, now=0)
    assert not line.admits("b", 0, now=1)
    assert not line.admits("c", 1, now=2)
    assert line.admits("a", 1, now=2)
    assert line.call(1, now=2) == ["b"]
    assert not line.admits("c", 1, now=2)
    assert line.admits("b", 1, now=3)
    assert line.admits("c", 1, now=3)


def test_asking_again_does_not_cost_one_s_place_in_line() -> None:
    line = Line()
    for now in range(3):
        assert not line.admits("a", 0, now=now)
        assert not line.admits("b", 0, now=now)
    assert line.call(1, now=3) == ["a"]


def test_who_was_called_is_not_called_again_and_has_a_place_kept_for_a_while() -> None:
    line = Line()
    line.admits("gone", 0, now=0)
    line.admits("b", 0, now=0)
    assert line.call(1, now=0) == ["gone"]
    assert line.call(1, now=0) == []
    assert not line.admits("b", 1, now=KEPT)
    assert line.call(1, now=KEPT + 1) == ["b"]


def test_who_is_called_when_the_place_is_taken_after_all_waits_on() -> None:
    line = Line()
    line.admits("a", 0, now=0)
    assert line.call(1, now=0) == ["a"]
    assert not line.admits("a", 0, now=1)
    assert line.admits("a", 1, now=2)


def test_who_does_not_ask_again_keeps_nobody_waiting() -> None:
    line = Line()
    line.admits("gone", 0, now=0)
    assert not line.admits("b", 1, now=PATIENCE)
    assert line.admits("b", 1, now=PATIENCE + 1)


def test_whoever_waits_can_be_told_who_he_is_in_line() -> None:
    line = Line()
    for key in ("a", "b"):
        line.admits(key, 0, now=0)
    assert [line.place(key) for key in ("a", "b", "c")] == [1, 2, None]
    line.call(1, now=0)
    assert [line.place(key) for key in ("a", "b")] == [None, 1]

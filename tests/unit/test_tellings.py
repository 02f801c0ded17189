"""What an owner was told is held against his machine as it stands, and told anew when it is not."""

from dataclasses import replace

import pytest

from chainwatch.domain.dealings import Dealings, Dealt, Upgrade
from chainwatch.domain.sendings import Call, Intent, Kind
from chainwatch.domain.tellings import (
    DAY,
    OFTEN,
    OFTEN_OF_LEASE,
    UNREAD,
    Due,
    Telling,
    again_at,
    due,
    is_news,
    last_told,
    telling_in,
)

NOW, BEGUN = 1_000_000, 500
TOLD = Telling("nonce", "0:0xaa", 0, "here", 3, 5, "keys")


def said(telling: Telling, **changes: object) -> Dealt:
    made = Dealt(Kind.PUBLISH, str(telling), "0x00feed00")
    return replace(made, **changes)  # type: ignore[arg-type] # names are the fields'


def dealings(*dealt: Dealt, published: str | None = "0xfeed", **changes: int) -> Dealings:
    return replace(Dealings("0xaa", published, dealt=dealt), **changes)  # type: ignore[arg-type] # so are these


def test_what_is_wanted_says_what_it_tells() -> None:
    assert telling_in(str(TOLD)) == TOLD
    assert telling_in("nonce from 3") is None


def test_what_is_told_is_about_one_purchase_whoever_a_reorg_gives_the_token_to() -> None:
    cause = str(replace(TOLD, nonce="ab" * 16))
    assert Intent("shop", Kind.PUBLISH, "lease", cause, Call("0x", "0x")).purchase == "ab" * 16


def test_who_was_told_the_way_as_it_is_is_not_told_again() -> None:
    assert due(dealings(said(TOLD)), TOLD, BEGUN) is Due.NO
    assert due(dealings(said(TOLD), published=None), TOLD, BEGUN) is Due.NO  # it is under way
    assert due(dealings(said(TOLD, kind=Kind.DELIVER)), TOLD, BEGUN) is Due.NO


@pytest.mark.parametrize("other", [{"nonce": "other"}, {"reader": "0:0xbb"}, {"place": "there"}])
def test_another_owner_key_or_address_is_told_at_once(other: dict[str, str]) -> None:
    assert due(dealings(said(TOLD)), replace(TOLD, **other), BEGUN) is Due.TELL  # type: ignore[arg-type] # all of them are words


@pytest.mark.parametrize("other", [{"made": 7, "started": 8}, {"started": 8}])
def test_who_was_made_or_started_since_is_asked_for_its_host_keys(other: dict[str, int]) -> None:
    found = dealings(said(TOLD))
    now = replace(TOLD, **other)  # type: ignore[arg-type] # all of them are numbers
    assert due(found, now, BEGUN) is Due.ASK
    assert not is_news(found, now)
    assert is_news(found, replace(now, keys="others"))


def test_host_keys_that_can_not_be_read_are_news_of_another_clone_only() -> None:
    found, silent = dealings(said(TOLD)), replace(TOLD, started=8, keys=UNREAD)
    assert not is_news(found, silent)
    assert is_news(found, replace(silent, made=7))


def test_who_was_told_without_host_keys_is_told_when_there_are_any() -> None:
    found = dealings(said(replace(TOLD, keys=UNREAD)))
    assert due(found, TOLD, BEGUN) is Due.ASK
    assert is_news(found, TOLD)
    assert not is_news(found, replace(TOLD, keys=UNREAD))


def test_a_delivery_whose_words_are_not_published_told_nobody() -> None:
    left_out = said(TOLD, kind=Kind.DELIVER)
    assert last_told(dealings(left_out, published=None)) is None
    assert due(dealings(left_out, published=None), TOLD, BEGUN) is Due.TELL


def test_of_what_somebody_else_published_only_a_later_machine_is_told() -> None:
    """So it is after the database was lost, too."""
    foreign = dealings(published_seen=BEGUN)
    assert due(foreign, TOLD, BEGUN) is Due.NO
    assert due(foreign, TOLD, 0) is Due.NO
    assert due(foreign, TOLD, BEGUN + 1) is Due.TELL


def test_what_came_late_and_stands_is_told_anew() -> None:
    late, newest = said(replace(TOLD, place="there")), said(TOLD, data="0xbeef", block=7)
    assert due(dealings(newest, late, published_in=6), TOLD, BEGUN) is Due.NO
    assert due(dealings(newest, late, published_in=8), TOLD, BEGUN) is Due.TELL


def often(count: int, telling: Telling = TOLD) -> list[Dealt]:
    return [said(telling, wanted_at=NOW - each) for each in range(count)]


def test_an_owner_is_told_so_often_and_then_when_the_first_is_a_day_old() -> None:
    assert again_at(dealings(*often(OFTEN - 1)), TOLD, NOW) is None
    assert again_at(dealings(*often(OFTEN)), TOLD, NOW) == NOW - (OFTEN - 1) + DAY
    assert again_at(dealings(*often(OFTEN + 2)), TOLD, NOW) == NOW - (OFTEN - 1) + DAY
    assert again_at(dealings(*often(OFTEN)), TOLD, NOW + DAY) is None


def test_what_a_seller_used_up_is_not_the_next_owners() -> None:
    next_owner = replace(TOLD, reader="1:0xcc")
    assert again_at(dealings(*often(OFTEN + 2)), next_owner, NOW) is None
    assert again_at(dealings(*often(OFTEN_OF_LEASE)), next_owner, NOW) is not None


def test_a_machine_made_anew_has_a_quota_of_its_own_and_one_elsewhere_needs_none() -> None:
    used_up = dealings(*often(OFTEN_OF_LEASE - 1))
    assert again_at(used_up, TOLD, NOW) is not None
    assert again_at(used_up, replace(TOLD, made=7), NOW) is None
    full, there = dealings(*often(OFTEN_OF_LEASE)), replace(TOLD, place="there")
    assert again_at(full, replace(TOLD, made=7), NOW) is not None
    assert again_at(full, there, NOW) is None
    assert again_at(replace(full, upgrade=Upgrade(2, NOW, "0xcc")), there, NOW) is not None

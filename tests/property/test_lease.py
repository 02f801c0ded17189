"""The fold of a lease: total, absolute, and the same however often it is done."""

from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from chainwatch.domain.events import (
    ZERO_ADDRESS,
    ExpiryUpdated,
    KeysChanged,
    LeaseEvent,
    LeaseMinted,
    Logged,
    PlanDefined,
    Transferred,
)
from chainwatch.domain.lease import Lease, fold, fold_all

PEOPLE: Final = tuple(f"0x{n:040x}" for n in range(1, 4))
people = st.sampled_from(PEOPLE)
numbers = st.integers(0, 2**256 - 1)
lease_events: st.SearchStrategy[LeaseEvent] = st.one_of(
    st.builds(Transferred, st.just(7), st.just(ZERO_ADDRESS), people),
    st.builds(Transferred, st.just(7), people, st.sampled_from((*PEOPLE, ZERO_ADDRESS))),
    st.builds(LeaseMinted, st.just(7), numbers, people, numbers, numbers),
    st.builds(ExpiryUpdated, st.just(7), numbers),
    st.builds(KeysChanged, st.just(7), st.text(max_size=5), st.just("0x")),
)
events = st.one_of(
    lease_events, st.builds(PlanDefined, numbers, st.text(max_size=3), *[numbers] * 5)
)
histories = st.lists(
    st.builds(
        Logged,
        events,
        st.integers(0, 9),
        st.just("0xb"),
        st.integers(0, 9),
        st.integers(0, 9).map(lambda n: f"0x{n:064x}"),
    ),
    max_size=30,
)


def mint_index(history: list[Logged]) -> int | None:
    mints = [
        index
        for index, logged in enumerate(history)
        if isinstance(logged.event, Transferred) and logged.event.sender == ZERO_ADDRESS
    ]
    return mints[-1] if mints else None


@given(histories)
def test_a_lease_exists_exactly_when_its_token_was_minted(history: list[Logged]) -> None:
    assert (fold_all(history) is None) == (mint_index(history) is None)


@given(histories)
def test_a_history_told_again_from_its_mint_comes_to_the_same(history: list[Logged]) -> None:
    start = mint_index(history)
    if start is not None:
        assert fold_all([*history, *history[start:]]) == fold_all(history)


@given(histories, st.integers(0, 30))
def test_going_on_from_any_prefix_comes_to_the_same(history: list[Logged], cut: int) -> None:
    lease = fold_all(history[:cut])
    for logged in history[cut:]:
        if not isinstance(logged.event, PlanDefined):
            assert isinstance(logged.event, LeaseEvent)
            lease = fold(lease, logged.event, logged.tx_hash)
    assert lease == fold_all(history)


@given(histories)
def test_nothing_before_the_last_mint_matters(history: list[Logged]) -> None:
    start = mint_index(history)
    if start is not None:
        assert fold_all(history) == fold_all(history[start:])


@given(histories)
def test_an_expiry_is_the_last_one_said_since_the_mint(history: list[Logged]) -> None:
    start = mint_index(history)
    if start is None:
        return
    said = [e.event.expires_at for e in history[start:] if isinstance(e.event, ExpiryUpdated)]
    lease = fold_all(history)
    assert lease is not None
    assert lease.expires_at == (said[-1] if said else 0)


@given(histories)
def test_every_event_said_twice_in_a_row_changes_nothing_but_the_count_of_owners(
    history: list[Logged],
) -> None:
    doubled = [
        logged
        for each in history
        for logged in ([each, each] if not isinstance(each.event, Transferred) else [each])
    ]
    assert fold_all(doubled) == fold_all(history)


@given(histories)
def test_a_generation_counts_the_owners_since_the_mint(history: list[Logged]) -> None:
    start = mint_index(history)
    if start is None:
        return
    lease = fold_all(history)
    assert isinstance(lease, Lease)
    owners = [e.event.recipient for e in history[start:] if isinstance(e.event, Transferred)]
    assert lease.generation == len(owners) - 1
    assert lease.owner == owners[-1]

"""The fold of a lease: total, absolute, and the same however often it is done."""

from itertools import groupby
from random import Random
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
from chainwatch.domain.lease import Lease, fold, fold_all, mints_first

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
transactions = st.lists(st.lists(events, max_size=4), max_size=10)
histories = transactions.map(
    lambda told: [
        Logged(event, number, f"0x{number}", index, f"0x{number:064x}")
        for number, said in enumerate(told)
        for index, event in enumerate(said)
    ]
)


def is_mint(logged: Logged) -> bool:
    return isinstance(logged.event, Transferred) and logged.event.sender == ZERO_ADDRESS


def mint_index(history: list[Logged]) -> int | None:
    mints = [index for index, logged in enumerate(history) if is_mint(logged)]
    return mints[-1] if mints else None


def start_of_lease(history: list[Logged], mint: int) -> int:
    """The first event that the lease of the mint at `mint` can follow from.

    It is the mint, or what its transaction said after the token's transfer before.
    """
    start = mint
    while (
        start > 0
        and history[start - 1].tx_hash == history[mint].tx_hash
        and not isinstance(history[start - 1].event, Transferred)
    ):
        start -= 1
    return start


@given(histories)
def test_a_lease_exists_exactly_when_its_token_was_minted(history: list[Logged]) -> None:
    assert (fold_all(history) is None) == (mint_index(history) is None)


@given(histories)
def test_a_history_told_again_from_its_mint_comes_to_the_same(history: list[Logged]) -> None:
    mint = mint_index(history)
    if mint is not None:
        start = start_of_lease(history, mint)
        assert fold_all([*history, *history[start:]]) == fold_all(history)


@given(histories, st.integers(0, 10))
def test_going_on_after_any_transaction_comes_to_the_same(history: list[Logged], cut: int) -> None:
    before = [logged for logged in history if logged.block < cut]
    lease = fold_all(before)
    for logged in mints_first(history[len(before) :]):
        if not isinstance(logged.event, PlanDefined):
            assert isinstance(logged.event, LeaseEvent)
            lease = fold(lease, logged.event, logged.tx_hash)
    assert lease == fold_all(history)


@given(histories)
def test_nothing_before_the_last_mints_transaction_matters(history: list[Logged]) -> None:
    mint = mint_index(history)
    if mint is not None:
        assert fold_all(history) == fold_all(history[start_of_lease(history, mint) :])


@given(histories)
def test_an_expiry_is_the_last_one_said_since_the_mint_or_just_before_it(
    history: list[Logged],
) -> None:
    mint = mint_index(history)
    if mint is None:
        return
    since = [history[start_of_lease(history, mint) : mint], history[mint:]]
    said = [
        e.event.expires_at for part in since for e in part if isinstance(e.event, ExpiryUpdated)
    ]
    lease = fold_all(history)
    assert lease is not None
    assert lease.expires_at == (said[-1] if said else 0)


@given(histories, st.randoms(use_true_random=False))
def test_where_a_transaction_says_the_expiry_of_its_mint_makes_no_difference(
    history: list[Logged], chance: Random
) -> None:
    """Within a transaction, between two transfers of the token, an expiry may stand anywhere."""
    moved: list[Logged] = []
    for _, group in groupby(history, key=lambda logged: logged.tx_hash):
        said = list(group)
        mints = [
            index for index, logged in enumerate(said) if isinstance(logged.event, Transferred)
        ]
        expiries = [e for e in said if isinstance(e.event, ExpiryUpdated)]
        if len(mints) == 1 and len(expiries) == 1 and is_mint(said[mints[0]]):
            rest = [each for each in said if each is not expiries[0]]
            rest.insert(chance.randint(0, len(rest)), expiries[0])
            said = rest
        moved += said
    assert fold_all(moved) == fold_all(history)


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
